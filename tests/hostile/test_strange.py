import numpy as np
import pytest
from hostile.conftest import write

from conftest import striped
from geoseg.model import read_spec
from geoseg.prediction.strange import warn_of_strange_values
from geoseg.readers import open_scene

VALUES = striped(200, 300, 3)[0]


def told(scene, spec, caplog):
    caplog.clear()
    warn_of_strange_values(open_scene(scene), (0, 1, 2), spec)
    return caplog.text


@pytest.fixture
def spec(world):
    return read_spec(world.model)


def test_what_is_like_the_training_is_not_told_of(write_scene, spec, caplog):
    assert not told(write_scene(VALUES), spec, caplog)
    dark = np.where(np.arange(300) < 280, VALUES, 0).astype(np.uint16)
    assert not told(write_scene(dark, nodata=0), spec, caplog)
    assert not told(write_scene(np.zeros_like(VALUES), nodata=0), spec, caplog), "no valid pixel has no values"


@pytest.mark.parametrize("factor", [1e15, 100])
def test_other_units_are_told_with_the_band_and_both_values(write_scene, spec, caplog, factor):
    text = told(write_scene((VALUES * factor).astype(np.float32), bands=("red", "green", "nir")), spec, caplog)
    assert "scene.tif: the values of band red are about" in text
    assert "the model knows 1500, give or take 700, and 2 other bands are as strange" in text


def test_one_band_of_zeros_in_large_values(write_scene, spec, caplog):
    values = VALUES.copy()
    values[1] = 65535
    text = told(write_scene(values, bands=("red", "green", "nir")), spec, caplog)
    assert "band green are about 6.554e+04" in text
    assert "other bands" not in text


def test_predict_tells_it_once(world, caplog):
    scene = write(world.inputs / "bright.tif", np.full((3, 72, 80), 65535, np.uint16))
    done = world.works(*world.predict(scene))
    assert done.stderr.count("is it in other units") == 1
    assert "is it in other units" not in world.works(*world.predict(world.scene), "--overwrite").stderr
