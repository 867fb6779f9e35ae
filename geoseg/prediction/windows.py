"""Read the windows of prediction: scaled, with reflected context where a window reaches beyond the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.grid import Grid
from geoseg.scene import Scene
from geoseg.statistics import BandStatistics


def read_window(
    scene: Scene, window: Window, places: tuple[int, ...], statistics: BandStatistics
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Scaled bands (bands, rows, cols) and validity (rows, cols) of a window that may reach beyond the scene.

    Beyond the edge the scene is reflected, so that no edge appears where there is none on the ground.

    Args:
        scene: where to read.
        window: rows and columns, possibly negative or beyond the scene.
        places: which of the scene's bands to take, in the model's order.
        statistics: how to scale them.
    """
    inside = _inside(window, scene.grid)
    values, valid = scene.read(inside)
    scaled = statistics.scale(values[list(places)], valid)
    above, left = inside.row_off - window.row_off, inside.col_off - window.col_off
    below = window.height - inside.height - above
    right = window.width - inside.width - left
    around = ((above, below), (left, right))
    return _reflect(scaled, ((0, 0), *around)), _reflect(valid, around)


def core_slices(core: Window, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a window that are its core."""
    return slice(margin, margin + int(core.height)), slice(margin, margin + int(core.width))


def _inside(window: Window, grid: Grid) -> Window:
    top, left = max(window.row_off, 0), max(window.col_off, 0)
    bottom = min(window.row_off + window.height, grid.height)
    right = min(window.col_off + window.width, grid.width)
    return Window(left, top, right - left, bottom - top)


def _reflect(array: npt.NDArray[Any], around: tuple[tuple[int, int], ...]) -> npt.NDArray[Any]:
    # numpy reflects as often as it takes, also over a side of one pixel.
    return np.pad(array, around, mode="reflect") if any(map(any, around)) else array
