"""Coordinate systems that are valid and have no way to the others: one line, and no traceback of PROJ or GDAL."""

import geopandas as gpd
import pytest
from hostile.conftest import write
from rasterio.crs import CRS

from conftest import striped

LOCAL = 'LOCAL_CS["the site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
MARS = "+proj=utm +zone=32 +a=3396190 +b=3376200 +type=crs"
NO_WAY = "there is no way there"


@pytest.fixture(params=[LOCAL, MARS], ids=["local", "mars"])
def placeless(request, world):
    """The world with `strange.tif` and `strange_labels.tif` in such a coordinate system."""
    values, classes = striped(72, 80, 3)
    crs = CRS.from_user_input(request.param)
    write(world.inputs / "strange.tif", values, crs=crs)
    write(world.inputs / "strange_labels.tif", classes[None], nodata=0, crs=crs)
    polygons = gpd.read_file(world.inputs / "polygons.gpkg")
    polygons["class"] = [1, 2, 3, 1]
    polygons["split"] = ["train", "val", "train", "test"]
    polygons.to_crs(4326).to_file(world.inputs / "degrees.gpkg")
    points = polygons.set_geometry(polygons.centroid)
    points.to_crs(4326).to_file(world.inputs / "points.gpkg")
    polygons.set_crs(crs.to_wkt(), allow_override=True).to_file(world.inputs / "strange.gpkg")
    return world


COMMANDS = {
    "labels": ("degrees.gpkg", "tile strange.tif --labels degrees.gpkg --class-field class -o chips --chip-size 16"),
    "strange labels": ("strange.gpkg", "tile scene.tif --labels strange.gpkg --class-field class -o chips"),
    "class raster": ("labels.tif", "tile strange.tif --labels labels.tif -o chips --chip-size 16"),
    "areas": ("degrees.gpkg", "tile strange.tif --labels strange_labels.tif --areas degrees.gpkg -o chips"),
    "area of interest": ("degrees.gpkg", "predict MODEL strange.tif --aoi degrees.gpkg -o map.tif --runtime torch"),
    "map's CRS": ("strange.tif", "predict MODEL strange.tif --dst-crs EPSG:4326 -o map.tif --runtime torch"),
    "polygons' CRS": ("the map", "vectorize strange_labels.tif --dst-crs EPSG:4326 -o p.gpkg"),
    "polygons in degrees": ("p.geojson", "vectorize strange_labels.tif -o p.geojson"),
    "a line for each": ("p.geojsonl", "vectorize strange_labels.tif -o p.geojsonl"),
    "cut by regions": ("degrees.gpkg", "vectorize strange_labels.tif --by degrees.gpkg -o p.gpkg"),
    "judged by a raster": ("labels.tif", "evaluate strange_labels.tif labels.tif -o report"),
    "judged by polygons": ("degrees.gpkg", "evaluate strange_labels.tif degrees.gpkg --class-field class -o report"),
    "judged in regions": (
        "degrees.gpkg",
        "evaluate strange_labels.tif strange_labels.tif --regions degrees.gpkg -o report",
    ),
    "judged by region": ("degrees.gpkg", "evaluate strange_labels.tif strange_labels.tif --by degrees.gpkg -o report"),
    "judged by points": ("points.gpkg", "evaluate strange_labels.tif --samples points.gpkg --class-field class -o r"),
    "strata": ("labels.tif", "sample strange_labels.tif --strata labels.tif --size 20 --least 2 -o points.gpkg"),
    "on a page": ("degrees.gpkg", "view strange.tif degrees.gpkg -o page.html"),
    "beside a scene": ("strange_labels.tif", "view scene.tif strange_labels.tif -o page.html"),
    "regions of an atlas": ("strange.gpkg", "map strange.gpkg --scenes scene.tif --model MODEL -o atlas -j 1"),
    "scenes of an atlas": ("strange.tif", "map degrees.gpkg --scenes strange.tif --strict --model MODEL -o atlas -j 1"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_cannot_be_placed_is_told_in_a_line(placeless, name):
    names, line = COMMANDS[name]
    placeless.refuses(*_words(placeless, line), names=names, says=NO_WAY)


@pytest.mark.parametrize("crs", [LOCAL, MARS], ids=["local", "mars"])
def test_an_atlas_in_a_coordinate_system_off_the_earth(world, crs):
    line = "map regions.gpkg --scenes scene.tif --model MODEL --resolution 10 -o atlas -j 1"
    polygons = gpd.read_file(world.inputs / "polygons.gpkg")
    polygons.to_file(world.inputs / "regions.gpkg")
    world.refuses(*_words(world, line), "--crs", crs, names="the regions", says=NO_WAY)


def test_what_needs_no_other_place_is_done(placeless):
    placeless.works(*_words(placeless, "evaluate strange_labels.tif strange_labels.tif -o report"))
    placeless.works(*_words(placeless, "vectorize strange_labels.tif -o p.gpkg"))
    placeless.works(*_words(placeless, "tile strange.tif --labels strange_labels.tif -o chips --chip-size 16"))


def _words(world, line):
    """The words of a command, the files in the folders of the world."""
    words = line.split()
    for place, word in enumerate(words):
        if word == "MODEL":
            words[place] = world.model
        elif words[place - 1] == "-o":
            words[place] = world.out / word
        elif "." in word and not word.startswith("-"):
            words[place] = world.inputs / word
    return words
