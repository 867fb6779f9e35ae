"""Where polygons lie in another coordinate system: at the same place, whatever they are given for."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window

from conftest import UTM
from geoseg.assessment.compare import Regions
from geoseg.atlas.globe import fine_step, placed
from geoseg.atlas.regions import read_regions
from geoseg.chips.areas import read_areas
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.named_regions import NamedRegions
from geoseg.placing import moved
from geoseg.prediction.aoi import clipped
from geoseg.readers import open_scene
from geoseg.vector import read_vector
from geoseg.viewing.files import on_page
from geoseg.viewing.place import Place

# A strip along the 50th parallel: its straight edge in degrees is 240 m away from the chord of its ends.
GRID = Grid(CRS.from_user_input(UTM), Affine(20, 0, 500_000, 0, -20, 5_540_000), 100, 5000)
BOX = shapely.box(9.05, 50.002, 10.35, 50.006)


@pytest.fixture
def box(tmp_path):
    frame = gpd.GeoDataFrame({"class": ["a"], "split": ["train"]}, geometry=[BOX], crs="EPSG:4326")
    path = tmp_path / "box.gpkg"
    frame.to_file(path)
    return path


def drawn(shapes):
    return rasterize(list(shapes), GRID.shape, transform=GRID.transform, dtype="uint8") != 0


def as_area_of_interest(path):
    scene = path.with_suffix(".tif")
    with rasterio.open(scene, "w", driver="GTiff", width=GRID.width, height=GRID.height, count=1, dtype="uint8",
                       crs=GRID.crs, transform=GRID.transform, sparse_ok=True):  # fmt: skip
        pass
    return clipped(open_scene(scene), path).covers(Window(0, 0, GRID.width, GRID.height))


def as_area_of_a_split(path):
    pixels, _ = read_areas(path)._in_pixels(GRID)
    return rasterize(list(pixels), GRID.shape, dtype="uint8") != 0


def as_region_of_an_atlas(path):
    return drawn(placed(region.outline, GRID.crs, fine_step(20)) for region in read_regions(path))


ROLES = {
    "regions": lambda path: Regions.of(read_vector(path), GRID, str(path)).inside(GRID),
    "by": lambda path: NamedRegions(path, None, GRID).numbers(GRID) != 0,
    "area of interest": as_area_of_interest,
    "area of a split": as_area_of_a_split,
    "page": lambda path: drawn(on_page(read_vector(path), Place(GRID.crs, GRID.bounds), str(path)).geometry),
    "region of an atlas": as_region_of_an_atlas,
}


@pytest.mark.parametrize("role", ROLES)
def test_a_box_covers_the_same_pixels_in_every_role(box, role):
    labelled = open_labels(box).read(GRID) == 0
    assert 50_000 < labelled.sum() < labelled.size / 2
    differing = (ROLES[role](box) != labelled).sum()
    # The regions of an atlas follow the globe in finer steps.
    assert differing <= (labelled.sum() / 1000 if role == "region of an atlas" else 0)


@pytest.mark.parametrize(("own", "unit"), [("EPSG:4326", 1.0), ("EPSG:3857", 111_319.49), ("EPSG:2263", 365_220.0)])
def test_corners_are_set_by_the_kilometre_whatever_the_unit(own, unit):
    place = gpd.GeoSeries([shapely.Point(-74, 40.7)], crs=4326).to_crs(own)[0]
    wide = shapely.box(place.x, place.y, place.x + 0.5 * unit, place.y + 0.01 * unit)
    small = shapely.box(place.x, place.y, place.x + 0.002 * unit, place.y + 0.002 * unit)
    there = moved(gpd.GeoSeries([wide, small], crs=own), pyproj.CRS("EPSG:32618"), "a.gpkg", LabelError)
    wide_corners, small_corners = shapely.get_num_coordinates(there.to_numpy())
    assert 100 < wide_corners < 160
    assert small_corners == 5


def test_in_its_own_crs_a_shape_stays_as_it_is():
    shapes = gpd.GeoSeries([BOX], crs="EPSG:4326")
    assert moved(shapes, pyproj.CRS("OGC:CRS84"), "a.gpkg", LabelError) is shapes


def test_no_shape_is_so_large_that_its_corners_have_no_room():
    shapes = gpd.GeoSeries([shapely.box(0, 0, 1e15, 1), shapely.Polygon(), None], crs=UTM)
    there = moved(shapes, pyproj.CRS("EPSG:32633"), "a.gpkg", LabelError)
    assert np.nan_to_num(shapely.get_num_coordinates(there.to_numpy())).sum() < 3000
