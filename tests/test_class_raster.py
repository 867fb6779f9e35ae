import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from conftest import CORNER, UTM
from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.errors import LabelError, MapError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend

ROWS, COLS = 90, 110


@pytest.fixture
def raster(write_scene):
    ids = np.random.default_rng(0).integers(0, 6, (ROWS // 5, COLS // 5)).repeat(5, 0).repeat(5, 1)
    return open_class_raster(write_scene(ids[None].astype(np.uint8), nodata=0))


def grids(raster):
    """Grids that lie on the raster in all the ways a scene may."""
    own = raster.grid
    return {
        "same": own,
        "beyond": replace(own, transform=own.transform @ Affine.translation(-7, 12)),
        "shifted": replace(own, transform=own.transform @ Affine.translation(0.4, -3.3)),
        "finer": replace(own, transform=own.transform @ Affine.scale(0.37)),
        "south up": replace(own, transform=own.transform @ Affine(1, 0, 0, 0, -1, ROWS)),
        "rotated": replace(own, transform=own.transform @ Affine.rotation(20)),
        "degrees": Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 9.0001, 0, -1e-4, 48.7537), 70, 100),
    }


KINDS = ("same", "beyond", "shifted", "finer", "south up", "rotated", "degrees")


@pytest.mark.parametrize("kind", KINDS)
class TestReadingOn:
    def test_a_window_is_its_part_of_the_whole(self, raster, kind):
        grid = grids(raster)[kind]
        whole = raster.read_on(grid)
        assert (whole != IGNORE).any()
        for window in (Window(0, 0, grid.width, 3), Window(31, 17, 24, 40), Window(grid.width - 1, 0, 1, 1)):
            rows, cols = window.toslices()
            assert (raster.read_on(grid.crop(window)) == whole[rows, cols]).all()

    def test_whichever_window_comes_first(self, raster, kind):
        grid = grids(raster)[kind]
        whole = raster.read_on(grid)
        other = pickle.loads(pickle.dumps(raster))  # noqa: S301
        window = Window(40, 30, 30, 30)
        rows, cols = window.toslices()
        assert (other.read_on(grid.crop(window)) == whole[rows, cols]).all()
        assert (other.read_on(grid) == whole).all()

    def test_threads_read_the_same(self, raster, kind):
        grid = grids(raster)[kind]
        whole = raster.read_on(grid)
        windows = [Window(0, row, grid.width, 10) for row in range(0, grid.height - 9, 10)] * 5
        with ThreadPoolExecutor(4) as pool:
            for window, part in zip(windows, pool.map(lambda w: raster.read_on(grid.crop(w)), windows), strict=True):
                assert (part == whole[window.toslices()[0]]).all()


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_it_is_the_class_at_each_centre(raster, kind):
    grid = grids(raster)[kind]
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    x, y = (~raster.grid.transform @ grid.transform) @ (cols, rows)
    inside = (x >= 0) & (y >= 0) & (x < COLS) & (y < ROWS)
    own = raster.read(raster.grid.window)
    want = np.full(grid.shape, IGNORE)
    want[inside] = own[np.floor(y[inside]).astype(int), np.floor(x[inside]).astype(int)]
    assert (raster.read_on(grid) == want).mean() > 0.999


def test_far_away_there_is_nothing(raster):
    for shift in (1000.3, 70_000.3, 5_000_000.3):
        grid = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(shift, 0))
        assert (raster.read_on(grid) == IGNORE).all()


def test_pickled_and_copied_rasters_are_equal(raster):
    raster.read(Window(0, 0, 5, 5))
    copy = pickle.loads(pickle.dumps(raster))  # noqa: S301
    assert copy == raster
    assert hash(copy) == hash(raster)
    other = replace(raster, legend=Legend.from_names([(1, "a"), (2, "b")]))
    assert (other.read(raster.grid.window)[raster.read(raster.grid.window) == 4] == IGNORE).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_classes_at_both_ends_of_the_type(write_scene, dtype):
    ids = np.zeros((1, 20, 20), dtype)
    ids[:, :, 10:] = np.iinfo(dtype).max
    raster = open_class_raster(write_scene(ids))
    shifted = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(0.3, 5.3))
    assert np.bincount(raster.read_on(shifted).ravel())[[0, 1, IGNORE]].tolist() == [150, 150, 100]


def test_a_mask_counts_on_other_grids_too(write_scene):
    mask = np.full((20, 20), 255, np.uint8)
    mask[:5] = 0
    raster = open_class_raster(write_scene(np.ones((1, 20, 20), np.uint8), mask=mask))
    shifted = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(0.3, 0.3))
    for grid in (raster.grid, shifted):
        assert (raster.read_on(grid) == IGNORE).sum() == 100


@pytest.mark.parametrize("internal", [True, False], ids=["internal", "msk"])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("int64", -9), ("float32", -9999), ("float32", np.nan)])
def test_nodata_is_no_class_where_there_is_a_mask_too(tmp_path, internal, dtype, nodata):
    ids = np.ones((20, 20), dtype)
    ids[:, 10:] = 2
    ids[-5:] = nodata
    mask = np.full((20, 20), 255, np.uint8)
    mask[:5] = 0
    path, size = tmp_path / "map.tif", {"width": 20, "height": 20, "count": 1, "dtype": dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "w", crs=UTM, transform=CORNER, nodata=nodata, **size) as dataset,
    ):
        dataset.write(ids, 1)
        dataset.write_mask(mask)
    assert (tmp_path / "map.tif.msk").exists() != internal
    raster = open_class_raster(path)
    assert raster.legend.ids == (1, 2)
    want = np.full((20, 20), IGNORE)
    want[5:-5] = ids[5:-5] - 1
    assert (raster.read(raster.grid.window) == want).all()
    assert (raster.read_coarse(20)[1] == want).all()
    shifted = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(0.3, 0.3))
    assert (raster.read_on(shifted) == want).all()


def tagged(path):
    """A raster with the legend 1 forest, 2 water in its tags."""
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{LEGEND_TAG: json.dumps(Legend.from_names([(1, "forest"), (2, "water")]).to_dict())})
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("how", ["read", "read_on", "shifted", "coarse"])
def test_a_class_painted_into_a_map_is_refused(write_scene, dtype, how):
    ids = np.ones((1, 20, 20), dtype)
    ids[:, :5], ids[:, 8:10, 3:9], ids[:, 15:] = 0, 9, 2
    path = tagged(write_scene(ids, nodata=0))
    raster = pickle.loads(pickle.dumps(open_class_raster(path, error=LabelError)))  # noqa: S301
    shifted = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(0.3, 0.3))
    read = {
        "read": lambda: raster.read(raster.grid.window),
        "read_on": lambda: raster.read_on(raster.grid),
        "shifted": lambda: raster.read_on(shifted),
        "coarse": lambda: raster.read_coarse(100),
    }[how]
    with pytest.raises(LabelError, match="holds 9, which the legend in its tag GEOSEG_LEGEND does not have; give a"):
        read()
    given = open_class_raster(path, legend=Legend.from_names([(1, "a"), (2, "b"), (9, "c")]))
    assert (given.read(given.grid.window) == 2).sum() == 12


@pytest.mark.parametrize("nodata", [0, -9999])
def test_what_is_masked_or_nodata_is_no_stranger(write_scene, nodata):
    ids, mask = np.ones((1, 20, 20), np.int16), np.full((20, 20), 255, np.uint8)
    ids[:, :5], ids[:, 8:10], mask[8:10] = nodata, 9, 0
    raster = open_class_raster(tagged(write_scene(ids, nodata=nodata, mask=mask)))
    shifted = replace(raster.grid, transform=raster.grid.transform @ Affine.translation(0.3, 0.3))
    for indices in (raster.read(raster.grid.window), raster.read_on(shifted)):
        assert (indices == 0).sum() == 13 * 20
        assert (indices == IGNORE).sum() == 7 * 20


def test_a_map_without_nodata_is_compared_with_its_legend_at_once(write_scene, caplog):
    ids = np.array([[[0, 1], [2, 2]]], np.uint8)
    raster = open_class_raster(tagged(write_scene(ids)))
    assert raster.read(raster.grid.window).tolist() == [[IGNORE, 0], [1, 1]]
    assert "value 0 is not in the legend and is taken as unlabelled" in caplog.text
    with pytest.raises(MapError, match="holds 0, 5, which the legend in its tag"):
        open_class_raster(tagged(write_scene(ids + 3 * (ids == 2), "b.tif")))


def test_nodata_that_is_a_class_of_its_own_legend_is_said(write_scene, caplog):
    open_class_raster(tagged(write_scene(np.ones((1, 3, 3), np.uint8), nodata=2)))
    assert "declares 2 as nodata, so class 2 of the legend is nowhere" in caplog.text


def test_a_missing_crs_is_said(raster, write_scene):
    bare = Grid(None, CORNER, 5, 5)
    with pytest.raises(MapError, match="one raster has a CRS and the other has none"):
        raster.read_on(bare)
    other = open_class_raster(write_scene(np.ones((1, 5, 5), np.uint8), "bare.tif", crs=None), error=LabelError)
    with pytest.raises(LabelError, match="has no CRS and another grid"):
        other.read_on(Grid(None, CORNER @ Affine.scale(0.3), 5, 5))


def test_a_background_needs_no_warning(write_scene, caplog):
    path = write_scene(np.array([[[0, 1]]], np.uint8), nodata=0)
    legend = Legend.from_names([(0, "none"), (1, "a")])
    open_class_raster(path, legend=legend, background=0)
    assert not caplog.records
    open_class_raster(path, legend=legend)
    assert "class 0 of the legend is nowhere" in caplog.text
