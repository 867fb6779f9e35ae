"""The test of two maps against tables, and whether thinning keeps its promise."""

import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage, stats

from geoseg.assessment.mcnemar import PairTally, mcnemar
from geoseg.assessment.results import McNemar
from geoseg.assessment.sight import Sight
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.legend import IGNORE


def test_few_pairs_are_counted_exactly() -> None:
    for one, other in ((5, 15), (0, 3), (12, 12), (1, 1)):
        statistic, p_value = mcnemar(one, other)
        assert statistic is None
        assert p_value == pytest.approx(stats.binomtest(one, one + other).pvalue)


def test_many_pairs_are_tested_by_chi_square() -> None:
    # Agresti, Categorical Data Analysis: 150 and 86 changed their mind.
    statistic, p_value = mcnemar(150, 86)
    assert statistic == pytest.approx((150 - 86 - 1) ** 2 / 236)
    assert statistic is not None
    assert p_value == pytest.approx(stats.chi2.sf(statistic, 1))
    assert mcnemar(30, 30) == (0.0, 1.0)
    assert mcnemar(0, 0) == (None, None)


class Second:
    """A second map in memory."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def read_on(self, grid: Grid) -> Any:
        row, col = round(grid.transform.f), round(grid.transform.c)
        return self.values[row : row + grid.height, col : col + grid.width]


def compared(first: Any, second: Any, truth: Any, spacing: int | None = None, size: int = 1000) -> McNemar:
    tally = PairTally(Second(second), spacing)  # type: ignore[arg-type]
    height, width = truth.shape
    for row in range(0, height, size):
        for col in range(0, width, size):
            part = slice(row, row + size), slice(col, col + size)
            rows, cols = truth[part].shape
            grid = Grid(None, Affine.translation(col, row), rows, cols)
            inside = np.ones((rows, cols), bool)
            tally.add(Sight(grid, row, col, slice(0, rows), slice(0, cols), first[part], truth[part], inside))
    return tally.result("a", "b")


def errors(rng: np.random.Generator, shape: tuple[int, int], share: float, reach: float) -> Any:
    """Errors in blobs."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), reach)
    return (field > np.quantile(field, 1 - share)).astype(np.uint8)


def test_counts_are_those_of_the_lattice_whatever_the_windows() -> None:
    rng = np.random.default_rng(1)
    truth = np.zeros((100, 130), np.uint8)
    first, second = errors(rng, truth.shape, 0.2, 2), errors(rng, truth.shape, 0.3, 2)
    truth[:10] = IGNORE
    first[50:60, 50:60] = IGNORE
    for size in (1000, 37):
        found = compared(first, second, truth, spacing=3, size=size)
        rows, cols = np.mgrid[1:100:3, 1:130:3]
        known = (truth[rows, cols] != IGNORE) & (first[rows, cols] != IGNORE)
        right = first[rows, cols][known] == 0, second[rows, cols][known] == 0
        assert found.pixels == known.sum()
        assert found.only_first == (right[0] & ~right[1]).sum()
        assert found.only_second == (right[1] & ~right[0]).sum()
        assert found.both_right + found.both_wrong == (right[0] == right[1]).sum()
        assert found.correlation is None


def test_maps_that_are_equally_good_are_rarely_called_different() -> None:
    """Of maps with errors in blobs, a test on all pixels would nearly always find a difference that is none."""
    rng = np.random.default_rng(0)
    truth = np.zeros((256, 256), np.uint8)
    thinned, naive = [], []
    for _ in range(40):
        # Thresholds at the expected quantile, so that the shares of errors vary as chance has it.
        first, second = (
            (ndimage.gaussian_filter(rng.standard_normal(truth.shape), 4, mode="wrap") > 0.07).astype(np.uint8)
            for _ in range(2)
        )
        thinned.append(compared(first, second, truth))
        naive.append(compared(first, second, truth, spacing=1))
    assert {one.spacing for one in thinned} <= {8, 16, 32}
    assert all(one.correlation is not None and one.correlation < 0.1 for one in thinned)
    assert np.mean([(one.p_value or 1) < 0.05 for one in thinned]) < 0.2
    assert np.mean([(one.p_value or 1) < 0.05 for one in naive]) > 0.6


def test_a_better_map_is_found_and_equal_maps_say_so() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros((200, 200), np.uint8)
    good, bad = errors(rng, truth.shape, 0.05, 3), errors(rng, truth.shape, 0.4, 3)
    found = compared(good, bad, truth)
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.only_first > found.only_second
    same = compared(good, good, truth)
    assert same.p_value is None
    assert same.only_first == same.only_second == 0
    assert math.isfinite(same.pixels)


def test_a_spacing_that_cannot_be() -> None:
    with pytest.raises(OptionError, match="spacing of 0"):
        PairTally(Second(None), 0)  # type: ignore[arg-type]
