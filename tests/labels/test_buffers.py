"""Points and lines that are widened."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from conftest import CORNER, UTM
from geoseg.errors import LabelError, OptionError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from labels.conftest import GRID, expected, shapes


class TestBuffers:
    @pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857", "EPSG:2056"])
    def test_a_point_becomes_a_circle_on_the_ground(self, tmp_path, crs):
        centre = gpd.GeoSeries([shapely.Point(CORNER @ (25, 20))], crs=UTM).to_crs(crs)
        pixels = (open_labels(shapes(tmp_path, list(centre), crs=crs), buffer=150).read(GRID) == 0).sum()
        assert pixels * 100 == pytest.approx(np.pi * 150**2, rel=0.02)

    def test_feet_are_not_metres(self, tmp_path):
        point = shapely.Point(1_000_000, 200_000)  # EPSG:2263, New York in US survey feet
        labels = open_labels(shapes(tmp_path, [point], crs="EPSG:2263"), buffer=100)
        widest = max(shape.area for shape in labels.shapes)
        assert widest == pytest.approx(np.pi * (100 / 0.3048006) ** 2, rel=0.01)

    def test_without_a_crs_the_buffer_has_the_units_of_the_labels(self, tmp_path):
        with pytest.warns(UserWarning, match="crs"):
            path = shapes(tmp_path, [shapely.Point(20, 20)], crs=None)
        grid = Grid(None, Affine.identity(), 40, 40)
        assert (open_labels(path, buffer=10).read(grid) == 0).sum() == pytest.approx(np.pi * 100, rel=0.05)

    def test_a_line_becomes_a_band(self, tmp_path):
        line = shapely.LineString([CORNER @ (10, 20), CORNER @ (30, 20)])
        drawn = open_labels(shapes(tmp_path, [line]), buffer=30).read(GRID) == 0
        assert drawn[17:23, 10:30].all()
        assert drawn.sum() * 100 == pytest.approx(200 * 60 + np.pi * 30**2, rel=0.03)

    def test_the_pixel_of_a_point_is_labelled_however_small_the_buffer(self, tmp_path):
        path = shapes(tmp_path, [shapely.Point(CORNER @ (4.9, 7.9))])
        assert np.argwhere(open_labels(path, buffer=0.01).read(GRID) == 0).tolist() == [[7, 4]]

    def test_lines_need_one(self, tmp_path):
        line = shapely.LineString([CORNER @ (1, 1), CORNER @ (9, 9)])
        with pytest.raises(
            LabelError, match="1 of 1 labels are lines, which cover no pixels; widen them with --buffer"
        ):
            open_labels(shapes(tmp_path, [line]))

    def test_polygons_are_not_widened_and_that_is_said(self, drawn, caplog):
        assert (open_labels(drawn, buffer=50).read(GRID) == expected()).all()
        assert "the buffer of 50 m widens nothing" in caplog.text

    @pytest.mark.parametrize("buffer", [0, -1, float("nan"), float("inf"), 1e300, 1.1e7])
    def test_a_distance_is_above_zero(self, drawn, buffer):
        with pytest.raises(OptionError, match="distance above 0"):
            open_labels(drawn, buffer=buffer)
