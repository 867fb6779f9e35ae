import numpy as np
import pytest

from geoseg.atlas.mosaic import LEAST, MODES, clear, feathered, open_mosaic
from geoseg.errors import OptionError


def shares(rng, shape=(3, 20, 30)):
    values = rng.random(shape).astype(np.float32)
    return values / values.sum(0)


@pytest.mark.parametrize("mode", MODES)
def test_scenes_that_agree_change_nothing(mode):
    rng = np.random.default_rng(0)
    truth = shares(rng)
    mosaic = open_mosaic(mode, 3, (20, 30))
    for _ in range(3):
        mosaic.add(truth.copy(), rng.random((20, 30)) > 0.3, rng.random((20, 30)).astype(np.float32) + 0.1)
    found, valid = mosaic.result()
    assert np.abs(found - truth)[:, valid].max() < 1e-6
    assert not found[:, ~valid].any()
    assert 0.9 < valid.mean() < 1


@pytest.mark.parametrize("mode", MODES)
def test_where_one_scene_counts_its_values_stay_to_the_last_bit(mode):
    rng = np.random.default_rng(1)
    one, two = shares(rng), shares(rng)
    left = np.broadcast_to(np.arange(30) < 20, (20, 30))
    mosaic = open_mosaic(mode, 3, (20, 30))
    mosaic.add(one.copy(), left, np.full((20, 30), 0.3, np.float32))
    mosaic.add(two.copy(), np.broadcast_to(np.arange(30) >= 10, (20, 30)), np.full((20, 30), 0.7, np.float32))
    found, valid = mosaic.result()
    assert valid.all()
    assert (found[:, :, :10] == one[:, :, :10]).all()
    assert (found[:, :, 20:] == two[:, :, 20:]).all()
    between = np.s_[:, :, 10:20]
    expected = {
        "mean": 0.3 * one[between] + 0.7 * two[between],
        "first": one[between],
        "best": np.where(0.3 * one[between].max(0) >= 0.7 * two[between].max(0), one[between], two[between]),
    }
    assert np.allclose(found[between], expected[mode], atol=1e-6)


def test_scenes_fade_out_towards_their_edge_and_holes():
    valid = np.zeros((120, 200), bool)
    valid[:, 40:] = True
    valid[60, 150] = False
    weights = feathered(valid, 16)
    assert weights.shape == (88, 168)
    assert weights[44 - 30, 140] == 1
    row = weights[10, 24 : 24 + 16]
    assert row[0] < 0.1
    assert (np.diff(row) > 0).all()
    assert weights[44, 134 - 10 : 134 + 10].min() > 0.99
    assert weights.min() == np.float32(LEAST)
    assert (feathered(valid, 0) == 1).all()


def test_weights_do_not_depend_on_where_a_window_ends():
    valid = np.random.default_rng(2).random((100, 140)) > 0.2
    whole = feathered(valid, 10)
    part = feathered(valid[30:90, 50:120], 10)
    assert (part == whole[30:70, 50:100]).all()


def test_clouds_count_for_next_to_nothing():
    probabilities = np.array([[[0.9, 0.0]], [[0.1, 0.4]], [[0.0, 0.6]]], np.float32)
    assert clear(probabilities, (0, 1)) == pytest.approx(np.array([[LEAST, 0.6]]))


def test_the_first_that_is_no_cloud_counts_and_a_cloud_where_there_is_nothing_else():
    shape, everywhere = (1, 3), np.ones((1, 3), bool)
    mosaic = open_mosaic("first", 3, shape, clouds=(2,))
    # Classes of three pixels in three scenes; 2 is cloud.
    for classes in ([2, 2, 0], [2, 1, 1], [2, 0, 2]):
        probabilities = np.eye(3, dtype=np.float32)[classes].T[:, None].copy()
        mosaic.add(probabilities, everywhere, np.ones(shape, np.float32))
    assert mosaic.result()[0].argmax(0).tolist() == [[2, 1, 0]]


def test_an_unknown_mode_is_refused():
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        open_mosaic("meen", 2, (1, 1))
