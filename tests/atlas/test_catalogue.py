"""Catalogues of scenes that a map of regions reads, and the one that it leaves."""

import csv
import http.server
import json
import threading

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from atlas.conftest import QUARTERS, pixels, rectangles, scene
from pystac.validation.local_validator import LocalValidator

from geoseg.errors import OptionError, SceneError


def test_the_catalogue_opens_everywhere(first):
    atlas, outcomes = first
    for path in [atlas / "collection.json", *(atlas / name for name in outcomes["item"])]:
        with pytest.warns(DeprecationWarning, match="LocalValidator"):
            validator = LocalValidator()
        content = json.loads(path.read_text())
        schema = validator.collection_validator if content["type"] == "Collection" else validator.item_validator
        assert not list(schema().iter_errors(content)), path
    items = list(pystac.Collection.from_file(atlas / "collection.json").get_items())
    assert {item.properties["title"] for item in items} == set(QUARTERS)
    for item in items:
        with rasterio.open(item.assets["map"].get_absolute_href()) as dataset:
            assert dataset.crs.to_string() == item.properties["proj:code"]
            assert list(dataset.transform)[:6] == item.properties["proj:transform"]
        sources = {link.href for link in item.links if link.rel == "derived_from"}
        assert sources <= {f"file://{path}" for path in (atlas.parent / "scenes").iterdir()}
    together, _ = pixels(atlas, outcomes)
    with rasterio.open(atlas / "maps.vrt") as dataset:
        col, row = (round(value) for value in ~dataset.transform @ (500_000, 5_400_000))
        assert (dataset.read(1)[row : row + 260, col : col + 400] == together).all()
        assert dataset.colormap(1)[0][3] == 0
    polygons = gpd.read_parquet(atlas / "polygons.parquet")
    assert set(polygons["region"]) == set(QUARTERS)
    assert polygons["pixels"].sum() == (together > 0).sum()
    assert polygons.area.sum() == pytest.approx(100 * (together > 0).sum())
    with (atlas / "areas.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["total_km2"]) == pytest.approx(polygons["area_m2"].sum() / 1e6, rel=1e-4)
    assert (atlas / "areas.png").read_bytes().startswith(b"\x89PNG")
    assert gpd.read_parquet(atlas / "regions.parquet")["state"].eq("done").all()


def test_regions_far_apart_have_their_own_crs_and_one_index(make, tmp_path):
    """The second scene lies nine zones farther east."""
    near, far = (scene(tmp_path / f"{zone}.tif", 0, 0, 80, 80, crs=f"EPSG:326{zone}") for zone in (32, 41))
    regions = [rectangles(tmp_path / f"{zone}.gpkg", {f"zone {zone}": (0, 0, 80, 80)}) for zone in (32, 41)]
    frames = [gpd.read_file(regions[0]), gpd.read_file(regions[1]).set_crs("EPSG:32641", allow_override=True)]
    both = gpd.pd.concat([frame.to_crs(4326) for frame in frames])
    both.to_file(tmp_path / "both.gpkg")
    outcomes = make(tmp_path / "both.gpkg", [near, far], confidence=True)
    assert (outcomes["state"] == "done").all()
    systems = {rasterio.open(tmp_path / "atlas" / name).crs.to_epsg() for name in outcomes["map"]}
    assert systems == {32632, 32641}
    polygons = gpd.read_parquet(tmp_path / "atlas" / "polygons.parquet")
    assert polygons.crs.to_epsg() == 4326
    assert polygons.is_valid.all()
    assert polygons["confidence_mean"].between(1 / 3 - 0.01, 1).all()
    with rasterio.open(tmp_path / "atlas" / "maps.gti.gpkg") as dataset:
        assert dataset.crs.to_epsg() == 4326
        west, south, east, north = both.total_bounds
        assert np.allclose(dataset.bounds, (west, south, east, north), atol=1e-3)
        corner = dataset.read(1, window=rasterio.windows.Window(0, dataset.height - 120, 100, 120))
        assert set(np.unique(corner)) > {0, 2}
    with pytest.raises(OptionError, match="one CRS"):
        make(tmp_path / "both.gpkg", [near, far], "grid", grid="1km")


def test_an_index_and_stac_items_name_scenes(first, make, quarters, scenes, tmp_path):
    together, _ = pixels(*first)
    shapes = []
    for path in sorted(scenes.iterdir()):
        with rasterio.open(path) as dataset:
            shapes.append(shapely.box(*dataset.bounds))
    names = [f"scenes/{path.name}" for path in sorted(scenes.iterdir())]
    frame = gpd.GeoDataFrame({"location": names, "datetime": "2024-05-06"}, geometry=shapes, crs="EPSG:32632")
    frame.to_file(tmp_path / "index.gpkg")
    indexed = make(quarters, tmp_path / "index.gpkg", "indexed", polygons=False)
    assert (pixels(tmp_path / "indexed", indexed)[0] == together).all()
    item = json.loads((tmp_path / "indexed" / indexed["item"][0]).read_text())
    assert item["properties"]["datetime"] == "2024-05-06T00:00:00Z"
    features = [
        {
            "type": "Feature",
            "id": path.stem,
            "geometry": shapely.geometry.mapping(shape),
            "properties": {"datetime": "2024-05-06T10:00:00Z", "eo:cloud_cover": number},
            "assets": {"data": {"href": f"./scenes/{path.name}", "roles": ["data"]}},
        }
        for number, (path, shape) in enumerate(zip(sorted(scenes.iterdir()), frame.to_crs(4326).geometry, strict=True))
    ]
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert (pixels(tmp_path / "items", make(quarters, items, "items", polygons=False))[0] == together).all()
    frame.assign(datetime="2024-05-06 01:30:00+02:00").to_file(tmp_path / "zone.gpkg")
    zone = make(quarters, tmp_path / "zone.gpkg", "zone", polygons=False)
    item = json.loads((tmp_path / "zone" / zone["item"][0]).read_text())
    assert item["properties"]["datetime"] == "2024-05-05T23:30:00Z"
    frame.assign(datetime="summer").to_file(tmp_path / "summer.gpkg")
    with pytest.raises(SceneError, match="'summer' in its column 'datetime', which is no date"):
        make(quarters, tmp_path / "summer.gpkg", "summer")
    frame["location"] = "../../etc/passwd"
    frame.to_file(tmp_path / "outside.gpkg")
    with pytest.raises(SceneError, match="outside of its folder"):
        make(quarters, tmp_path / "outside.gpkg", "outside")
    features[0]["assets"]["data"]["href"] = "https://example.org/a.tif"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(SceneError, match="--allow-remote"):
        make(quarters, items, "remote")
    features[0]["properties"]["datetime"] = "summer"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(SceneError, match="time that cannot be read"):
        make(quarters, items, "timeless", allow_remote=True)
    items.write_text("[]")
    with pytest.raises(SceneError, match="not a STAC item collection"):
        make(quarters, items, "nothing")


@pytest.fixture
def api(scenes, tmp_path):
    """A STAC API with the scenes, what it was asked, and its items."""
    asked = []
    items = []
    for path in sorted(scenes.iterdir()):
        with rasterio.open(path) as dataset:
            shape = gpd.GeoSeries([shapely.box(*dataset.bounds)], crs=dataset.crs).to_crs(4326)[0]
        properties = {"datetime": "2024-05-06T10:00:00Z"}
        assets = {"image": {"href": str(path)}}
        geometry = {"geometry": shapely.geometry.mapping(shape), "bbox": shape.bounds}
        item = {"type": "Feature", "stac_version": "1.0.0", "id": path.stem, "links": []}
        items.append(item | geometry | {"properties": properties, "assets": assets})

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            here = f"http://127.0.0.1:{self.server.server_port}/"
            self.answer({"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "a test",
                         "conformsTo": ["https://api.stacspec.org/v1.0.0/core",
                                        "https://api.stacspec.org/v1.0.0/item-search",
                                        "https://api.stacspec.org/v1.0.0/item-search#query"],
                         "links": [{"rel": "self", "href": here}, {"rel": "root", "href": here},
                                   {"rel": "search", "href": here + "search", "method": "POST",
                                    "type": "application/geo+json"}]})  # fmt: skip

        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer({"type": "FeatureCollection", "features": items, "links": []})

        def answer(self, content):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"stac+http://127.0.0.1:{server.server_port}/", asked, items
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_api_is_searched_over_the_regions(first, api, make, quarters, tmp_path):
    pytest.importorskip("pystac_client")
    address, asked, items = api
    words = f"{address}?collections=s2&datetime=2024-05-01/2024-06-01&max_cloud=20"
    outcomes = make(quarters, words, allow_remote=True, polygons=False)
    assert (pixels(tmp_path / "atlas", outcomes)[0] == pixels(*first)[0]).all()
    assert asked[0]["collections"] == ["s2"]
    assert asked[0]["query"] == {"eo:cloud_cover": {"lte": 20.0}}
    west, south, east, north = asked[0]["bbox"]
    assert 8.9 < west < east < 9.1
    assert 48 < south < north < 49
    with pytest.raises(SceneError, match="outside of its folder"):
        make(quarters, words, "untrusted")
    with pytest.raises(OptionError, match="'cloud' cannot be asked for; did you mean 'max_cloud'"):
        make(quarters, f"{address}?cloud=20", "other")
    with pytest.raises(SceneError, match="cannot be searched"):
        make(quarters, "stac+http://127.0.0.1:9/", "nobody")
    items[:] = [{"type": "Feature", "id": "bare"}]
    with pytest.raises(SceneError, match="holds no STAC item"):
        make(quarters, words, "bare", allow_remote=True)
