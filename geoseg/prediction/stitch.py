"""Put windows together into rows of a map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.legend import IGNORE


class RowStitcher:
    """Collects the cores of one row of windows after another and hands out rows as soon as they are complete.

    It holds one row of windows of class indices, whatever the height of the scene.
    """

    def __init__(self, width: int) -> None:
        """Stitch a scene of `width` columns."""
        self._width = width
        self._band = np.empty((0, width), np.uint8)
        self._missing = 0

    def add(self, core: Window, indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
        """Add the class indices (rows, cols) of a core; return the rows (rows, width) that it completed, or None.

        Cores come row by row from the top, as `WindowGrid` gives them; those of one row in any order.
        """
        if self._missing == 0:
            self._band = np.full((int(core.height), self._width), IGNORE, np.uint8)
            self._missing = self._width
        self._band[:, core.col_off : core.col_off + core.width] = indices
        self._missing -= int(core.width)
        return self._band if self._missing == 0 else None
