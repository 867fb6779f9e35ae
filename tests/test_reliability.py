"""Calibration errors, by hand and by law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.reliability import Reliability

CONFIDENCE = np.array([0.95, 0.9, 0.85, 0.8, 0.65, 0.6, 0.55, 0.4, 0.35, 0.3])
CORRECT = np.array([1, 1, 1, 0, 1, 0, 1, 0, 1, 0], bool)


def test_worked_example() -> None:
    """By hand: bins with 3, 2, 2 and 3 pixels, gaps of -.0167, -.075, -.225 and .1."""
    found = Reliability.of(CONFIDENCE, CORRECT, bins=5)
    np.testing.assert_array_equal(found.counts, [0, 3, 2, 2, 3])
    np.testing.assert_allclose(found.gaps, [np.nan, -1 / 60, -0.075, -0.225, 0.1], atol=1e-9)
    assert found.expected_error == pytest.approx(0.095)
    assert found.largest_error == pytest.approx(0.225)


@given(st.integers(0, 10), st.integers(1, 20))
def test_pieces_add_up(cut: int, bins: int) -> None:
    whole = Reliability.of(CONFIDENCE, CORRECT, bins)
    pieces = Reliability.of(CONFIDENCE[:cut], CORRECT[:cut], bins) + Reliability.of(
        CONFIDENCE[cut:], CORRECT[cut:], bins
    )
    np.testing.assert_array_equal(pieces.counts, whole.counts)
    np.testing.assert_array_equal(pieces.correct, whole.correct)
    assert pieces.expected_error == pytest.approx(whole.expected_error)


def test_extremes() -> None:
    assert math.isnan(Reliability.empty().expected_error)
    assert math.isnan(Reliability.empty().largest_error)
    sure = np.array([0.0, 1.0])
    assert Reliability.of(sure, sure == 1).expected_error == 0
    assert Reliability.of(sure, sure == 0).expected_error == 1
