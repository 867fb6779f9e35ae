import numpy as np
import pytest
import rasterio

from conftest import CORNER, UTM
from geoseg.readers import open_scene


@pytest.fixture
def tagged(tmp_path):
    """A scene of two bands with scales and offsets."""

    def write(values, scales, offsets, dtype="int16", **profile):
        path = tmp_path / "scene.tif"
        values = np.asarray(values, dtype)
        count, height, width = values.shape
        with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=dtype, crs=UTM,
                           transform=CORNER, **profile) as dataset:  # fmt: skip
            dataset.write(values)
            dataset.scales, dataset.offsets = scales, offsets
        return path

    return write


VALUES = np.arange(-6, 18).reshape(2, 3, 4)


def test_values_are_what_they_stand_for(tagged):
    scene = open_scene(tagged(VALUES, (0.5, 2), (10, -1)))
    values, valid = scene.read(scene.grid.window)
    assert scene.dtype == values.dtype == "float32"
    assert (values[0] == VALUES[0] * 0.5 + 10).all()
    assert (values[1] == VALUES[1] * 2 - 1).all()
    assert valid.all()


def test_no_data_is_a_raw_value(tagged):
    path = tagged(VALUES, (0.5, 0.5), (10, 10), nodata=-4)
    _, valid = open_scene(path).read(rasterio.windows.Window(0, 0, 4, 3))
    assert set(zip(*np.nonzero(~valid), strict=True)) == {(0, 2)}
    _, valid = open_scene(path, nodata=-5).read(rasterio.windows.Window(0, 0, 4, 3))
    assert set(zip(*np.nonzero(~valid), strict=True)) == {(0, 1)}


@pytest.mark.parametrize(("dtype", "scaled"), [
    ("uint8", "float32"), ("int16", "float32"), ("uint16", "float32"), ("float32", "float32"),
    ("int32", "float64"), ("uint32", "float64"), ("float64", "float64"),
])  # fmt: skip
def test_the_type_holds_every_value(tagged, dtype, scaled):
    assert open_scene(tagged(np.abs(VALUES), (0.5, 1), (0, 0), dtype)).dtype == scaled


def test_large_numbers_are_not_rounded(tagged):
    values = np.full((1, 2, 2), 2**31 - 1)
    scene = open_scene(tagged(values, (1,), (1,), "int32"))
    assert (scene.read(scene.grid.window)[0] == 2**31).all()


@pytest.mark.parametrize("scales", [(1, 1), (0, 0)])
def test_scales_that_change_nothing_keep_the_type(tagged, scales):
    scene = open_scene(tagged(VALUES, scales, (0, 0)))
    assert scene.dtype == "int16"
    assert (scene.read(scene.grid.window)[0] == VALUES).all()


def test_one_band_alone_keeps_its_own_scale(tagged):
    path = tagged(VALUES, (0.5, 1), (10, 0))
    assert (open_scene(path, bands=("1",)).read(rasterio.windows.Window(0, 0, 4, 3))[0] == VALUES[:1] * 0.5 + 10).all()
    assert open_scene(path, bands=("2",)).dtype == "int16"


def test_nan_stays_invalid(tagged):
    values = np.ones((1, 2, 2), np.float32)
    values[0, 0, 0], values[0, 1, 1] = np.nan, np.inf
    _, valid = open_scene(tagged(values, (2,), (1,), "float32")).read(rasterio.windows.Window(0, 0, 2, 2))
    assert valid.tolist() == [[False, True], [True, False]]
