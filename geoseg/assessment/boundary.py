"""How well the borders of the classes lie: the boundary F1 score.

Source: G. Csurka, D. Larlus, F. Perronnin, What is a good evaluation measure for semantic segmentation?, BMVC 2013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.assessment.sight import Sight
from geoseg.compiled import compiled
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.legend import IGNORE
from geoseg.units import distance

Indices = npt.NDArray[np.uint8]

MOST = 128
"""Pixels of the largest tolerance; borders farther apart than this are no longer the same."""


def tolerance(text: str | float, grid: Grid) -> float:
    """How far borders may lie apart, in pixels of a map.

    Args:
        text: "5.43px", "30m" or a number of pixels.
        grid: of the map.

    Raises:
        OptionError: it cannot be read, is beyond `MOST` pixels, or is in metres where the map has none.
    """
    size = distance(text, "a boundary tolerance")
    pixels = size.value
    if size.on_ground:
        metres = grid.ground_sample_distance
        if metres is None:
            raise OptionError(f"a boundary tolerance of '{text}' needs a map in metres, and this has none; give pixels")
        pixels = size.value / metres
    if pixels > MOST:
        raise OptionError(
            f"a boundary tolerance of '{text}' is {pixels:.0f} pixels of the map; it must be at most {MOST} pixels"
        )
    return pixels


@dataclass(slots=True, eq=False)
class BoundaryTally:
    """Counts border pixels window by window.

    A border pixel has a 4-neighbour of another class. What has no class in the map or in the reference, and what lies
    beyond the scene, is neither a border nor a neighbour.

    Attributes:
        classes: K.
        pixels: the tolerance.
        counts: (4, K) border pixels of the map, those of them near one of the reference, and the same the other way.
    """

    classes: int
    pixels: float
    counts: npt.NDArray[np.int64] = field(init=False)
    _offsets: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((4, self.classes), np.int64)
        self._offsets = _disc(self.pixels)

    @property
    def margin(self) -> int:
        """Pixels that must be seen around a window: the tolerance, and one to tell a border by."""
        return math.floor(self.pixels) + 1

    def add(self, sight: Sight) -> None:
        """Count the border pixels of one window."""
        known = sight.inside & (sight.mapped != IGNORE) & (sight.reference != IGNORE)
        mapped = _borders(np.where(known, sight.mapped, np.uint8(IGNORE)))
        reference = _borders(np.where(known, sight.reference, np.uint8(IGNORE)))
        bounds = (sight.rows.start, sight.rows.stop, sight.cols.start, sight.cols.stop)
        _count(mapped, reference, self._offsets, *bounds, self.counts[0], self.counts[1])
        _count(reference, mapped, self._offsets, *bounds, self.counts[2], self.counts[3])

    def f1(self) -> npt.NDArray[np.float64]:
        """(K,) boundary F1 scores: NaN without any border, 0 with borders on one side only."""
        return boundary_f1(self.counts)


def boundary_f1(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """F1 scores (K,) of the counts of `BoundaryTally`, which add up over windows and scenes."""
    mapped, found, reference, hit = counts.astype(float)
    precision = np.divide(found, mapped, out=np.zeros(len(mapped)), where=mapped > 0)
    recall = np.divide(hit, reference, out=np.zeros(len(mapped)), where=reference > 0)
    both = precision + recall
    score = np.divide(2 * precision * recall, both, out=np.zeros(len(mapped)), where=both > 0)
    return np.where(mapped + reference > 0, score, np.nan)


def _disc(radius: float) -> npt.NDArray[np.int64]:
    """(n, 2) rows and columns of all pixels within a distance, the nearest first."""
    reach = math.floor(radius)
    rows, cols = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    squares = rows**2 + cols**2
    order = np.argsort(squares, kind="stable")
    near = order[squares[order] <= radius**2 + 1e-9]
    return np.stack([rows[near], cols[near]], axis=1).astype(np.int64)


@compiled
def _borders(values: Any) -> Any:
    """The class of each border pixel, `IGNORE` elsewhere."""
    rows, cols = values.shape
    result = np.full((rows, cols), IGNORE, np.uint8)
    for row in range(rows):
        for col in range(cols):
            own = values[row, col]
            if own == IGNORE:
                continue
            # Beyond the edge the pixel itself stands for its neighbour.
            up, down = values[max(row - 1, 0), col], values[min(row + 1, rows - 1), col]
            left, right = values[row, max(col - 1, 0)], values[row, min(col + 1, cols - 1)]
            if (
                (up != own and up != IGNORE)
                or (down != own and down != IGNORE)
                or (left != own and left != IGNORE)
                or (right != own and right != IGNORE)
            ):
                result[row, col] = own
    return result


@compiled
def _count(
    borders: Any, others: Any, offsets: Any, top: int, bottom: int, left: int, right: int, total: Any, near: Any
) -> None:
    """Count border pixels of a window, and those with one of the same class among `others` within reach."""
    rows, cols = borders.shape
    for row in range(top, bottom):
        for col in range(left, right):
            own = borders[row, col]
            if own == IGNORE:
                continue
            total[own] += 1
            for place in range(offsets.shape[0]):
                y, x = row + offsets[place, 0], col + offsets[place, 1]
                if 0 <= y < rows and 0 <= x < cols and others[y, x] == own:
                    near[own] += 1
                    break
