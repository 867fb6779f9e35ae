"""Labels that tests draw."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from conftest import CORNER, UTM, polygons
from geoseg.grid import Grid
from geoseg.legend import IGNORE

GRID = Grid(CRS.from_user_input(UTM), CORNER, 40, 50)
FOREST, WATER = (2, 3, 10, 12), (20, 30, 8, 9)


@pytest.fixture
def drawn(tmp_path):
    path = tmp_path / "labels.gpkg"
    polygons({"forest": [FOREST], "water": [WATER]}).to_file(path)
    return path


def expected():
    array = np.full(GRID.shape, IGNORE, np.uint8)
    array[2:12, 3:15], array[20:28, 30:39] = 0, 1
    return array


def columns(tmp_path, **values):
    frame = polygons({"x": [FOREST, WATER]}).drop(columns="class").assign(**values)
    path = tmp_path / "columns.gpkg"
    frame.to_file(path)
    return path


def shapes(folder, geometries, classes=None, crs=UTM, name="shapes.gpkg"):
    path = folder / name
    classes = classes or ["a"] * len(geometries)
    gpd.GeoDataFrame({"class": classes}, geometry=geometries, crs=crs).to_file(path)
    return path


def square(row, col, size):
    return shapely.box(*(CORNER @ (col, row + size)), *(CORNER @ (col + size, row)))
