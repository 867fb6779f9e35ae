"""Labels and references that are broken, lie elsewhere or are something else."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hostile.conftest import write

from conftest import CORNER, UTM, striped

CLASSES = striped(72, 80, 3)[1]
SQUARE = shapely.box(500_050, 5_399_400, 500_700, 5_399_950)


def tile_refuses(world, labels, says="", *further):
    world.refuses(*world.tile(world.scene, labels, *further), names=labels.name, says=says)


def raster(world, values, **profile):
    return write(world.inputs / "odd.tif", np.atleast_3d(values).reshape(-1, *values.shape[-2:]), **profile)


class TestRasters:
    @pytest.mark.parametrize(("values", "profile", "says"), [
        (CLASSES + 0.5, {}, "such as 1.5"),
        (CLASSES.astype(np.complex64), {}, "complex"),
        (np.stack([CLASSES] * 3), {}, "3 bands"),
        (np.where(CLASSES == 3, -1, CLASSES.astype(np.int16)), {}, "holds the value -1"),
        (np.zeros_like(CLASSES), {"nodata": 0}, "no valid pixel"),
        (CLASSES, {"compress": "jpeg"}, "JPEG"),
        (CLASSES, {"transform": CORNER @ Affine.translation(0, 9000)}, "no labelled pixel"),
        (np.arange(5760, dtype=np.uint16).reshape(72, 80), {}, "254 different"),
    ])  # fmt: skip
    def test_what_is_no_class_raster(self, world, values, profile, says):
        tile_refuses(world, raster(world, values, **profile), says)

    def test_a_raster_without_a_place(self, world):
        tile_refuses(world, raster(world, CLASSES, crs=None, transform=None), "CRS")

    def test_whole_numbers_in_floating_point_are_classes(self, world):
        values = np.where(CLASSES == 3, np.nan, CLASSES).astype(np.float32)
        found = json.loads(world.works(*world.tile(world.scene, raster(world, values), "--json")).stdout)
        assert set(found["classes"]["train"]) == {"class 1", "class 2"}

    @pytest.mark.parametrize("value", [0, 255])
    def test_values_that_often_mean_nothing_are_pointed_out(self, world, value):
        labels = raster(world, np.where(CLASSES == 3, value, CLASSES).astype(np.uint8))
        assert f"value {value} is taken as a class" in world.works(*world.tile(world.scene, labels)).stderr

    def test_a_class_that_the_legend_lacks(self, world):
        legend = world.inputs / "legend.toml"
        legend.write_text('[[class]]\nid = 1\nname = "a"\n[[class]]\nid = 2\nname = "b"\n')
        tile_refuses(world, world.labels, "holds 3", "--legend", legend)

    def test_a_map_and_a_reference_of_other_classes(self, world):
        mapped = raster(world, CLASSES + np.uint8(6), nodata=0)
        words = ("evaluate", mapped, world.labels, "-o", world.out / "report")
        assert "labels.tif" in world.refuses(*words, names="odd.tif")

    def test_what_is_declared_is_limited_for_labels_and_maps_too(self, world):
        huge = raster(world, np.vstack([CLASSES, CLASSES[:1]]), nodata=0)
        least = ("--max-pixels", 5800)
        tile_refuses(world, huge, "--max-pixels 5840", *least)
        commands = (
            ("vectorize", huge, "-o", world.out / "map.gpkg"),
            ("evaluate", world.labels, huge, "-o", world.out / "report"),
            ("view", huge, "-o", world.out / "page.html"),
        )
        for words in commands:
            world.refuses(*words, *least, names="odd.tif", says="--max-pixels 5840")
        for words in commands:
            world.works(*words, "--max-pixels", 5840)

    @pytest.mark.parametrize(("values", "says"), [
        (CLASSES * 0.3, "whole numbers"), (np.stack([CLASSES] * 3), "band"),
    ])  # fmt: skip
    def test_what_cannot_become_polygons(self, world, values, says):
        mapped = raster(world, values)
        world.refuses("vectorize", mapped, "-o", world.out / "map.gpkg", names="odd.tif", says=says)


def geojson(*features, **further):
    return json.dumps({"type": "FeatureCollection", "features": features} | further)


def feature(coordinates, **properties):
    shape = {"type": "Polygon", "coordinates": [coordinates]}
    return {"type": "Feature", "properties": properties, "geometry": shape}


RING = [[9.001, 48.745], [9.003, 48.745], [9.003, 48.748], [9.001, 48.745]]
TEXTS = {
    "no JSON": ("labels.geojson", "{type: FeatureCollection,,,", ""),
    "nothing in it": ("labels.geojson", geojson(), "no geometry"),
    "no number": ("labels.geojson", geojson(feature([[float("nan"), 48.7], *RING[1:]])), ""),
    "metres without a CRS": ("labels.geojson", geojson(feature([[5e5 * x, 1e5 * y] for x, y in RING],
                             **{"class": 1})), "no labelled pixel"),
    "axes swapped": ("labels.geojson", geojson(feature([[y, x] for x, y in RING], **{"class": 1})),
                     "no labelled pixel"),
    "a CRS that is a link": ("labels.geojson", geojson(feature(RING), crs={"type": "link", "properties": {
                             "href": "http://127.0.0.1:9/crs"}}), "labels.geojson"),
    "a description of others": ("labels.geojson", "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/etc/passwd"
                                "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>", "description of other sources"),
    "entities": ("labels.kml", "<!DOCTYPE kml [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><kml>&a;</kml>", "no plain"),
    "an empty parquet": ("labels.parquet", "PAR1PAR1", "cannot be read"),
    "half a database": ("labels.gpkg", "SQLite format 3\0" + "\0" * 500, "cannot be read"),
}  # fmt: skip


class TestVectors:
    @pytest.mark.parametrize("name", TEXTS)
    def test_what_cannot_be_read(self, world, name):
        file, text, says = TEXTS[name]
        labels = world.inputs / file
        labels.write_text(text)
        tile_refuses(world, labels, says)

    def test_what_was_cut_off(self, world):
        labels = world.inputs / "cut.gpkg"
        content = (world.inputs / "polygons.gpkg").read_bytes()
        labels.write_bytes(content[: len(content) // 2])
        tile_refuses(world, labels)

    @pytest.mark.parametrize("part", [".shx", ".dbf", ".prj"])
    def test_a_shapefile_without_a_part(self, world, part):
        labels = world.inputs / "shapes.shp"
        gpd.GeoDataFrame({"class": ["a"]}, geometry=[SQUARE], crs=UTM).to_file(labels)
        labels.with_suffix(part).unlink()
        tile_refuses(world, labels)

    @pytest.mark.parametrize(("columns", "says"), [
        ({"note": ["x"]}, "note"), ({"class_id": [1.5]}, "1.5"), ({"class": [None]}, ""), ({"class_id": [-4]}, "-4"),
    ])  # fmt: skip
    def test_classes_that_are_none(self, world, columns, says):
        labels = world.inputs / "odd.gpkg"
        gpd.GeoDataFrame(columns, geometry=[SQUARE], crs=UTM).to_file(labels)
        tile_refuses(world, labels, says)

    def test_several_layers(self, world):
        labels = world.inputs / "two.gpkg"
        frame = gpd.read_file(world.inputs / "polygons.gpkg")
        frame.to_file(labels, layer="first")
        frame.to_file(labels, layer="second")
        tile_refuses(world, labels, "--layer")
        world.works(*world.tile(world.scene, labels, "--layer", "first"))

    def test_what_is_broken_and_can_be_mended_is_counted(self, world):
        labels = world.inputs / "bow.gpkg"
        bow = shapely.Polygon([(500_050, 5_399_950), (500_700, 5_399_400), (500_700, 5_399_950), (500_050, 5_399_400)])
        shapes = [bow, None, SQUARE]
        gpd.GeoDataFrame({"class": ["a", "b", "b"]}, geometry=shapes, crs=UTM).to_file(labels)
        said = world.works(*world.tile(world.scene, labels)).stderr
        assert "1 invalid geometries were repaired" in said
        assert "1 of 3 features have no geometry" in said

    def test_regions_that_are_no_polygons(self, world):
        regions = world.inputs / "points.gpkg"
        gpd.GeoDataFrame({"name": ["p1"]}, geometry=[shapely.Point(500_100, 5_399_900)], crs=UTM).to_file(regions)
        words = ("map", regions, "--scenes", world.scene, "--model", world.model, "-o", world.out / "atlas")
        world.refuses(*words, names="points.gpkg")
