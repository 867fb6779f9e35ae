"""Laws of fading windows into each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.prediction.blend import Axis, Blender


@given(length=st.integers(1, 300), core=st.integers(1, 80), fade=st.integers(0, 60))
def test_the_weights_of_all_windows_sum_to_one(length, core, fade):
    axis = Axis.of(length, core, fade)
    total, done = np.zeros(length), np.zeros(length, int)
    for number in range(len(axis)):
        total[axis.extent(number)] += axis.weights(number)
        done[axis.complete(number)] += 1
        # What is complete gets nothing from later windows.
        later = np.concatenate([np.r_[axis.extent(n)] for n in range(number + 1, len(axis))] or [[]])
        assert not np.isin(np.r_[axis.complete(number)], later).any()
    assert np.abs(total - 1).max() < 1e-6
    assert (done == 1).all()


def test_there_is_no_fade_at_the_edges_of_the_scene():
    axis = Axis.of(100, 40, 20)
    assert axis.weights(0)[0] == axis.weights(2)[-1] == 1
    assert 0 < axis.weights(0)[-1] < 0.01
    # Half of each where two cores meet.
    assert axis.weights(0)[39] + axis.weights(0)[40] == pytest.approx(1)


@settings(max_examples=30)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), core=st.integers(3, 30), fade=st.integers(0, 20),
    classes=st.integers(2, 4),
)  # fmt: skip
def test_the_sum_is_that_of_all_windows_at_once(height, width, core, fade, classes):
    rows, cols = Axis.of(height, core, fade), Axis.of(width, core + 2, fade)
    blender, rng = Blender(rows, cols, classes), np.random.default_rng(0)
    wanted, found = np.zeros((2, classes, height, width), np.float64)
    for row in range(len(rows)):
        for col in range(len(cols)):
            place = rows.extent(row), cols.extent(col)
            values = rng.random((classes, *(part.stop - part.start for part in place))).astype(np.float32)
            wanted[:, *place] += values * rows.weights(row)[:, None] * cols.weights(col)
            found[:, rows.complete(row), cols.complete(col)] += blender.add(row, col, values.copy())
    assert np.abs(found - wanted).max() < 1e-6
