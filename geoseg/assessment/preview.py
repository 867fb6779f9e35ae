"""Small pictures of large rasters: every n-th pixel of map and reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine

from geoseg.grid import Grid
from geoseg.legend import IGNORE

Indices = npt.NDArray[np.uint8]

LONGEST = 1000
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """Map and reference at every `step`-th pixel, filled window by window while the map is read anyway.

    Attributes:
        grid: the grid of the picture, `step` times coarser than the map's.
        step: pixels of the map per pixel of the picture, along both axes.
        rows, cols: the row and column of the map that each row and column of the picture shows.
        mapped, reference: (rows, cols) class indices, `IGNORE` where there is no class.
        inside: (rows, cols) True where pixels count.
    """

    grid: Grid
    step: int
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    mapped: Indices
    reference: Indices
    inside: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid, longest: int = LONGEST) -> Preview:
        """An empty picture of a map on `grid`, at most `longest` pixels a side."""
        step = -(-max(grid.shape) // longest)
        rows, cols = _centres(grid.height, step), _centres(grid.width, step)
        coarse = Grid(grid.crs, grid.transform @ Affine.scale(step), len(rows), len(cols))
        blank = np.full(coarse.shape, IGNORE, np.uint8)
        return cls(coarse, step, rows, cols, blank, blank.copy(), np.zeros(coarse.shape, bool))

    @property
    def compared(self) -> npt.NDArray[np.bool_]:
        """(rows, cols) True where map and reference have a class and pixels count."""
        return np.asarray(self.inside & (self.mapped != IGNORE) & (self.reference != IGNORE))

    def add(self, row: int, col: int, mapped: Indices, reference: Indices, inside: npt.NDArray[np.bool_]) -> None:
        """Take the pixels that the picture needs from a window that begins at `row` and `col` of the map."""
        down = slice(*np.searchsorted(self.rows, (row, row + mapped.shape[0])))
        across = slice(*np.searchsorted(self.cols, (col, col + mapped.shape[1])))
        picked = np.ix_(self.rows[down] - row, self.cols[across] - col)
        self.mapped[down, across] = mapped[picked]
        self.reference[down, across] = reference[picked]
        self.inside[down, across] = inside[picked]


def _centres(length: int, step: int) -> npt.NDArray[np.int64]:
    """The middle pixel of each span of `step`; the last span may be cut."""
    return np.minimum(np.arange(-(-length // step)) * step + step // 2, length - 1)
