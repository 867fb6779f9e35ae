"""Any scene read on a coarser grid, for pictures: from overviews where its files have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.grid import Grid
from geoseg.readers._regrid import RegriddedScene, on_grid
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.readers.stack import StackScene
from geoseg.scene import Scene


def read_coarse(scene: Scene, grid: Grid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Means of a scene's pixels under those of a coarser grid; memory does not grow with the scene.

    Returns:
        values (bands, rows, cols), and validity (rows, cols): False where any band has no data.

    Raises:
        SceneError: it cannot be read.
    """
    if isinstance(scene, GeoTiffScene):
        return scene.read_coarse(grid)
    if isinstance(scene, StackScene):
        layers = (layer.source if isinstance(layer, RegriddedScene) else layer for layer in scene.layers)
        values, valid = zip(*(read_coarse(layer, grid) for layer in layers), strict=True)
        return np.concatenate(values), np.logical_and.reduce(valid)
    found, known = on_grid(scene, grid, "average").read(grid.window)
    return found.astype(np.float32), known
