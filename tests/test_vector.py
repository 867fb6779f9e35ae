import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine

from geoseg.errors import LabelError, SceneError
from geoseg.grid import Grid
from geoseg.vector import read_vector, within_reach

CANARY = "the canary sings"


def write(path, name="forest", **options):
    frame = gpd.GeoDataFrame({"class": [name]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path, **options)
    return path


@pytest.fixture
def canary(tmp_path):
    """A file that no other file may have read."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return write(folder / "canary.geojson", CANARY)


@pytest.fixture
def listener():
    """The address of a server, and what was asked of it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "name", ["a.gpkg", "a.geojson", "a.json", "a.fgb", "a.shp", "a.parquet", "a.geojsonl", "a.gml"]
)
def test_formats(tmp_path, name):
    drivers = {".json": "GeoJSON", ".geojsonl": "GeoJSONSeq"}
    path = tmp_path / name
    write(path, **({"driver": drivers[path.suffix]} if path.suffix in drivers else {}))
    before = sorted(tmp_path.iterdir())
    frame = read_vector(path)
    assert list(frame["class"]) == ["forest"]
    assert frame.geometry[0].equals(shapely.box(0, 0, 1, 1))
    assert sorted(tmp_path.iterdir()) == before


def test_kml(tmp_path):
    place = "<Placemark><name>forest</name><Point><coordinates>1,2</coordinates></Point></Placemark>"
    path = tmp_path / "a.kml"
    path.write_text(
        f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{place}</Document></kml>'
    )
    assert list(read_vector(path)["Name"]) == ["forest"]


def test_the_content_decides_and_not_the_name(tmp_path):
    (tmp_path / "a.geojson").write_bytes(write(tmp_path / "a.gpkg").read_bytes())
    assert list(read_vector(tmp_path / "a.geojson")["class"]) == ["forest"]
    (tmp_path / "bom.geojson").write_bytes(b"\xef\xbb\xbf \n" + write(tmp_path / "b.geojson").read_bytes())
    assert list(read_vector(tmp_path / "bom.geojson")["class"]) == ["forest"]


class TestLayers:
    @pytest.fixture
    def several(self, tmp_path):
        path = tmp_path / "several.gpkg"
        for layer in ("training", "roads", "fields"):
            write(path, layer, layer=layer)
        return path

    def test_one_is_chosen(self, several):
        assert list(read_vector(several, layer="roads")["class"]) == ["roads"]

    def test_none_is_guessed(self, several):
        with pytest.raises(
            LabelError, match=r"has 3 layers \(training, roads, fields\); name the one to use with --layer"
        ):
            read_vector(several)

    def test_the_nearest_is_suggested(self, several, tmp_path):
        with pytest.raises(LabelError, match="has no layer 'trainin' with geometries; did you mean 'training'"):
            read_vector(several, layer="trainin")
        with pytest.raises(LabelError, match="has no layer 'b'"):
            read_vector(write(tmp_path / "a.geojson"), layer="b")
        with pytest.raises(LabelError, match="GeoParquet file, which has no layer 'b'; leave --layer out"):
            read_vector(write(tmp_path / "a.parquet"), layer="b")


def ogr_vrt(canary):
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="canary"><SrcDataSource>{canary}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )


def streamed(canary):
    command = f"gdal vector pipeline ! read {canary} ! write --output-format stream streamed_dataset"
    return json.dumps({"type": "gdal_streamed_alg", "command_line": command})


def wfs(canary):
    return f"<OGRWFSDataSource><URL>{canary}</URL></OGRWFSDataSource>"


@pytest.mark.parametrize("make", [ogr_vrt, streamed, wfs])
@pytest.mark.parametrize("before", ["", "hello ", "<!-- -->", "<?xml version='1.0'?>\n", "\ufeff", "{}"])
@pytest.mark.parametrize("suffix", ["geojson", "vrt", "json", "gdalg.json", "gml", "kml", "gpkg", "shp", "fgb", "csv"])
def test_descriptions_open_nothing(tmp_path, canary, make, before, suffix):
    path = tmp_path / f"labels.{suffix}"
    path.write_text(before + make(canary), encoding="utf-8")
    with pytest.raises(LabelError, match="labels") as caught:
        read_vector(path)
    assert CANARY not in str(caught.value)


def test_the_canary_would_sing(tmp_path, canary):
    """GDAL left to itself follows what the tests above refuse."""
    path = tmp_path / "labels.geojson"
    path.write_text("hello " + ogr_vrt(canary))
    assert CANARY in list(pyogrio.read_dataframe(path)["class"])


@pytest.mark.parametrize("magic", [b"fgb\x03fgb\x00", b"\0\0\x27\x0a", b"SQLite format 3\0", b"PAR1"])
def test_what_begins_like_another_format_opens_nothing(tmp_path, canary, magic):
    for suffix in ("fgb", "shp", "gpkg", "parquet", "vrt", "csv"):
        path = tmp_path / f"labels.{suffix}"
        path.write_bytes(magic + ogr_vrt(canary).encode())
        with pytest.raises(LabelError, match=r"labels\."):
            read_vector(path)


def test_archives_are_refused(tmp_path, canary):
    for name in ("a.zip", "a.gpkg", "a.kmz", "a.shp.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.vrt", ogr_vrt(canary))
        with pytest.raises(LabelError, match="is an archive; unzip it and give the vector file that is inside"):
            read_vector(tmp_path / name)


@pytest.mark.parametrize("key", ["crs", "\\u0063r\\u0073", "CRS", "\\u0043RS"])
@pytest.mark.parametrize("kind", ["link", "LINK", "url", "\\u006cink"])
def test_a_coordinate_system_is_not_fetched(tmp_path, listener, key, kind):
    address, asked = listener
    text = write(tmp_path / "a.geojson").read_text().rstrip()
    crs = f'"{key}" : {{"properties": {{"href": "{address}/a", "url": "{address}/b"}}, "type": "{kind}"}}'
    text = re.sub(r'"crs": \{[^}]*\} *\},', "", text)
    for place, changed in enumerate((f"{text[:-1]}, {crs}}}", "{" + crs + "," + text[1:])):
        path = tmp_path / f"link{place}.geojson"
        path.write_text(changed)
        with pytest.raises(LabelError, match="its coordinate system is a link to somewhere else"):
            read_vector(path)
    assert not asked


def test_a_coordinate_system_that_is_named_is_taken(tmp_path):
    text = write(tmp_path / "a.geojson").read_text().rstrip()
    text = re.sub(r'"crs": \{[^}]*\} *\},', "", text)[:-1]
    for crs in ('{"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}', "null"):
        path = tmp_path / "named.geojson"
        path.write_text(f'{text}, "crs": {crs}}}')
        assert read_vector(path).crs == ("EPSG:4326" if crs == "null" else "EPSG:3857")
    column = gpd.GeoDataFrame({"crs": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    column.to_file(tmp_path / "column.geojson")
    assert list(read_vector(tmp_path / "column.geojson")["crs"]) == ["a"]
    path.write_text(text + ', "crs": {"type"')
    with pytest.raises(LabelError, match="has a 'crs' that cannot be read"):
        read_vector(path)


@pytest.mark.parametrize("text", ["'crs'/5", "'crs'/[5]", "'crs' / null", "'crs'/'a'"])
def test_a_text_that_mentions_a_crs_is_none(tmp_path, text):
    assert list(read_vector(write(tmp_path / "a.geojson", text))["class"]) == [text]


def test_xml_fetches_nothing(tmp_path, listener):
    address, asked = listener
    text = write(tmp_path / "a.gml").read_text()
    schema = f"http://x {address}/wfs?SERVICE=WFS&amp;VERSION=1.0.0&amp;REQUEST=DescribeFeatureType&amp;TYPENAME=ogr:a"
    namespaces = 'xmlns:wfs="http://www.opengis.net/wfs" xmlns:gml="http://www.opengis.net/gml" xmlns:ogr="http://x"'
    instance = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    point = f'<gml:Point srsName="{address}/srs"><gml:coordinates>1,2</gml:coordinates></gml:Point>'
    member = f"<gml:featureMember><ogr:a><ogr:geom>{point}</ogr:geom></ogr:a></gml:featureMember>"
    (tmp_path / "wfs.gml").write_text(
        f'<wfs:FeatureCollection {namespaces} {instance} xsi:schemaLocation="{schema}">{member}</wfs:FeatureCollection>'
    )
    (tmp_path / "schema.gml").write_text(re.sub(r'schemaLocation="[^"]*"', f'schemaLocation="http://x {schema}"', text))
    for name in ("wfs.gml", "schema.gml"):
        assert len(read_vector(tmp_path / name)) == 1
    assert not asked


def test_xml_with_entities_is_refused(tmp_path, canary):
    text = write(tmp_path / "a.gml").read_text().partition("?>")[2]
    path = tmp_path / "entity.gml"
    path.write_text(f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{canary}">]>' + text.replace(">forest<", ">&e;<"))
    with pytest.raises(LabelError, match="no plain GML, KML or GPX"):
        read_vector(path)
    path.write_text(text.replace(">forest<", f"><!-- {ogr_vrt(canary)} --><"))
    with pytest.raises(LabelError, match=r"entity\.gml"):
        read_vector(path)
    path.write_text("<FeatureCollection><a></b>")
    with pytest.raises(LabelError, match="is not sound XML"):
        read_vector(path)


def test_a_geopackage_calls_nothing(tmp_path, canary):
    view = f"CREATE VIEW evil AS SELECT fid, geom, ogr_datasource_load_layers('{canary}') AS class FROM a"  # noqa: S608
    path = write(tmp_path / "a.gpkg")
    with sqlite3.connect(path) as database:
        database.execute(view)
        database.execute("UPDATE gpkg_contents SET table_name = 'evil', identifier = 'evil'")
        database.execute("UPDATE gpkg_geometry_columns SET table_name = 'evil'")
    database.close()
    with pytest.raises(LabelError, match=r"a\.gpkg"):
        read_vector(path)


ENDLESS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS fid, NULL AS geom FROM c WHERE x < 0"
)
HUGE = "SELECT fid, geom, hex(zeroblob(400000000)) AS class FROM a"


def changed(path, *statements):
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return path


def with_view(path, select):
    """A GeoPackage with the layer `a` and the view `v`."""
    others = "description, last_change, min_x, min_y, max_x, max_y, srs_id"
    return changed(
        write(path, layer="a"),
        f"CREATE VIEW V AS {select}",
        f"INSERT INTO gpkg_contents SELECT 'v', data_type, 'v', {others} FROM gpkg_contents",  # noqa: S608
        "INSERT INTO gpkg_geometry_columns SELECT 'v', 'geom', 'GEOMETRY', srs_id, z, m FROM gpkg_geometry_columns",
    )


@pytest.mark.parametrize("select", [ENDLESS, HUGE])
def test_a_view_is_not_run(tmp_path, select):
    path = with_view(tmp_path / "a?b#c%20.gpkg", select)
    with pytest.raises(LabelError, match=r"layer 'v' is a view, .*; save it as a layer of its own"):
        read_vector(path, layer="v")
    with pytest.raises(LabelError, match=r"has 2 layers \(a, v\)"):
        read_vector(path)
    assert list(read_vector(path, layer="a")["class"]) == ["forest"]


COMPUTED = "ALTER TABLE a ADD COLUMN b TEXT AS (hex(zeroblob(400000000)))"
VIRTUAL = ("DROP TABLE a", "CREATE VIRTUAL TABLE a USING fts4(geom, class)")


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ([COMPUTED], "layer 'a' has columns that are computed"),
        (VIRTUAL, "layer 'a' is a virtual table"),
        ([COMPUTED.replace(" a ", " gpkg_contents ")], "its 'gpkg_contents' has columns that are computed"),
        (
            ["ALTER TABLE gpkg_contents RENAME TO b", "CREATE VIEW gpkg_contents AS SELECT * FROM b"],
            "its 'gpkg_contents' is a view",
        ),
        (["DROP TABLE rtree_a_geom", f"CREATE VIEW rtree_a_geom AS {ENDLESS}"], "its 'rtree_a_geom' is a view"),
        (
            [
                "CREATE TABLE b AS SELECT * FROM gpkg_geometry_columns",
                "DROP TABLE gpkg_geometry_columns",
                "ALTER TABLE b RENAME TO gpkg_geometry_columns",
                "INSERT INTO gpkg_geometry_columns SELECT 'A', 'class', '', srs_id, z, m FROM gpkg_geometry_columns",
            ],
            "it lists a layer twice",
        ),
    ],
)
def test_what_a_geopackage_computes_is_refused(tmp_path, statements, says):
    with pytest.raises(LabelError, match=rf"a\.gpkg: .*{says}.*; save it"):
        read_vector(changed(write(tmp_path / "a.gpkg", layer="a"), *statements))


def state(folder):
    """What is in a folder, and when something was last made or removed there."""
    return folder.stat().st_mtime_ns, {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


class TestOtherProgramsFiles:
    """A GeoPackage that another program has opened, or left, stays as it is."""

    @pytest.fixture
    def logged(self, tmp_path):
        return changed(write(tmp_path / "a.gpkg", layer="a"), "PRAGMA journal_mode = wal")

    def test_changes_in_a_log_are_read_and_not_taken_over(self, logged, tmp_path):
        """As QGIS has it while a project is open."""
        with closing(sqlite3.connect(logged)) as database:
            for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # of the index's triggers
                database.create_function(name, 1, lambda _: 0)
            database.execute("UPDATE a SET class = 'water'")
            database.commit()
            assert (tmp_path / "a.gpkg-wal").stat().st_size
            before = state(tmp_path)
            assert list(read_vector(logged)["class"]) == ["water"]
            assert state(tmp_path) == before

    def test_a_journal_is_not_rolled_back(self, tmp_path):
        path = write(tmp_path / "a.gpkg")
        journal = tmp_path / "a.gpkg-journal"
        journal.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
        before = state(tmp_path)
        with pytest.raises(LabelError, match=r"in the middle of a change by another program"):
            read_vector(path)
        assert state(tmp_path) == before
        journal.write_bytes(bytes(512))
        assert len(read_vector(path)) == 1

    @pytest.mark.parametrize("beside", [(), ("-wal",), ("-wal", "-shm")])
    def test_nothing_is_made_or_removed(self, logged, tmp_path, beside):
        for end in beside:
            (tmp_path / f"a.gpkg{end}").touch()
        before = state(tmp_path)
        assert list(read_vector(logged)["class"]) == ["forest"]
        assert state(tmp_path) == before

    def test_a_name_that_gdal_would_not_find(self, logged, tmp_path):
        odd = logged.rename(tmp_path / "a%20.gpkg")
        before = state(tmp_path)
        assert list(read_vector(odd)["class"]) == ["forest"]
        assert state(tmp_path) == before


def test_a_database_that_is_no_geopackage(tmp_path):
    path = changed(tmp_path / "a.gpkg", "CREATE TABLE a (b)")
    with pytest.raises(LabelError, match=r"a\.gpkg: cannot be read as a vector file: no such table: gpkg_contents"):
        read_vector(path)


def copied(path, shape, count, group=100_000):
    """A GeoParquet file of one shape, many times."""
    table = pq.read_table(write(path))
    one = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), group), pa.array([shapely.to_wkb(shape)]))
    columns = {"class": pa.repeat("a", group), "geometry": one}
    schema = pa.schema({name: column.type for name, column in columns.items()})
    with pq.ParquetWriter(path, schema, store_schema=False, write_statistics=False) as file:
        file.add_key_value_metadata({"geo": table.schema.metadata[b"geo"].decode()})
        for _ in range(count // group):
            file.write_table(pa.table(columns, schema=schema))
    return path


def beside_shapes(path, column, times):
    """A GeoParquet file of 100 shapes with a column of as many values, many times."""
    table = pq.read_table(write(path))
    shapes = pa.array([shapely.to_wkb(shapely.Point(number, 1)) for number in range(100)])
    part = pa.table({"geometry": shapes, "more": column})
    with pq.ParquetWriter(path, part.schema, compression="zstd") as file:
        file.add_key_value_metadata({"geo": table.schema.metadata[b"geo"].decode()})
        for _ in range(times):
            file.write_table(part)
    return path


class TestParquetOfCopies:
    @pytest.mark.parametrize(
        ("vertices", "count", "says"),
        [
            (1, 5_000_000, "5,000,000 rows in [0-9,]+ bytes are no shapes that differ"),
            (1, 21_000_000, "21,000,000 rows of 2 columns are too many"),
            (10_000, 100_000, "its [0-9,]+ bytes would take 16,[0-9,]+ and more in memory"),
        ],
    )
    def test_they_take_no_memory(self, tmp_path, vertices, count, says):
        shape = shapely.Point(1, 2).buffer(1, vertices // 4)
        path = copied(tmp_path / "a.parquet", shape, count)
        tracemalloc.start()
        with pytest.raises(LabelError, match=rf"a\.parquet: cannot be read as a vector file: {says}"):
            read_vector(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
        assert pa.default_memory_pool().max_memory() < 1_000_000_000

    @pytest.mark.parametrize("kind", ["structure", "list", "map", "list in a structure"])
    def test_texts_that_are_nested_are_counted_too(self, tmp_path, kind):
        text = pa.array(["x" * 1_000_000] * 100)
        each = pa.array(range(101), pa.int32())
        column = {
            "structure": lambda: pa.StructArray.from_arrays([text], ["a"]),
            "list": lambda: pa.ListArray.from_arrays(each, text),
            "map": lambda: pa.MapArray.from_arrays(each, pa.array(["a"] * 100), text),
            "list in a structure": lambda: pa.StructArray.from_arrays([pa.ListArray.from_arrays(each, text)], ["a"]),
        }[kind]()
        path = beside_shapes(tmp_path / "a.parquet", column, 11)
        with pytest.raises(LabelError, match=r"its [0-9,]+ bytes would take 1,0[0-9,]+ and more in memory"):
            read_vector(path)

    def test_numbers_in_a_list_are_counted_too(self, tmp_path):
        column = pa.ListArray.from_arrays(pa.array([0] * 100 + [20_000_000], pa.int32()), np.zeros(20_000_000, np.int8))
        path = beside_shapes(tmp_path / "a.parquet", column, 7)
        with pytest.raises(LabelError, match=r"its [0-9,]+ bytes would take 1,120,[0-9,]+ and more in memory"):
            read_vector(path)

    def test_nested_columns_of_an_honest_file_are_read(self, tmp_path):
        kind = pa.struct({"names": pa.list_(pa.string()), "codes": pa.map_(pa.string(), pa.int64())})
        column = pa.array([{"names": [str(number), "b"], "codes": [("a", number)]} for number in range(100)], kind)
        assert len(read_vector(beside_shapes(tmp_path / "a.parquet", column, 2))) == 200

    def test_some_are_read(self, tmp_path):
        assert len(read_vector(copied(tmp_path / "a.parquet", shapely.Point(1, 2), 1000, 1000))) == 1000


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_a_name_that_looks_like_an_archive_leads_nowhere_else(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"b{suffix}", CANARY)
    path = write(tmp_path / f"a{suffix}").rename(tmp_path / f"a!b{suffix}")
    with pytest.raises(LabelError, match="has a '!' in its path, which would lead to another file; rename it"):
        read_vector(path)


def test_shapes_are_cut_to_what_is_within_reach():
    grid = Grid(None, Affine(1, 0, 0, 0, -1, 0), 10, 10)
    covers = shapely.Polygon([(-1e18, -5), (1e18, -5), (5, 1e18)])
    beside = shapely.Polygon([(-1, 1e18), (-1e18, -1), (-1e18, 1e18)])
    near, point = shapely.box(0, -5, 900_000, 0), shapely.Point(5, -5)
    cut = within_reach(np.array([covers, beside, near, point]), grid)
    assert cut[0].equals(shapely.box(-1, -5, 11, 1))
    assert not cut[1].intersects(shapely.box(*grid.bounds))
    assert not cut[1].is_empty
    assert cut[2:].tolist() == [near, point]


def test_a_shape_that_came_out_of_a_projection_without_end_is_cut_without_a_word():
    grid = Grid(None, Affine(1, 0, 0, 0, -1, 0), 10, 10)
    endless = shapely.Polygon([(0, 0), (np.inf, np.inf), (5, -5), (0, 0)])
    (cut,) = within_reach(np.array([endless]), grid)
    assert np.isfinite(shapely.bounds(cut)).all()


def test_errors_are_of_the_type_asked_for(tmp_path):
    for name, content, says in (
        ("gone.gpkg", None, "there is no such file"),
        ("empty.gpkg", "", "the file is empty"),
        ("text.gpkg", "nothing", "no vector file that geoseg reads, or a description of other sources"),
        ("broken.geojson", "{", "cannot be read as a vector file"),
        ("none.geojson", '{"type": "FeatureCollection", "features": []}', "holds no geometry|no layer"),
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(SceneError, match=f"{re.escape(name)}: .*({says})"):
            read_vector(tmp_path / name, error=SceneError)
    with pytest.raises(SceneError, match="is a folder"):
        read_vector(tmp_path, error=SceneError)
    write(tmp_path / "part.shp")
    with pytest.raises(SceneError, match=r"is a part of a shapefile.*; give the \.shp file"):
        read_vector(tmp_path / "part.shx", error=SceneError)


class TestGrids:
    """A coordinate system can name a file, which PROJ would open and, if it is a pipe, wait for."""

    @pytest.fixture
    def grid(self, tmp_path):
        """A pipe: whoever opens it never ends."""
        os.mkfifo(tmp_path / "grid.gsb")
        return f"+proj=longlat +ellps=WGS84 +nadgrids={tmp_path}/grid.gsb +type=crs"

    @pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.shp", "a.parquet"])
    def test_no_format_leads_to_one(self, tmp_path, grid, name):
        path = write(tmp_path / name)
        text = pyproj.CRS(grid).to_wkt("WKT1_GDAL")
        if name == "a.gpkg":
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE gpkg_spatial_ref_sys SET definition = ?, organization = 'x'", (text,))
        elif name == "a.fgb":
            path.write_bytes(path.read_bytes()[:300] + text.encode())
        elif name == "a.shp":
            path.with_suffix(".prj").write_text(text)
        else:
            gpd.read_parquet(path).set_crs(grid, allow_override=True).to_parquet(path)
        with pytest.raises(LabelError, match=rf"{name}: its coordinate system names the file .*grid\.gsb, which would"):
            read_vector(path)

    @pytest.mark.parametrize(("name", "works"), [("absent.gsb", False), ("@absent.gsb", True), ("@null", True)])
    def test_one_that_is_not_here_is_told_at_once(self, tmp_path, name, works):
        path = write(tmp_path / "a.gpkg")
        crs = f"+proj=longlat +ellps=WGS84 +nadgrids={name} +type=crs"
        gpd.read_file(path).set_crs(crs, allow_override=True).to_file(tmp_path / "b.gpkg")
        if works:
            assert len(read_vector(tmp_path / "b.gpkg").to_crs(4326)) == 1
            return
        with pytest.raises(LabelError, match=r"b\.gpkg: cannot be placed .* needs a grid file that is not installed"):
            read_vector(tmp_path / "b.gpkg")

    def test_texts_lead_to_none(self, tmp_path, grid):
        path = write(tmp_path / "a.geojson")
        text = json.loads(path.read_text())
        text["crs"] = {"type": "name", "properties": {"name": grid}}
        path.write_text(json.dumps(text))
        with pytest.raises(LabelError, match="its coordinate system names the file"):
            read_vector(path)
        path = write(tmp_path / "a.gml")
        for name in (grid, grid.replace("+", "&#43;")):
            path.write_text(re.sub('srsName="[^"]*"', f'srsName="{name}"', path.read_text()))
            with pytest.raises(LabelError, match="is a definition, not a code"):
                read_vector(path)

    def test_the_network_of_proj_is_off_whatever_the_environment_says(self):
        code = "import geoseg.vector, pyproj; print(pyproj.network.is_network_enabled())"
        environment = os.environ | {"PROJ_NETWORK": "ON"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


@pytest.mark.parametrize("inside", [False, True], ids=["a number", "a list"])
def test_parquet_whose_notes_of_a_column_are_broken_does_not_end_the_process(tmp_path, inside):
    """Arrow throws where nothing catches it, when it is asked for such a column: so it is tried in another process."""
    shapes = [shapely.Point(each, 0) for each in range(1000)]
    frame = gpd.GeoDataFrame({"class": [[1]] * 1000 if inside else [1] * 1000}, geometry=shapes, crs=4326)
    frame.to_parquet(tmp_path / "sound.parquet")
    content = (tmp_path / "sound.parquet").read_bytes()
    foot = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    # One count more of how many values are there: two or more, each in so many bytes.
    counts = re.compile(rb"([\x26\x36])((?:\x00)+\xd0\x0f)")
    broken = counts.sub(lambda found: bytes([found[1][0] + 16]) + b"\0" + found[2], content[foot:-8], count=1)
    assert broken != content[foot:-8]
    (tmp_path / "a.parquet").write_bytes(content[:foot] + broken + len(broken).to_bytes(4, "little") + b"PAR1")
    script = "import sys; from geoseg.vector import read_vector; read_vector(sys.argv[1])"
    run = [sys.executable, "-c", script, str(tmp_path / "a.parquet")]
    ended = subprocess.run(run, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "a.parquet: cannot be read as a vector file: Definition level histogram size" in ended.stderr
