"""Polygons matched by hand, by torchmetrics, and across the edges of windows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchmetrics.functional.detection import panoptic_quality

from geoseg.assessment.objects import ObjectTally, polygon_scores
from geoseg.assessment.polygon_scores import PolygonScores
from geoseg.assessment.results import plain
from geoseg.assessment.sight import Sight
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend

LEGEND = Legend.from_names([(1, "house"), (2, "pond")])
Indices = npt.NDArray[np.uint8]


def scored(mapped: Indices, reference: Indices, size: int = 1000, least: float = 0) -> PolygonScores:
    tally = ObjectTally(mapped.shape)
    height, width = mapped.shape
    for row in range(0, height, size):
        for col in range(0, width, size):
            part = slice(row, row + size), slice(col, col + size)
            rows, cols = mapped[part].shape
            grid = Grid(None, Affine.translation(col, row), rows, cols)
            inside = np.ones((rows, cols), bool)
            tally.add(Sight(grid, row, col, slice(0, rows), slice(0, cols), mapped[part], reference[part], inside))
    return polygon_scores([tally], LEGEND, [least])


def blank(rows: int = 30, cols: int = 40) -> Indices:
    """A third class between the polygons would be one too: here the rest has none, but is looked at."""
    return np.full((rows, cols), 1, np.uint8)


def test_scores_of_polygons_by_hand() -> None:
    reference, mapped = blank(), blank()
    reference[5:15, 5:15] = 0  # 100 pixels, found with 80 of them and 20 beside: IoU 80 / 120
    mapped[5:15, 7:17] = 0
    reference[20:24, 5:9] = 0  # missed
    mapped[20:24, 25:29] = 0  # made up
    reference[5:15, 22:32] = 0  # found in two halves, of which none has more than half of it
    mapped[5:15, 22:26] = 0
    mapped[5:15, 28:32] = 0
    house = scored(mapped, reference).classes[0]
    assert (house.reference, house.mapped, house.matched) == (3, 4, 1)
    assert house.precision == pytest.approx(1 / 4)
    assert house.recall == pytest.approx(1 / 3)
    assert house.f1 == pytest.approx(2 / 7)
    assert house.matched_iou == pytest.approx(80 / 120)
    assert house.panoptic_quality == pytest.approx((80 / 120) / (1 + 0.5 * 2 + 0.5 * 3))
    assert house.over_segmentation == pytest.approx(((1 - 80 / 100) + (1 - 40 / 100)) / 2)
    assert house.under_segmentation == pytest.approx(((1 - 80 / 100) + 0) / 2)
    assert house.area_bias == pytest.approx((100 + 16 + 80) / (100 + 16 + 100) - 1)


def test_what_the_edge_cuts_and_what_is_small_is_left_out() -> None:
    reference, mapped = blank(), blank()
    for values in (reference, mapped):
        values[0:5, 10:15] = 0  # cut by the edge, as is the rest of the ground
        values[10:12, 10:12] = 0
        values[20:26, 20:26] = 0
    found = scored(mapped, reference, least=5)
    assert (found.total.reference, found.total.mapped, found.total.matched) == (1, 1, 1)
    assert found.excluded_reference == found.excluded_mapped == 3
    assert found.total.panoptic_quality == 1
    assert found.classes[1].f1 is None  # of ponds there is none left


def test_what_is_mostly_unlabelled_does_not_count_as_made_up() -> None:
    reference, mapped = np.full((30, 40), IGNORE, np.uint8), np.full((30, 40), IGNORE, np.uint8)
    mapped[5:15, 5:15] = 0  # nobody labelled this
    mapped[5:15, 20:30] = 0
    reference[5:15, 20:30] = 0
    found = scored(mapped, reference).classes[0]
    assert (found.reference, found.mapped, found.matched) == (1, 1, 1)
    nothing = scored(np.full((4, 4), IGNORE, np.uint8), np.full((4, 4), IGNORE, np.uint8)).total
    assert nothing.f1 is nothing.panoptic_quality is nothing.area_bias is None


def fields(seed: int) -> tuple[Indices, Indices]:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((40, 60)), 2)
    reference = np.digitize(smooth, np.quantile(smooth, [0.5])).astype(np.uint8)
    mapped = np.digitize(smooth + rng.normal(0, 0.02, smooth.shape), np.quantile(smooth, [0.5])).astype(np.uint8)
    return mapped, reference


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_windows_change_nothing(seed: int) -> None:
    mapped, reference = fields(seed)
    whole = scored(mapped, reference)
    for size in (7, 16, 23):
        for one, other in zip(scored(mapped, reference, size).classes, whole.classes, strict=True):
            # Polygons come in another order, and so are their sums rounded otherwise.
            ours, theirs = plain(one), plain(other)
            assert ours.pop("name") == theirs.pop("name")
            assert ours == pytest.approx(theirs)


def test_agrees_with_torchmetrics() -> None:
    mapped, reference = fields(3)
    framed = []
    for values in (mapped, reference):
        # Torchmetrics leaves nothing out, so that here nothing may touch the edge.
        values[[0, -1]], values[:, [0, -1]] = IGNORE, IGNORE
        padded = np.pad(values, 1, constant_values=IGNORE)
        numbers = np.zeros(padded.shape, int)
        for index in (0, 1):
            own = ndimage.label(padded == index)[0]
            numbers += np.where(own > 0, own + numbers.max(), 0)
        framed.append((padded, numbers))
    ours = scored(framed[0][0], framed[1][0])
    tensors: list[Any] = [
        torch.from_numpy(np.stack([classes.astype(int), numbers], axis=-1))[None] for classes, numbers in framed
    ]
    theirs = panoptic_quality(
        tensors[0], tensors[1], things={0, 1}, stuffs={7}, allow_unknown_preds_category=True, return_per_class=True
    )
    expected = [one.panoptic_quality for one in ours.classes]
    np.testing.assert_allclose(np.asarray(theirs).ravel()[:2], expected, atol=1e-9)
    assert 0 < (expected[0] or 0) < 1
