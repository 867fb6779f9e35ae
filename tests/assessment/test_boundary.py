"""The boundary F1 score against a worked example, and whatever the windows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.assessment.boundary import BoundaryTally, tolerance
from geoseg.assessment.sight import Sight
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.legend import IGNORE

Indices = npt.NDArray[np.uint8]


def sights(mapped: Indices, reference: Indices, rows: int, cols: int, margin: int) -> Iterator[Sight]:
    height, width = mapped.shape
    grid = Grid(None, Affine.identity(), height, width)
    for row in range(0, height, rows):
        for col in range(0, width, cols):
            top, left = max(row - margin, 0), max(col - margin, 0)
            bottom, right = min(row + rows + margin, height), min(col + cols + margin, width)
            seen = slice(top, bottom), slice(left, right)
            own = slice(row - top, min(row + rows, height) - top), slice(col - left, min(col + cols, width) - left)
            place = Grid(grid.crs, grid.transform @ Affine.translation(left, top), bottom - top, right - left)
            yield Sight(place, row, col, *own, mapped[seen], reference[seen], np.ones(place.shape, bool))


def counted(mapped: Indices, reference: Indices, classes: int, pixels: float, size: int = 1000) -> BoundaryTally:
    tally = BoundaryTally(classes, pixels)
    for sight in sights(mapped, reference, size, size, tally.margin):
        tally.add(sight)
    return tally


@pytest.mark.parametrize(
    ("pixels", "expected"), [(1, [1, 1, 0.5556, 0.5]), (2, [1, 1, 1, 0.6111])], ids=["one pixel", "two pixels"]
)
def test_worked_example_of_a_shifted_square(pixels: float, expected: list[float]) -> None:
    reference = np.zeros((20, 20), np.uint8)
    reference[5:15, 5:15] = 1
    for shift, score in enumerate(expected):
        tally = counted(np.roll(reference, shift, axis=1), reference, 2, pixels)
        assert tally.counts[0, 1] == tally.counts[2, 1] == 36
        assert tally.f1()[1] == pytest.approx(score, abs=1e-4)


FIELDS = st.integers(0, 2**32 - 1)


def field(seed: int) -> tuple[Indices, Indices]:
    """Smooth random classes, a map with errors, and pixels without a class."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((37, 53)), 3)
    reference = np.digitize(smooth, np.quantile(smooth, [0.3, 0.7])).astype(np.uint8)
    mapped = np.roll(reference, rng.integers(-3, 4, 2), axis=(0, 1))
    reference[rng.random(reference.shape) < 0.03] = IGNORE
    mapped[:, :2] = IGNORE
    return mapped, reference


def by_distances(mapped: Indices, reference: Indices, pixels: float) -> npt.NDArray[Any]:
    """The same from the definition: distance transforms of the borders of the whole arrays."""
    known = (mapped != IGNORE) & (reference != IGNORE)
    borders = []
    for values in (np.where(known, mapped, IGNORE), np.where(known, reference, IGNORE)):
        padded = np.pad(values, 1, constant_values=IGNORE)
        around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
        is_border = np.any([(side != values) & (side != IGNORE) for side in around], axis=0) & (values != IGNORE)
        borders.append(np.where(is_border, values, IGNORE))
    counts = np.zeros((4, 3), int)
    for index in range(3):
        one, other = borders[0] == index, borders[1] == index
        for place, (own, others) in enumerate(((one, other), (other, one))):
            far = ndimage.distance_transform_edt(~others) if others.any() else np.full(own.shape, np.inf)
            counts[2 * place, index] = own.sum()
            counts[2 * place + 1, index] = (own & (far <= pixels)).sum()
    return counts


@settings(max_examples=25)
@given(seed=FIELDS, pixels=st.sampled_from([0.0, 1.0, 1.5, 2.9, 5.43]))
def test_equals_distance_transforms_whatever_the_windows(seed: int, pixels: float) -> None:
    mapped, reference = field(seed)
    expected = by_distances(mapped, reference, pixels)
    for size in (1000, 16, 7):
        np.testing.assert_array_equal(counted(mapped, reference, 3, pixels, size).counts, expected)


def test_absent_borders_have_no_score_and_missing_ones_score_0() -> None:
    plain, halved = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    halved[:, 4:] = 1
    np.testing.assert_array_equal(counted(plain, plain, 3, 2).f1(), [np.nan] * 3)
    np.testing.assert_array_equal(counted(plain, halved, 3, 2).f1(), [0, 0, np.nan])
    lonely = np.full((9, 9), IGNORE, np.uint8)
    lonely[4, 4] = 1
    np.testing.assert_array_equal(counted(lonely, lonely, 3, 2).f1(), [np.nan] * 3)


def test_tolerance_in_metres_or_pixels() -> None:
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 9, 9)
    assert tolerance("30m", grid) == 3
    assert tolerance("2.5", grid) == tolerance("2.5px", grid) == tolerance(2.5, grid) == 2.5
    with pytest.raises(OptionError, match="needs a map in metres"):
        tolerance("30m", Grid(None, Affine.identity(), 9, 9))
    with pytest.raises(OptionError, match="at most 128 pixels"):
        tolerance("5km", grid)
    with pytest.raises(OptionError, match="cannot be read"):
        tolerance("wide", grid)
