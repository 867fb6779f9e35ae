"""Labels that are rasters."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from conftest import CORNER, UTM
from geoseg.class_raster import open_class_raster
from geoseg.errors import LabelError, MapError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.legend import IGNORE, Legend


class TestClassRasters:
    def test_values_are_classes_and_nodata_is_not(self, write_scene):
        ids = np.array([[[0, 1, 1], [5, 5, 0]]], np.uint8)
        labels = open_labels(write_scene(ids, nodata=0))
        assert labels.legend.ids == (1, 5)
        grid = Grid(CRS.from_user_input(UTM), CORNER, 2, 3)
        assert labels.read(grid).tolist() == [[IGNORE, 0, 0], [1, 1, IGNORE]]

    def test_class_zero_may_be_real(self, write_scene, caplog):
        ids = np.array([[[0, 1], [2, 255]]], np.uint8)
        assert open_labels(write_scene(ids, nodata=255)).legend.ids == (0, 1, 2)
        assert open_labels(write_scene(ids, "b.tif")).legend.ids == (0, 1, 2, 255)
        assert "value 0 is taken as a class" in caplog.text

    def test_a_legend_that_lacks_zero_leaves_it_unlabelled(self, write_scene):
        ids = np.array([[[0, 1], [2, 2]]], np.uint8)
        legend = Legend.from_names([(1, "a"), (2, "b")])
        raster = open_class_raster(write_scene(ids), legend=legend)
        assert raster.read(Window(0, 0, 2, 2)).tolist() == [[IGNORE, 0], [1, 1]]
        with pytest.raises(MapError, match="holds 0, 2, which the legend does not have"):
            open_class_raster(write_scene(ids, "c.tif"), legend=Legend.from_names([(1, "a")]))

    def test_windows_beyond_the_raster_are_unlabelled(self, write_scene):
        ids = np.full((1, 4, 4), 3, np.uint8)
        labels = open_labels(write_scene(ids, nodata=0))
        grid = Grid(CRS.from_user_input(UTM), CORNER @ Affine.translation(-2, -1), 8, 9)
        read = labels.read(grid)
        assert (read[1:5, 2:6] == 0).all()
        assert (read == IGNORE).sum() == 8 * 9 - 16

    def test_another_crs_and_grid(self, write_scene):
        ids = np.repeat(np.repeat(np.array([[[1, 2], [3, 4]]], np.uint8), 20, 1), 20, 2)
        raster = open_class_raster(write_scene(ids, nodata=0))
        left, bottom, right, top = gpd.GeoSeries([shapely.box(*raster.grid.bounds)], crs=UTM).to_crs(4326).total_bounds
        step = (right - left) / 400
        grid = Grid(CRS.from_epsg(4326), Affine(step, 0, left, 0, -step, top), int((top - bottom) / step), 400)
        read = raster.read_on(grid)
        assert [read[r, c] for r in (60, -60) for c in (60, -60)] == [0, 1, 2, 3]
        shares = np.bincount(read[read != IGNORE], minlength=4) / (read != IGNORE).sum()
        assert shares == pytest.approx([0.25] * 4, abs=0.01)

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (np.ones((2, 3, 3), np.uint8), "2 bands"),
            (np.full((1, 3, 3), 0.5, np.float32), "float32 values such as 0.5"),
            (np.full((1, 3, 3), 1.0000001, np.float32), "float32 values such as 1.0000001;"),
            (np.full((1, 3, 3), -4, np.int16), "value -4"),
            (np.arange(400, dtype=np.int16).reshape(1, 20, 20), "254 different"),
        ],
    )
    def test_other_rasters_are_refused(self, write_scene, values, says):
        with pytest.raises(MapError, match=says):
            open_class_raster(write_scene(values))

    def test_a_raster_has_no_columns(self, write_scene):
        with pytest.raises(LabelError, match="no column"):
            open_labels(write_scene(np.ones((1, 3, 3), np.uint8)), field="class")


def test_real_labels_lie_on_their_scenes(real_scenes):
    from geoseg.readers import open_scene

    wake = real_scenes / "nc_wake_landsat7_2000"
    scene = open_scene(wake / "scene.tif")
    dense = open_labels(wake / "labels_dense_landclass96.tif").read(scene.grid)
    sparse = open_labels(wake / "training_polygons.gpkg").read(scene.grid)
    both = (dense != IGNORE) & (sparse != IGNORE)
    assert both.sum() > 2000
    assert (dense[both] == sparse[both]).mean() > 0.95
