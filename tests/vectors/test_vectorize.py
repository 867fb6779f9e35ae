"""`vectorize` and its command: from a raster on disk to a file of polygons."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from rasterio.features import rasterize

from geoseg.class_raster import LEGEND_TAG
from geoseg.cli import main
from geoseg.compiled import is_kept
from geoseg.errors import MapError, OptionError, OutputError, OutputExistsError
from geoseg.legend import Legend
from geoseg.vectors import job, layer
from geoseg.vectors.trace import mark_corners
from geoseg.vectors.vectorize import vectorize

Array = np.ndarray[Any, Any]
LEGEND = Legend.from_names([(1, "forest"), (7, "water"), (300, "3")])
UTM = "EPSG:32632"
COLUMNS = ["id", "class_id", "class_name", "area_m2", "area_ha", "perimeter_m", "pixels"]
PLACE = Affine(10, 0, 500_000, 0, -10, 5_400_000)


def squares(seed: int = 0, height: int = 60, width: int = 50) -> Array:
    rng = np.random.default_rng(seed)
    coarse = rng.choice(LEGEND.ids, (height // 5, width // 5))
    ids = np.kron(coarse, np.ones((5, 5), int)).astype(np.uint16)
    ids[:12, :7] = 0
    return ids


def write_map(path: Path, ids: Array, **profile: Any) -> Path:
    profile = {"crs": UTM, "transform": PLACE, "nodata": 0} | profile
    size = {"height": ids.shape[-2], "width": ids.shape[-1], "dtype": ids.dtype}
    bands = ids if ids.ndim == 3 else ids[None]
    with rasterio.open(path, "w", driver="GTiff", count=len(bands), **size, **profile) as dataset:
        dataset.write(bands)
        dataset.update_tags(**{LEGEND_TAG: json.dumps(LEGEND.to_dict())})
    return path


@pytest.fixture
def a_map(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", squares())


def read(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    # A GeoPackage has a table of styles beside the layer.
    return geopandas.read_file(path, layer=path.stem)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"map.tif"}


def test_the_polygons_are_the_map(a_map: Path, tmp_path: Path) -> None:
    result = vectorize(a_map, tmp_path / "map.gpkg")
    layer = read(tmp_path / "map.gpkg")
    shapes = zip(layer.geometry, layer.class_id, strict=True)
    np.testing.assert_array_equal(rasterize(shapes, (60, 50), transform=PLACE, dtype="uint16"), squares())
    assert layer.crs == UTM
    assert list(layer.columns) == [*COLUMNS, "geometry"]
    assert dict(zip(layer.class_id, layer.class_name, strict=True)) == {1: "forest", 7: "water", 300: "3"}
    assert shapely.coverage_is_valid(layer.geometry.values)
    np.testing.assert_allclose(layer.area_m2, layer.area, rtol=2e-3)  # UTM is off by up to 0.8 per mille here
    assert result.polygons == len(layer)
    assert result.vertices == shapely.get_num_coordinates(layer.geometry.values).sum()
    assert result.pixels == (squares() != 0).sum()
    assert result.area_m2 == pytest.approx(layer.area_m2.sum())
    assert result.classes == LEGEND.names
    assert str(result).startswith(f"{tmp_path / 'map.gpkg'}: {len(layer)} polygons of 3 classes")
    assert leftovers(tmp_path) == {"map.gpkg"}


def test_many_bands_and_batches_give_the_same_layer(
    a_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectorize(a_map, tmp_path / "whole.gpkg")
    monkeypatch.setattr(job, "band_rows", lambda width: 7)
    monkeypatch.setattr(layer, "BATCH_BYTES", 400)
    vectorize(a_map, tmp_path / "parts.gpkg")
    whole, parts = (
        sorted(shapely.to_wkb(read(tmp_path / name).geometry.normalize().values))
        for name in ("whole.gpkg", "parts.gpkg")
    )
    assert whole == parts


@pytest.mark.parametrize("blank", [(0, 21), (22, 44), (35, 60), (0, 60)], ids=["first", "middle", "last", "all"])
@pytest.mark.parametrize("dissolve", [False, True])
def test_bands_of_nodata_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: tuple[int, int], dissolve: bool
) -> None:
    ids = squares()
    ids[slice(*blank)] = 0
    source = write_map(tmp_path / "map.tif", ids)
    monkeypatch.setattr(job, "band_rows", lambda width: 7)
    vectorize(source, tmp_path / "map.gpkg", dissolve=dissolve)
    layer = read(tmp_path / "map.gpkg")
    counts = dict(zip(*np.unique(ids[ids != 0], return_counts=True), strict=True))
    assert layer.groupby("class_id").pixels.sum().to_dict() == counts


@pytest.mark.parametrize("wanted", [("forest", "7"), ("1", "water")])
def test_classes_are_chosen_by_name_or_id(a_map: Path, tmp_path: Path, wanted: tuple[str, ...]) -> None:
    everything = vectorize(a_map, tmp_path / "all.parquet", simplify=1)
    some = vectorize(a_map, tmp_path / "some.parquet", simplify=1, classes=wanted)
    assert some.classes == ("forest", "water")
    layer, all_ = (read(tmp_path / name) for name in ("some.parquet", "all.parquet"))
    assert set(layer.class_id) == {1, 7}
    assert some.polygons == (all_.class_id != 300).sum() < everything.polygons
    kept = all_[all_.class_id != 300].geometry.to_wkb()
    assert sorted(layer.geometry.to_wkb()) == sorted(kept)


def test_a_name_goes_before_an_id(a_map: Path, tmp_path: Path) -> None:
    assert vectorize(a_map, tmp_path / "map.fgb", classes=("3",)).classes == ("3",)


def test_simplified_borders_have_fewer_vertices_and_the_same_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:80, :80]
    ids = np.select([x + y < 70, (x - 50) ** 2 + (y - 50) ** 2 < 400], [1, 7], 300).astype(np.uint16)
    ids[rng.random(ids.shape) < 0.01] = 7
    source = write_map(tmp_path / "map.tif", ids)
    exact, simple = (vectorize(source, tmp_path / f"{t}.parquet", simplify=t) for t in (0.0, 1.0))
    assert simple.vertices < 0.6 * exact.vertices
    assert simple.pixels == exact.pixels
    layer = read(tmp_path / "1.0.parquet")
    assert layer.is_valid.all()
    assert shapely.coverage_is_valid(layer.geometry.values)


def test_a_map_of_nodata_gives_an_empty_layer_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_map(tmp_path / "map.tif", np.zeros((20, 30), np.uint16))
    for name in ("map.gpkg", "map.parquet", "map.fgb", "map.geojson"):
        with caplog.at_level(logging.WARNING, logger="geoseg"):
            result = vectorize(source, tmp_path / name)
        assert (result.polygons, result.classes, result.area_m2) == (0, (), 0.0)
        assert f"{name} is an empty layer" in caplog.text
        layer = read(tmp_path / name)
        assert len(layer) == 0
        if not name.endswith("geojson"):  # which keeps columns with the features
            assert {"class_id", "class_name", "area_m2", "geometry"} <= set(layer.columns)
            assert layer.crs == UTM


def test_without_a_crs_areas_are_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "map.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_map(source, squares(), crs=None, transform=Affine.identity())
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        result = vectorize(source, tmp_path / "map.gpkg")
    assert "has no CRS" in caplog.text
    assert result.area_m2 is None
    assert "pixels" in str(result)
    layer = read(tmp_path / "map.gpkg")
    assert layer.crs is None
    assert layer.area_m2.isna().all()
    np.testing.assert_allclose(layer.pixels, layer.area)
    assert layer.pixels.sum() == (squares() != 0).sum()


def test_a_first_run_says_that_it_compiles(a_map: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = is_kept(mark_corners)
    with caplog.at_level(logging.INFO):
        vectorize(a_map, tmp_path / "first.fgb")
        assert ("Compiling the tracer" in caplog.text) == (not kept)
        caplog.clear()
        vectorize(a_map, tmp_path / "second.fgb")
        assert "Compiling" not in caplog.text


def test_a_legend_can_be_given(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", height=2, width=2, count=1, dtype="uint8", crs=UTM, transform=PLACE
    ) as dataset:
        dataset.write(np.array([[[1, 1], [7, 7]]], np.uint8))
    assert vectorize(tmp_path / "map.tif", tmp_path / "a.gpkg").classes == ("class 1", "class 7")
    assert vectorize(tmp_path / "map.tif", tmp_path / "b.gpkg", legend=LEGEND).classes == ("forest", "water")


def test_a_class_painted_into_a_map_is_refused(tmp_path: Path) -> None:
    ids = squares()
    ids[30, 20] = 9
    source = write_map(tmp_path / "map.tif", ids)
    with pytest.raises(MapError, match="holds 9, which the legend in its tag GEOSEG_LEGEND does not have"):
        vectorize(source, tmp_path / "map.gpkg")
    assert not leftovers(tmp_path)
    with rasterio.open(source, "r+") as dataset:
        dataset.nodata = 9
    with pytest.raises(MapError, match="holds 0, which the legend"):
        vectorize(source, tmp_path / "map.gpkg")


def test_nodata_that_is_a_class_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_map(tmp_path / "map.tif", np.maximum(squares(), 1), nodata=7)
    vectorize(source, tmp_path / "map.gpkg")
    assert "declares 7 as nodata, so class 7 of the legend is nowhere" in caplog.text


def test_an_output_that_exists_stays(a_map: Path, tmp_path: Path) -> None:
    (tmp_path / "map.gpkg").write_text("precious")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        vectorize(a_map, tmp_path / "map.gpkg")
    assert (tmp_path / "map.gpkg").read_text() == "precious"
    assert leftovers(tmp_path) == {"map.gpkg"}
    vectorize(a_map, tmp_path / "map.gpkg", overwrite=True)
    assert len(read(tmp_path / "map.gpkg"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"simplify": -1.0}, "0 or more"),
        ({"simplify": float("nan")}, "0 or more"),
        ({"classes": ("wather",)}, "did you mean 'water'"),
        ({"output": "map.shp"}, r"\.fgb, \.geojson, .*\.gpkg, .*\.parquet"),
        ({"output": "map"}, "choose one of"),
    ],
)
def test_options_that_cannot_be(a_map: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    output = tmp_path / options.pop("output", "map.gpkg")
    with pytest.raises(OptionError, match=match):
        vectorize(a_map, output, **options)
    assert not leftovers(tmp_path)


def broken(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "float":
        write_map(path, squares().astype(np.float32))
    elif kind == "two bands":
        write_map(path, np.stack([squares()] * 2))
    elif kind == "truncated":
        write_map(path, np.random.default_rng(0).choice(np.array(LEGEND.ids, np.uint16), (600, 600)), compress="lzw")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_tiles_hold_every_polygon_at_its_place(a_map: Path, tmp_path: Path) -> None:
    result = vectorize(a_map, tmp_path / "map.pmtiles")
    vectorize(a_map, tmp_path / "map.gpkg")
    tiles, whole = geopandas.read_file(tmp_path / "map.pmtiles").to_crs(UTM), read(tmp_path / "map.gpkg")
    found = tiles.dissolve("id").geometry.sort_index().values
    expected = whole.set_index("id").geometry.sort_index().values
    assert len(found) == result.polygons
    # A pixel of 10 m has eight steps or more.
    assert shapely.hausdorff_distance(found, expected).max() < 2
    assert leftovers(tmp_path) == {"map.pmtiles", "map.gpkg"}


def test_tiles_need_a_crs(tmp_path: Path) -> None:
    write_map(tmp_path / "map.tif", squares(), crs=None)
    with pytest.raises(OptionError, match="has no CRS and tiles need one"):
        vectorize(tmp_path / "map.tif", tmp_path / "map.pmtiles")
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "empty", "float", "two bands", "truncated"])
@pytest.mark.parametrize("name", ["out.gpkg", "out.parquet", "out.fgb", "out.geojson"])
def test_broken_maps_are_one_sentence_and_leave_nothing(tmp_path: Path, kind: str, name: str) -> None:
    source = broken(tmp_path / "map.tif", kind)
    with pytest.raises(MapError, match=r"map\.tif") as caught:
        vectorize(source, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not leftovers(tmp_path)


def test_a_file_that_lost_rows_is_not_published(a_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geoseg.writers.geoparquet import Writer

    monkeypatch.setattr(Writer, "write", lambda self, batch, bounds: None)
    with pytest.raises(OutputError, match="0 polygons"):
        vectorize(a_map, tmp_path / "out.parquet")
    assert not leftovers(tmp_path)


def test_the_command(a_map: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.geojson"
    arguments = ["vectorize", str(a_map), "-o", str(output), "--simplify", "1", "--classes", "forest,water", "-q"]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["polygons"] == len(read(output))
    assert told["classes"] == ["forest", "water"]
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"Error: {output} exists already")
    assert CliRunner().invoke(main, [*arguments, "--overwrite"]).exit_code == 0


def test_the_command_takes_a_legend_file(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", squares())
    (tmp_path / "legend.toml").write_text('[[class]]\nid = 1\nname = "a"\n[[class]]\nid = 7\nname = "b"\n')
    arguments = ["vectorize", str(source), "-o", str(tmp_path / "o.gpkg"), "--legend", str(tmp_path / "legend.toml")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "300" in done.stderr


def test_help_has_an_example() -> None:
    done = CliRunner().invoke(main, ["vectorize", "--help"])
    assert done.exit_code == 0
    assert "  geoseg vectorize map.tif -o map.gpkg\n" in done.output


REAL_MAPS = [
    "nc_wake_landsat7_2000/labels_dense_landclass96.tif",
    "elkton_va_landsat8_separate_bands/labels_sparse.tif",
]


@pytest.mark.parametrize("name", REAL_MAPS)
def test_a_real_map(real_scenes: Path, tmp_path: Path, name: str) -> None:
    source = real_scenes / name
    with rasterio.open(source) as dataset:
        valid = (dataset.read_masks(1) != 0).sum()
        pixel = abs(dataset.transform.determinant)
    ways: list[dict[str, Any]] = [
        {},
        {"simplify": 1},
        {"simplify": 1.5, "smooth": 1, "min_area": 6},
        {"simplify": 1, "smooth": 0.5, "connectivity": 8},
    ]
    for number, way in enumerate(ways):
        result = vectorize(source, tmp_path / f"{number}.parquet", **way)
        layer = read(tmp_path / f"{number}.parquet")
        assert layer.is_valid.all()
        assert shapely.coverage_is_valid(layer.geometry.values)
        assert result.pixels == pytest.approx(valid)
        assert layer.pixels.sum() == valid
        assert layer.area.sum() == pytest.approx(valid * pixel)
