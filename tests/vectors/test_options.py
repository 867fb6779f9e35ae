"""What can be asked of `vectorize`, from a raster on disk to the rows of a layer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from geoseg.cli.vectorize import command
from geoseg.errors import LabelError, MapError, OptionError
from geoseg.units import area, distance
from geoseg.vectors.options import MOST_VERTICES
from geoseg.vectors.vectorize import vectorize

Array = np.ndarray[Any, Any]
UTM = "EPSG:32632"
PLACE = Affine(10, 0, 500_000, 0, -10, 5_400_000)


def write(path: Path, values: Array, **profile: Any) -> Path:
    bands = values if values.ndim == 3 else values[None]
    profile = {"crs": UTM, "transform": PLACE, "nodata": 0} | profile
    size = {"height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype, "count": len(bands)}
    with rasterio.open(path, "w", driver="GTiff", **size, **profile) as dataset:
        dataset.write(bands)
    return path


def squares(side: int = 5, count: int = 8, seed: int = 0) -> Array:
    coarse = np.random.default_rng(seed).integers(1, 4, (count, count))
    ids: Array = np.kron(coarse, np.ones((side, side), int)).astype(np.uint8)
    return ids


def polygons(source: Path, **options: Any) -> geopandas.GeoDataFrame:
    target = source.with_suffix(".parquet")
    vectorize(source, target, overwrite=True, **options)
    layer = geopandas.read_parquet(target)
    assert layer.is_valid.all()
    assert shapely.coverage_is_valid(layer.geometry.values)
    return layer


def test_columns_are_what_they_say(tmp_path: Path) -> None:
    ids = squares()
    ids[0, :7] = 0
    layer = polygons(write(tmp_path / "map.tif", ids))
    assert layer.pixels.sum() == (ids != 0).sum()
    np.testing.assert_allclose(layer.area_ha, layer.area_m2 / 1e4)
    np.testing.assert_allclose(layer.area, 100 * layer.pixels)
    np.testing.assert_allclose(layer.perimeter_m, layer.length, rtol=1e-3)  # UTM's scale is 0.9996 here
    rows, cols = np.divmod(layer.id.to_numpy(), ids.shape[1])
    np.testing.assert_array_equal(ids[rows, cols], layer.class_id)
    assert layer.id.is_unique


@pytest.mark.parametrize("crs", [4326, 3857, 32632])
def test_perimeters_are_those_on_the_ellipsoid(tmp_path: Path, crs: int) -> None:
    step = 0.001 if crs == 4326 else 100
    corner = (10, 60) if crs == 4326 else (1_000_000, 8_000_000) if crs == 3857 else (300_000, 6_600_000)
    place = Affine(step, 0, corner[0], 0, -step, corner[1])
    layer = polygons(write(tmp_path / "map.tif", squares(), crs=f"EPSG:{crs}", transform=place), simplify=1)
    from pyproj import Geod

    degrees = geopandas.GeoSeries(layer.geometry.segmentize(step), crs=crs).to_crs(4326)
    lengths = [Geod(ellps="WGS84").geometry_length(line) for line in degrees.boundary]
    np.testing.assert_allclose(layer.perimeter_m, lengths, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"])
def test_all_integer_types_and_values(tmp_path: Path, dtype: str) -> None:
    limits = np.iinfo(dtype)
    highest = min(int(limits.max), 2**63 - 1)
    values = [int(limits.min), int(limits.min) + 1, 0, 1, 77, highest - 1, highest]
    coarse = np.random.default_rng(0).integers(0, len(values), (6, 6))
    ids = np.kron(np.array(values, dtype)[coarse], np.ones((3, 3), dtype)).astype(dtype)
    layer = polygons(write(tmp_path / "map.tif", ids, nodata=None))
    rows, cols = np.divmod(layer.id.to_numpy(), ids.shape[1])
    assert ids[rows, cols].tolist() == layer.class_id.tolist()
    assert layer.pixels.sum() == ids.size
    assert set(layer.class_name) == {f"class {value}" for value in np.unique(ids).tolist()}


def test_more_classes_than_a_legend_holds(tmp_path: Path) -> None:
    ids = np.arange(1, 2501, dtype=np.int32).reshape(50, 50) * 1000
    layer = polygons(write(tmp_path / "map.tif", ids))
    assert sorted(layer.class_id) == list(range(1000, 2_500_001, 1000))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_nodata_is_no_polygon_where_there_is_a_mask_too(tmp_path: Path, dtype: str) -> None:
    ids = squares().astype(dtype)
    ids[:7], mask = 0, np.full(ids.shape, 255, np.uint8)
    mask[:, :9] = 0
    source = write(tmp_path / "map.tif", ids)
    with rasterio.open(source, "r+") as dataset:
        dataset.write_mask(mask)
    layer = polygons(source)
    assert 0 not in set(layer.class_id)
    assert layer.pixels.sum() == ids[7:, 9:].size


def test_small_areas_go_to_the_longest_border(tmp_path: Path) -> None:
    ids = squares(10, 4)
    ids[3, 3], ids[22, 11:13] = 7, 8
    source = write(tmp_path / "map.tif", ids)
    everything = polygons(source)
    for least in ("3", "250m2", "0.025ha"):
        layer = polygons(source, min_area=least)
        assert set(everything.class_id) - set(layer.class_id) == {7, 8}
        assert layer.pixels.sum() == ids.size
        assert layer.pixels.min() >= 3
    assert set(polygons(source, min_area="199m2").class_id) == set(everything.class_id) - {7}


@pytest.mark.parametrize("size", [1e19, "1e30", "1e30km2"])
def test_a_least_area_beyond_all_maps_keeps_one_area(tmp_path: Path, size: float | str) -> None:
    ids = squares(10, 4)
    ids[4:6, 4:6] = 0
    layer = polygons(write(tmp_path / "map.tif", ids), min_area=size, min_hole=size, fill_nodata=True)
    assert layer.pixels.tolist() == [ids.size]


def test_nodata_is_filled_only_when_asked(tmp_path: Path) -> None:
    ids = squares(10, 4)
    ids[4:6, 4:6] = 0
    ids[0, 0] = 0
    source = write(tmp_path / "map.tif", ids)
    assert polygons(source, min_area=50, min_hole=50).pixels.sum() == ids.size - 5
    assert polygons(source, min_hole=50, fill_nodata=True).pixels.sum() == ids.size - 1


def test_confidence_is_that_of_the_pixels(tmp_path: Path) -> None:
    ids = squares()
    rng = np.random.default_rng(1)
    confidence = rng.random(ids.shape).astype(np.float32)
    confidence[:5, :5] = np.nan
    source = write(tmp_path / "map.tif", ids)
    beside = write(tmp_path / "c.tif", confidence, nodata=float("nan"))
    layer = polygons(source, confidence=beside, simplify=1)
    exact = polygons(source)
    number = rasterize(zip(exact.geometry, range(1, len(exact) + 1), strict=True), ids.shape, transform=PLACE)
    for place, key in enumerate(exact.id):
        row = layer[layer.id == key].iloc[0]
        inside = confidence[number == place + 1]
        if np.isnan(inside).all():
            assert np.isnan(row.confidence_mean)
            assert np.isnan(row.confidence_min)
        else:
            assert row.confidence_mean == pytest.approx(np.nanmean(inside, dtype=float))
            assert row.confidence_min == np.nanmin(inside)


def test_a_scaled_confidence(tmp_path: Path) -> None:
    source = write(tmp_path / "map.tif", squares())
    beside = write(tmp_path / "c.tif", np.full((40, 40), 200, np.uint8), nodata=255)
    with rasterio.open(beside, "r+") as dataset:
        dataset.scales = (1 / 250,)
    np.testing.assert_allclose(polygons(source, confidence=beside).confidence_mean, 0.8, rtol=1e-6)


def test_regions_cut_the_map(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = squares()
    source = write(tmp_path / "map.tif", ids)
    left, right = (
        shapely.box(500_000, 5_399_600, 500_130, 5_400_000),
        shapely.box(500_130, 5_399_650, 500_400, 5_400_000),
    )
    regions = geopandas.GeoDataFrame({"name": ["left", "right"]}, geometry=[left, right], crs=UTM)
    regions.to_crs(4326).to_file(tmp_path / "regions.geojson")
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        layer = polygons(source, by=tmp_path / "regions.geojson")
    assert "135 pixels lie in none of the regions" in caplog.text
    assert set(layer.region) == {"left", "right"}
    for name, region in (("left", left), ("right", right)):
        assert layer[layer.region == name].union_all().equals(region)
    dissolved = polygons(source, by=tmp_path / "regions.geojson", dissolve=True)
    assert len(dissolved) == len(layer.groupby(["region", "class_id"]))
    with pytest.raises(OptionError, match="'nme'; did you mean 'name'"):
        polygons(source, by=tmp_path / "regions.geojson", by_field="nme")


def test_another_crs_keeps_the_coverage(tmp_path: Path) -> None:
    source = write(tmp_path / "map.tif", squares())
    # Files are sorted by place, which is another order in another CRS.
    here, there = (polygons(source, simplify=1, dst_crs=crs).sort_values("id") for crs in (None, "EPSG:3035"))
    assert there.crs == 3035
    assert shapely.hausdorff_distance(there.to_crs(UTM).geometry.values, here.geometry.values).max() < 1e-3
    assert here.area_m2.tolist() == there.area_m2.tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".fgb"])
def test_across_the_antimeridian_polygons_stay_whole(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = Affine(100, 0, 824_000, 0, -100, 1_000_000)
    source = write(tmp_path / "map.tif", squares(40, 3), crs="EPSG:32660", transform=place)
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        vectorize(source, tmp_path / f"map{suffix}", dst_crs="EPSG:4326")
    assert "antimeridian" in caplog.text
    read = geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file
    options = {"layer": "map"} if suffix == ".gpkg" else {}
    layer = read(tmp_path / f"map{suffix}", **options)
    assert (layer.bounds.maxx - layer.bounds.minx).max() < 1
    assert shapely.coverage_is_valid(layer.geometry.values)


def test_geojson_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    place = Affine(100, 0, 824_000, 0, -100, 1_000_000)
    source = write(tmp_path / "map.tif", squares(40, 3), crs="EPSG:32660", transform=place)
    vectorize(source, tmp_path / "map.geojson")
    layer = geopandas.read_file(tmp_path / "map.geojson").explode()
    assert (layer.bounds.maxx - layer.bounds.minx).max() < 1
    assert layer.bounds.minx.min() < -179
    assert layer.bounds.maxx.max() > 179


def test_metres_on_a_map_in_degrees_are_converted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = Affine(0.001, 0, 10, 0, -0.001, 60)
    source = write(tmp_path / "map.tif", squares(), crs="EPSG:4326", transform=place)
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        vectorize(source, tmp_path / "map.fgb", simplify="111.4m")
    assert "in degrees: 111.4 m are 1 of its pixels" in caplog.text


def test_the_change_of_area_is_told(tmp_path: Path) -> None:
    ids = np.ones((40, 40), np.uint8)
    ids[10:20, 10:20] = 2
    source = write(tmp_path / "map.tif", ids)
    assert vectorize(source, tmp_path / "a.fgb").area_change == {"class 1": 0.0, "class 2": 0.0}
    result = vectorize(source, tmp_path / "b.fgb", smooth=1.0)
    assert -5 < result.area_change["class 2"] < -0.5
    assert result.area_change["class 1"] * 1500 == pytest.approx(-result.area_change["class 2"] * 100)


def test_large_polygons_can_be_cut_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = np.ones((150, 150), np.uint8)
    ids[1::3, 1::3] = 2
    source = write(tmp_path / "map.tif", ids)
    layer = polygons(source, max_vertices=2000)
    assert shapely.get_num_coordinates(layer.geometry.values).max() <= 2000
    assert layer.pixels.sum() == ids.size
    pieces = int((layer.class_id == 1).sum())
    assert f"{pieces} polygons are pieces" in caplog.text
    caplog.clear()
    assert (polygons(source, max_vertices=0).class_id == 1).sum() == 1
    assert "pieces" not in caplog.text


def test_the_command_has_the_limit_of_the_function() -> None:
    [option] = [option for option in command.params if option.name == "max_vertices"]
    assert option.default == MOST_VERTICES


BAD = [
    ({"simplify": "1ha"}, OptionError, "a tolerance of '1ha' cannot be read"),
    ({"min_area": "-3"}, OptionError, "0 or more"),
    ({"min_area": "5m"}, OptionError, "500m2 or 0.5ha"),
    ({"connectivity": 6}, OptionError, "4 or 8"),
    ({"max_vertices": 10}, OptionError, "1000 or more"),
    ({"fill_nodata": True}, OptionError, "--min-hole"),
    ({"band": 4}, OptionError, "has no band 4"),
    ({"dst_crs": "EPSG:0"}, OptionError, "no coordinate system"),
    ({"by": "missing.gpkg"}, LabelError, "missing.gpkg"),
    ({"confidence": "missing.tif"}, MapError, "missing.tif"),
    ({"confidence": "other.tif"}, MapError, "lies on its own grid"),
]


@pytest.mark.parametrize(("options", "kind", "match"), BAD)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, options: dict[str, Any], kind: type[Exception], match: str
) -> None:
    source = write(tmp_path / "map.tif", squares())
    write(tmp_path / "other.tif", squares(), transform=PLACE @ Affine.translation(1, 0))
    given = {key: tmp_path / value if key in ("by", "confidence") else value for key, value in options.items()}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kind, match=match) as caught:
        vectorize(source, tmp_path / "out.gpkg", **given)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("size", ["10m", "500m2"])
def test_metres_need_a_place_on_the_earth(tmp_path: Path, size: str) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        source = write(tmp_path / "map.tif", squares(), crs=None, transform=Affine.identity())
    option = "min_area" if size.endswith("2") else "simplify"
    with pytest.raises(OptionError, match="give pixels"):
        vectorize(source, tmp_path / "a.fgb", **{option: size})
    with pytest.raises(MapError, match="--dst-crs"):
        vectorize(source, tmp_path / "a.fgb", dst_crs="EPSG:4326")


def test_bands_are_told_apart(tmp_path: Path) -> None:
    first, second = squares(seed=1), squares(seed=2)
    source = write(tmp_path / "map.tif", np.stack([first, second]))
    with pytest.raises(MapError, match=r"2 bands: 1 \(uint8\), 2 \(uint8\); name the one .* --band 1"):
        vectorize(source, tmp_path / "a.fgb")
    layer = polygons(source, band=2)
    found = rasterize(zip(layer.geometry, layer.class_id, strict=True), second.shape, transform=PLACE)
    np.testing.assert_array_equal(found, second)
    floats = write(tmp_path / "f.tif", second.astype(np.float32))
    with pytest.raises(MapError, match="holds float32 values"):
        vectorize(floats, tmp_path / "a.fgb")


def test_a_raster_of_nodata_without_a_legend_is_an_empty_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write(tmp_path / "map.tif", np.zeros((9, 9), np.uint8))
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        layer = polygons(source, min_area=3)
    assert len(layer) == 0
    assert "is an empty layer" in caplog.text
    assert {"id", "class_id", "class_name", "area_m2", "perimeter_m", "pixels"} <= set(layer.columns)


@pytest.mark.parametrize(
    ("text", "value", "on_ground"),
    [("1.5", 1.5, False), ("2px", 2, False), (3, 3, False), ("15m", 15, True), (" 1 km ", 1000, True)],
)
def test_distances(text: Any, value: float, on_ground: bool) -> None:
    size = distance(text, "it")
    assert (size.value, size.on_ground) == (value, on_ground)


@pytest.mark.parametrize(
    ("text", "value", "on_ground"),
    [("20", 20, False), ("0.5ha", 5000, True), ("500m²", 500, True), ("1 km2", 1e6, True), (7.0, 7, False)],
)
def test_areas(text: Any, value: float, on_ground: bool) -> None:
    size = area(text, "it")
    assert (size.value, size.on_ground) == (value, on_ground)
