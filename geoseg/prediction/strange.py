"""A scene whose values are nothing like those that a model learned from: legal, and a map of it means nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.model import ModelSpec
from geoseg.scene import Scene
from geoseg.statistics import LIMIT

logger = logging.getLogger(__name__)

_SIDE = 64
_PLACES = ((1, 1), (0, 0), (2, 2), (0, 2), (2, 0))


def warn_of_strange_values(scene: Scene, places: Sequence[int], spec: ModelSpec) -> None:
    """Say which band lies, by its median, beyond what the network can tell apart; see `strange_values`."""
    found = strange_values(scene, places, spec)
    if found:
        logger.warning("%s", found)


def strange_values(scene: Scene, places: Sequence[int], spec: ModelSpec) -> str:
    """Which band lies, by its median, beyond what the network can tell apart, in a sentence; empty for none.

    A few small windows are looked at. One that cannot be read is not told here: whoever maps the scene does.

    Args:
        scene: what is to be mapped.
        places: of the model's bands among those of the scene.
        spec: what the model knows.
    """
    looked = [values for values in _looks(scene) if values.size]
    if not looked:
        return ""
    medians = np.median(np.concatenate(looked, axis=1).astype(np.float64), axis=1)[list(places)]
    mean, std = np.array(spec.statistics.mean), np.array(spec.statistics.std)
    strange = np.abs(medians - mean) > LIMIT * std
    if not strange.any():
        return ""
    first = int(np.flatnonzero(strange)[0])
    others = f", and {strange.sum() - 1} other bands are as strange" if strange.sum() > 1 else ""
    return (
        f"{scene.name}: the values of band {scene.bands[places[first]]} are about {medians[first]:.4g}, and the model "
        f"knows {mean[first]:.4g}, give or take {std[first]:.4g}{others}; is it in other units, or saturated?"
    )


def _looks(scene: Scene) -> Iterator[npt.NDArray[np.generic]]:
    """Valid pixels (bands, n) of small windows."""
    for row, col in _PLACES:
        try:
            values, valid = scene.read(_window(scene.grid, row, col))
        except SceneError:
            return
        yield values[:, valid]


def _window(grid: Grid, row: int, col: int) -> Window:
    """The window at a quarter, a half or three quarters of the way along each side."""
    rows, cols = min(_SIDE, grid.height), min(_SIDE, grid.width)
    top, left = (grid.height - rows) * (row + 1) // 4, (grid.width - cols) * (col + 1) // 4
    return Window(left, top, cols, rows)
