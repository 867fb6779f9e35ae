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
    """Say which band lies, by its median, beyond what the network can tell apart.

    A few small windows are looked at. One that cannot be read is not told here: whoever maps the scene does.

    Args:
        scene: what is to be mapped.
        places: of the model's bands among those of the scene.
        spec: what the model knows.
    """
    looked = [values for values in _looks(scene) if values.size]
    if not looked:
        return
    medians = np.median(np.concatenate(looked, axis=1).astype(np.float64), axis=1)[list(places)]
    mean, std = np.array(spec.statistics.mean), np.array(spec.statistics.std)
    strange = np.abs(medians - mean) > LIMIT * std
    if not strange.any():
        return
    first = int(np.flatnonzero(strange)[0])
    others = f", and {strange.sum() - 1} other bands are as strange" if strange.sum() > 1 else ""
    logger.warning(
        "%s: the values of band %s are about %.4g, and the model knows %.4g, give or take %.4g%s; is it in other "
        "units, or saturated?",
        scene.name, scene.bands[places[first]], medians[first], mean[first], std[first], others,
    )  # fmt: skip


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
