"""What is seen of a map and its reference at a time, and what can be found out from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.grid import Grid

Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A window of a map and of its reference, with a margin of context where the map has it.

    Attributes:
        grid: of what is seen, margin included.
        row, col: where the core begins in the map.
        rows, cols: the core, as slices of the arrays.
        mapped, reference: (rows, cols) class indices, `IGNORE` where there is no class.
        inside: (rows, cols) True where pixels count.
    """

    grid: Grid
    row: int
    col: int
    rows: slice
    cols: slice
    mapped: Indices
    reference: Indices
    inside: npt.NDArray[np.bool_]

    def core(self) -> Sight:
        """The same without its margin."""
        part = self.rows, self.cols
        height, width = self.rows.stop - self.rows.start, self.cols.stop - self.cols.start
        if (height, width) == self.grid.shape:
            return self
        place = self.grid.crop(Window(self.cols.start, self.rows.start, width, height))
        return Sight(
            place, self.row, self.col, slice(0, height), slice(0, width),
            self.mapped[part], self.reference[part], self.inside[part],
        )  # fmt: skip


class Tally(Protocol):
    """Something that is counted window by window, whatever the size of the map."""

    @property
    def margin(self) -> int:
        """Pixels it must see around a window."""

    def add(self, sight: Sight) -> None:
        """Count a window. Cores of all windows cover the map once."""
