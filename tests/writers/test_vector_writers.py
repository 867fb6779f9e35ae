"""The contract of the vector writers: what goes in comes out, whichever format."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from geoseg.errors import OptionError, OutputError
from geoseg.writers import geoparquet, vector_writer
from geoseg.writers._tally import Tally
from geoseg.writers.geoparquet import hilbert

NAMES = ["layer.gpkg", "layer.fgb", "layer.geojson", "layer.geojsonl", "layer.parquet"]
UTM = CRS.from_epsg(32632)
SCHEMA = pa.schema(
    [("class_id", pa.int32()), ("class_name", pa.string()), ("area_m2", pa.float64()), ("geometry", pa.binary())]
)


def batch(first: int, count: int) -> tuple[pa.RecordBatch, Any]:
    """Squares of 100 m in a row, each with a hole."""
    x = 500_000 + 100 * np.arange(first, first + count)
    outer = shapely.box(x, 5_400_000, x + 100, 5_400_100)
    squares = shapely.difference(outer, shapely.box(x + 20, 5_400_020, x + 30, 5_400_040))
    squares = shapely.orient_polygons(squares)
    columns = [
        pa.array(np.arange(first, first + count, dtype=np.int32)),
        pa.array([f"Wald, föhn {number}" for number in range(first, first + count)]),
        pa.array([None if number % 3 == 0 else 9800.5 for number in range(first, first + count)], pa.float64()),
        pa.array(shapely.to_wkb(squares), pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA), shapely.bounds(squares)


def write(path: Path, sizes: tuple[int, ...], crs: CRS | None = UTM) -> Path:
    writer = vector_writer(path)
    writer.open(path, crs, SCHEMA, "made by a test")
    first = 0
    for size in sizes:
        writer.write(*batch(first, size))
        first += size
    writer.close()
    return path


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


@pytest.mark.parametrize(
    ("stem", "layer"),
    [
        ("(1) a", "1) a"),
        ("[b]", "b]"),
        ("#x", "x"),
        ("+x", "x"),
        (".hid", "hid"),
        ("- x", "x"),
        ("##", "map"),
        ("_a (2)", "_a (2)"),
        ("föhn #3", "föhn #3"),
        ("gpkg_a", "map_gpkg_a"),
        ("SQLite_a", "map_SQLite_a"),
        ("layer_styles", "map_layer_styles"),
    ],
)
def test_any_name_of_a_geopackage_can_be_written(tmp_path: Path, stem: str, layer: str) -> None:
    path = tmp_path / f"{stem}.gpkg"
    writer = vector_writer(path)
    writer.open(path, UTM, SCHEMA)
    writer.style([(1, "a", "#ff0000")])
    writer.write(*batch(0, 2))
    writer.close()
    assert pyogrio.list_layers(path)[0][0] == layer
    assert writer.read_back(path)[0] == 2


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
def test_a_name_that_looks_like_an_archive_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / f"b{suffix}"
    other.write_text("mine")
    with pytest.raises(OutputError, match="has a '!' in its path, which would lead to another file"):
        write(tmp_path / f"a!b{suffix}", (2,))
    assert other.read_text() == "mine"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", [(5,), (3, 1, 4)])
def test_what_goes_in_comes_out(tmp_path: Path, name: str, sizes: tuple[int, ...]) -> None:
    path = write(tmp_path / name, sizes)
    layer = read(path).sort_values("class_id")
    expected, _ = batch(0, sum(sizes))
    assert layer.class_id.tolist() == expected["class_id"].to_pylist()
    assert layer.class_name.tolist() == expected["class_name"].to_pylist()
    assert layer.area_m2.isna().tolist() == [number % 3 == 0 for number in range(sum(sizes))]
    geometry = shapely.from_wkb(expected["geometry"].to_pylist())
    found = layer.geometry.to_crs(32632).values
    assert shapely.hausdorff_distance(shapely.boundary(found), shapely.boundary(geometry)).max() < 0.02
    assert (layer.geom_type == "Polygon").all()
    assert shapely.is_ccw(shapely.get_exterior_ring(layer.geometry.values)).all()
    assert vector_writer(path).read_back(path) == (sum(sizes), ("class_id", "class_name", "area_m2"))
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_of_nothing_can_be_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ())
    count, columns = vector_writer(path).read_back(path)
    assert count == 0
    if name.endswith("geojsonl"):
        assert path.read_bytes() == b""
        return
    layer = read(path)
    assert len(layer) == 0
    assert columns in {(), ("class_id", "class_name", "area_m2")}
    if "geojson" not in name:
        assert columns
        assert layer.crs == "EPSG:32632"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "layer.geojsonl"])
def test_no_crs_is_no_crs(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        layer = read(write(tmp_path / name, (4,), crs=None))
    if name.endswith("geojson"):
        assert "coordinates are pixels" in caplog.text
    else:
        assert layer.crs is None
    assert layer.total_bounds.tolist() == [500_000, 5_400_000, 500_400, 5_400_100]


@pytest.mark.parametrize("name", NAMES[:4])
def test_layers_are_named_after_the_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, (2,))
    assert pyogrio.list_layers(path).tolist() == [["layer", "Polygon"]]


@pytest.mark.parametrize("name", NAMES)
def test_an_aborted_file_can_be_removed(tmp_path: Path, name: str) -> None:
    writer = vector_writer(tmp_path / name)
    writer.open(tmp_path / name, UTM, SCHEMA)
    writer.write(*batch(0, 3))
    writer.abort()
    for entry in tmp_path.iterdir():
        entry.unlink()


@pytest.mark.parametrize("name", NAMES)
def test_half_a_file_is_told_from_a_whole_one(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, (2000,))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        count, _ = vector_writer(path).read_back(path)
    except OutputError:
        count = 0
    assert count < 2000


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_failure_in_the_thread_is_told(tmp_path: Path, name: str) -> None:
    writer = vector_writer(tmp_path / name)
    writer.open(tmp_path / "no such folder" / name, UTM, SCHEMA)
    with pytest.raises(OutputError, match="cannot be written"):
        writer.close()
    with pytest.raises(OutputError, match="cannot be written"):
        writer.write(*batch(0, 1))


def test_geojson_is_rfc_7946(tmp_path: Path) -> None:
    path = write(tmp_path / "layer.geojson", (50,))
    text = json.loads(path.read_text(encoding="utf-8"))
    assert "crs" not in text
    assert text["type"] == "FeatureCollection"
    rings = [ring for feature in text["features"] for ring in feature["geometry"]["coordinates"]]
    for lon, lat in (point for ring in rings for point in ring):
        assert 8 < lon < 10
        assert 48 < lat < 49
        assert round(lon, 7) == lon
        assert round(lat, 7) == lat
    for outline, hole in zip(rings[::2], rings[1::2], strict=True):
        assert shapely.LinearRing(outline).is_ccw
        assert not shapely.LinearRing(hole).is_ccw
    assert shapely.coverage_is_valid(read(path).geometry.values)


def test_geoparquet_says_where_things_are(tmp_path: Path) -> None:
    path = write(tmp_path / "layer.parquet", (3, 4))
    with pq.ParquetFile(path) as file:
        geo = json.loads(file.metadata.metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["Polygon"])
    assert column["bbox"] == [500_000, 5_400_000, 500_700, 5_400_100]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32632}
    some = geopandas.read_parquet(path, bbox=(500_210, 5_400_050, 500_290, 5_400_060))  # by the covering
    assert some.class_id.tolist() == [2]


def test_unknown_extensions_name_those_there_are() -> None:
    with pytest.raises(
        OptionError, match=r"'\.shp'.*\.fgb, \.geojson, \.geojsonl, .*\.geoparquet, \.gpkg, .*\.parquet, \.pmtiles"
    ):
        vector_writer(Path("a.shp"))
    assert type(vector_writer(Path("A.GPKG"))) is type(vector_writer(Path("b.gpkg")))


def test_sequences_need_a_crs(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no CRS"):
        vector_writer(tmp_path / "a.geojsonl").open(tmp_path / "a.geojsonl", None, SCHEMA)


def test_a_sequence_is_a_feature_a_line(tmp_path: Path) -> None:
    lines = write(tmp_path / "layer.geojsonl", (3, 4)).read_text(encoding="utf-8").splitlines()
    features = [json.loads(line) for line in lines]
    assert [feature["properties"]["class_id"] for feature in features] == list(range(7))
    assert all(8 < lon < 10 for feature in features for lon, _ in feature["geometry"]["coordinates"][0])


def test_geopackages_have_a_style_for_qgis(tmp_path: Path) -> None:
    path = tmp_path / "layer.gpkg"
    writer = vector_writer(path)
    writer.open(path, UTM, SCHEMA)
    writer.write(*batch(0, 3))
    writer.style([(0, "Wald & Wiese", "#1b7837"), (300, '"b"', "#3b7dd8")])
    writer.close()
    assert len(geopandas.read_file(path, layer="layer")) == 3
    with closing(sqlite3.connect(path)) as database:
        [(table, column, text, default)] = database.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
        )
        [(kind,)] = database.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'")
    assert (table, column, default, kind) == ("layer", "geom", 1, "attributes")
    style = ElementTree.fromstring(text)  # noqa: S314 - our own
    categories = [(item.get("value"), item.get("label")) for item in style.iter("category")]
    assert categories == [("0", "Wald & Wiese"), ("300", '"b"')]
    assert [item.get("value") for item in style.iter("Option") if item.get("name") == "color"] == [
        "27,120,55,255",
        "59,125,216,255",
    ]


def test_geoparquet_is_sorted_by_place(tmp_path: Path) -> None:
    path = tmp_path / "layer.parquet"
    writer = vector_writer(path)
    writer.open(path, UTM, SCHEMA)
    made, bounds = batch(0, 50_000)
    shuffled = np.random.default_rng(0).permutation(50_000)
    writer.write(made.take(pa.array(shuffled)), bounds[shuffled])
    writer.close()
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number)["bbox"].combine_chunks() for number in range(file.num_row_groups)]
    assert len(groups) == 3
    spans = [pc.max(boxes.field("xmax")).as_py() - pc.min(boxes.field("xmin")).as_py() for boxes in groups]
    assert max(spans) <= 20_000 * 100
    assert sum(map(len, groups)) == 50_000


def test_a_hilbert_curve_goes_from_neighbour_to_neighbour() -> None:
    y, x = np.mgrid[:16, :16]
    boxes = np.column_stack([x.ravel(), y.ravel(), x.ravel(), y.ravel()]).astype(float)
    places = boxes[np.argsort(hilbert(boxes)), :2]
    assert (np.abs(np.diff(places, axis=0)).sum(1) == 1).all()


def test_large_geometries_are_row_groups_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geoparquet, "LARGE", 1)
    path = write(tmp_path / "layer.parquet", (5,))
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups >= 5
    assert sorted(read(path).class_id) == list(range(5))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the damage
@pytest.mark.parametrize("damage", ["zeroed", "flipped", "cut"])
def test_what_a_file_lost_after_it_was_written_is_found_when_it_is_read_back(tmp_path, name, damage):
    """Any page of it, where something else is then read of it; coordinates in texts are not compared."""
    path = tmp_path / name
    writer = vector_writer(path)
    writer.open(path, UTM, SCHEMA, "made by a test")
    writer.write(*batch(0, 300))
    writer.close()
    assert writer.read_back(path)[0] == 300
    content, own, refused = path.read_bytes(), read(path), 0
    starts = range(0, len(content), 4096)
    for start in starts[:: max(1, len(starts) // 12)]:
        page, middle = content[start : start + 4096], start + len(content[start : start + 4096]) // 2
        changed = {
            "zeroed": content[:start] + bytes(len(page)) + content[start + 4096 :],
            "flipped": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
            "cut": content[: start + 1],
        }[damage]
        path.write_bytes(changed)
        try:
            writer.read_back(path)
        except OutputError as error:
            refused += 1
            assert "disk" in str(error)
        else:
            if damage != "flipped" or "geojson" not in name:
                assert read(path).equals(own)
    assert refused


def test_batches_in_any_order_have_the_same_tally():
    one, other, less = (Tally(SCHEMA) for _ in range(3))
    one.add(batch(0, 5)[0])
    for first in (3, 0):
        other.add(batch(first, 2 if first else 3)[0])
    one.refuse_other(other, "layer")
    less.add(batch(0, 4)[0])
    with pytest.raises(OutputError, match="the class_id, class_name, area_m2, geometry that could be read back"):
        one.refuse_other(less, "layer")
