import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from conftest import CORNER, UTM, polygons
from geoseg.grid import Grid
from geoseg.named_regions import NamedRegions

GRID = Grid(CRS.from_user_input(UTM), CORNER, 60, 80)


@pytest.fixture
def regions(tmp_path):
    def read(rectangles, **columns):
        frame = polygons({"a": rectangles}).drop(columns="class").assign(**columns)
        frame.to_file(tmp_path / "regions.gpkg")
        return NamedRegions(tmp_path / "regions.gpkg", None, GRID)

    return read


HALVES = [(0, 0, 60, 40), (0, 40, 60, 40)]


def test_regions_that_overlap_are_named_once(regions, caplog):
    found = regions([(0, 0, 60, 80), *HALVES], name=["state", "west", "east"])
    assert len(caplog.records) == 1
    assert "'state' and 'west' overlap" in caplog.text or "'state' and 'east' overlap" in caplog.text
    assert "as do 1 other pairs" in caplog.text
    assert (found.numbers(GRID) == 1).sum() == 0


def test_neighbours_do_not_overlap(regions, caplog):
    regions(HALVES, name=["west", "east"])
    assert not caplog.records


def test_parts_of_one_region_may_overlap(regions, caplog):
    regions([(0, 0, 60, 40), (0, 20, 60, 40)], name=["park", "park"])
    assert not caplog.records


def test_an_overlap_of_one_pixel_is_a_border(regions, caplog):
    regions([(0, 0, 1, 40), (0, 39, 1, 40)], name=["west", "east"])
    assert not caplog.records
    regions([(0, 0, 2, 40), (0, 39, 2, 40)], name=["west", "east"])
    assert "'west' and 'east' overlap" in caplog.text


def test_a_large_map_is_looked_at_coarsely(tmp_path, caplog):
    boxes = [shapely.box(500_000, 4_800_000, 900_000, 5_400_000), shapely.box(500_000, 4_800_000, 700_000, 5_400_000)]
    gpd.GeoDataFrame({"name": ["state", "county"]}, geometry=boxes, crs=UTM).to_file(tmp_path / "a.gpkg")
    large = Grid(GRID.crs, CORNER, 60_000, 40_000)
    NamedRegions(tmp_path / "a.gpkg", None, large)
    assert "'state' and 'county' overlap" in caplog.text


def test_regions_without_a_name_are_not_one(regions, caplog):
    found = regions([*HALVES, (50, 0, 5, 5)], name=["west", None, " "])
    assert found.names == ["west", "unnamed 2", "unnamed 3"]
    assert "2 of 3 regions have no name in the column 'name'" in caplog.text


def test_whole_numbers_with_gaps_stay_whole(regions):
    assert regions(HALVES, code=[7.0, np.nan]).names == ["7", "unnamed 2"]
