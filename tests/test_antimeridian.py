"""Shapes over scenes that lie across the antimeridian, whose longitudes go on beyond 180."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

import geoseg
from geoseg.antimeridian import turned_onto
from geoseg.assessment.compare import Regions
from geoseg.chips.areas import read_areas
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.named_regions import NamedRegions
from geoseg.scene import ArrayScene

# From 179 east to 179 west.
GRID = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 179, 0, -0.01, -16), 100, 200)
INSIDE = np.zeros(GRID.shape, bool)
INSIDE[20:40, 50:150] = True

SHAPES = {
    "beyond 180": gpd.GeoSeries([shapely.box(179.5, -16.4, 180.5, -16.2)], crs="EPSG:4326"),
    "cut in two": gpd.GeoSeries(
        [shapely.union(shapely.box(179.5, -16.4, 180, -16.2), shapely.box(-180, -16.4, -179.5, -16.2))],
        crs="EPSG:4326",
    ),
}
SHAPES["in metres"] = SHAPES["beyond 180"].to_crs("EPSG:3460")


@pytest.fixture(params=SHAPES)
def file(request, tmp_path):
    """The same polygon, as it may be drawn."""
    path = tmp_path / "shapes.gpkg"
    gpd.GeoDataFrame({"class": ["water"]}, geometry=SHAPES[request.param]).to_file(path)
    return path


def test_labels_lie_on_both_sides(file):
    labels = open_labels(file, field="class")
    whole = labels.read(GRID) == 0
    assert (whole == INSIDE).mean() > 0.999
    for col in (0, 60, 120):
        part = GRID.crop(Window(col, 0, 60, 100))
        assert ((labels.read(part) == 0) == whole[:, col : col + 60]).all()


def test_an_area_of_interest_lies_on_both_sides(file, constant_model, tmp_path):
    scene = ArrayScene(np.ones((2, 100, 200), np.uint8), grid=GRID)
    found = geoseg.predict(constant_model, scene, tmp_path / "map.tif", aoi=file)
    assert 1 - found.nodata == pytest.approx(INSIDE.mean(), rel=0.02)


def test_regions_lie_on_both_sides(file):
    assert (Regions.of(gpd.read_file(file), GRID, "regions").inside(GRID) == INSIDE).mean() > 0.999


def test_named_regions_lie_on_both_sides(file):
    assert ((NamedRegions(file, "class", GRID).numbers(GRID) == 1) == INSIDE).mean() > 0.999


def test_areas_of_a_split_lie_on_both_sides(file, tmp_path):
    gpd.read_file(file).assign(split="train").to_file(tmp_path / "areas.gpkg")
    covered = np.zeros(GRID.shape, bool)
    for _, row, col, height, width in read_areas(tmp_path / "areas.gpkg").windows(GRID, chip=20, gap=0).tolist():
        covered[row : row + height, col : col + width] = True
    assert covered[INSIDE].mean() > 0.99


def test_a_polygon_in_metres_is_no_belt_around_the_globe(tmp_path):
    """On a scene that ends at the antimeridian, from the west, only what lies there is drawn."""
    path = tmp_path / "shapes.gpkg"
    gpd.GeoDataFrame({"class": ["water"]}, geometry=SHAPES["in metres"]).to_file(path)
    west = Grid(GRID.crs, Affine(0.01, 0, 179, 0, -0.01, -16), 100, 100)
    drawn = open_labels(path, field="class").read(west) == 0
    assert (drawn == INSIDE[:, :100]).mean() > 0.999


def test_elsewhere_nothing_is_turned():
    shapes = SHAPES["cut in two"].to_numpy()
    same, rows = turned_onto(shapes, Grid(GRID.crs, Affine(0.01, 0, 8, 0, -0.01, 50), 100, 100))
    assert same is shapes
    assert rows.tolist() == [0]
