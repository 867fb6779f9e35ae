"""Cut a map by regions: each pixel belongs to the region that holds its centre."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.windows import Window

from geoseg.connected import NONE, Int32s
from geoseg.errors import LabelError, MapError
from geoseg.grid import Grid
from geoseg.named_regions import NamedRegions

SHIFT = 14
MOST = (1 << SHIFT) - 2
"""Regions, and classes beside regions, that a code has room for."""


class Regions:
    """Polygons that cut a map, and their names.

    Raises:
        LabelError: the file is missing, broken, holds no polygon or too many.
        MapError: one of map and regions has a CRS and the other none.
        OptionError: no such column.
    """

    def __init__(self, path: Path, field: str | None, grid: Grid) -> None:
        self._regions, self._grid = NamedRegions(path, field, grid), grid
        self.names = self._regions.names
        if len(self.names) > MOST:
            raise LabelError(
                f"{path}: holds {len(self.names)} polygons, and --by takes up to {MOST}; dissolve them first"
            )
        self.left_out = 0

    def cut(self, codes: Int32s, top: int) -> Int32s:
        """Codes (rows, cols) of class and region; pixels of no region have none."""
        if codes.max(initial=0) > MOST:
            raise MapError(f"the map holds more than {MOST} classes, too many to be cut by regions")
        rows, cols = codes.shape
        number = self._regions.numbers(self._grid.crop(Window(0, top, cols, rows)))
        valid, inside = codes != NONE, number > 0
        self.left_out += int((valid & ~inside).sum())
        return np.where(valid & inside, codes | (number - 1) << SHIFT, NONE)


def class_of(codes: Int32s) -> Int32s:
    """The class of codes that `Regions.cut` made."""
    return codes & ((1 << SHIFT) - 1)


def region_of(codes: Int32s) -> Int32s:
    """The place of the region in `Regions.names`."""
    return codes >> SHIFT
