import numpy as np
import pytest

from geoseg.errors import SceneError
from geoseg.statistics import LIMIT, BandStatistics


def test_scaling_gives_zero_mean_and_unit_deviation():
    pixels = np.random.default_rng(0).normal([100, 2000], [5, 300], (5000, 2))
    statistics = BandStatistics.of(pixels)
    scaled = statistics.scale(pixels.T[:, None], np.ones((1, 5000), bool))
    assert scaled.mean((1, 2)) == pytest.approx([0, 0], abs=0.02)
    assert scaled.std((1, 2)) == pytest.approx([1, 1], abs=0.05)


def test_wild_pixels_do_not_shift_the_statistics():
    calm = np.random.default_rng(0).normal(100, 5, (5000, 1))
    wild = calm.copy()
    wild[:20] = 1e9
    assert BandStatistics.of(wild).mean[0] == pytest.approx(BandStatistics.of(calm).mean[0], rel=0.01)


def test_invalid_pixels_become_the_mean_whatever_they_hold():
    statistics = BandStatistics((5.0,), (2.0,), (0.0,), (9.0,))
    values = np.array([[[np.nan, np.inf, -1e30, 7.0]]], np.float32)
    scaled = statistics.scale(values, np.array([[False, False, False, True]]))
    assert scaled.tolist() == [[[0.0, 0.0, 0.0, 1.0]]]


def test_values_are_cut():
    statistics = BandStatistics((0.0,), (1.0,), (0.0,), (1.0,))
    assert statistics.scale(np.full((1, 1, 1), 1e6), np.ones((1, 1), bool)).max() == LIMIT


def test_a_constant_band_stays_finite():
    statistics = BandStatistics.of(np.full((10, 1), 7))
    assert np.isfinite(statistics.scale(np.full((1, 2, 2), 7), np.ones((2, 2), bool))).all()


@pytest.mark.parametrize("value", [0.1, 0.3, 1234.567])
def test_a_constant_band_has_no_deviation_that_is_rounding(value):
    pixels = np.full((99_999, 1), value)
    pixels[::500] = value + 1
    assert BandStatistics.of(pixels).std == (1.0,)


def test_large_integers_keep_their_differences():
    values = (1_600_000_000 + np.arange(50, dtype=np.int32)).reshape(1, 5, 10)
    statistics = BandStatistics.of(values.reshape(1, -1).T)
    assert len(np.unique(statistics.scale(values, np.ones((5, 10), bool)))) == 50


def test_values_without_a_finite_deviation_are_refused():
    with pytest.raises(SceneError, match="--nodata"):
        BandStatistics.of(np.array([[1e303], [-1e303], [3.0]]))


def test_round_trip():
    statistics = BandStatistics.of(np.random.default_rng(0).random((50, 3)))
    assert BandStatistics.from_dict(statistics.to_dict()) == statistics
