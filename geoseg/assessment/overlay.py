"""A map over its reference, to look into: scene, both, and where they differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from affine import Affine

from geoseg.assessment.figures import AGREE, DIFFER
from geoseg.assessment.preview import Preview
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend, TerrainClass
from geoseg.viewing.composite import Image
from geoseg.viewing.layers import LEFT, RIGHT, ClassLayer, Layer, PictureLayer
from geoseg.viewing.place import Place, is_north_up
from geoseg.viewing.viewer import Viewer, viewer

NOT_COMPARED = "#7d8894"
_AGREEMENT = (
    TerrainClass(0, "agree", AGREE),
    TerrainClass(1, "differ", DIFFER),
    TerrainClass(2, "not compared", NOT_COMPARED),
)


def overlay(preview: Preview, legend: Legend, scene: Image | None, key: str, longest: int) -> Viewer:
    """The reference left of the swipe line and the map right of it, errors and scene to be switched on.

    Args:
        preview: of the comparison.
        legend: of both.
        scene: (rows, cols, 4) colours on the same grid, None where there is none.
        key: tells it from other viewers of the page.
        longest: pixels a side; larger pictures are thinned.
    """
    step = -(-max(preview.grid.shape) // longest)
    thin = (slice(step // 2, None, step),) * 2
    grid = _flat(preview)
    grid = replace(
        grid,
        transform=grid.transform @ Affine.scale(step),
        height=len(range(grid.height)[thin[0]]),
        width=len(range(grid.width)[thin[1]]),
    )
    layers: list[Layer] = [] if scene is None else [PictureLayer(name="scene", grid=grid, pixels=scene[thin])]
    for name, indices, side in (("reference", preview.reference, LEFT), ("map", preview.mapped, RIGHT)):
        layers.append(ClassLayer(name=name, grid=grid, sides=(side,), indices=indices[thin], classes=legend.classes))
    errors = _errors(preview)[thin]
    layers.append(ClassLayer(name="errors", grid=grid, sides=(), indices=errors, classes=_AGREEMENT, group="Agreement"))
    plain = grid.crs is None
    return viewer(layers, Place(grid.crs, grid.bounds, down=plain), key, wheel=False)


def _errors(preview: Preview) -> npt.NDArray[np.uint8]:
    compared = preview.compared
    wrong = (preview.mapped != preview.reference).astype(np.uint8)
    return np.where(compared, wrong, np.where(preview.mapped == IGNORE, IGNORE, 2)).astype(np.uint8)


def _flat(preview: Preview) -> Grid:
    """The grid of a picture as it can be drawn.

    What is turned or has no CRS is shown by the rows and columns of the map, counted downwards.
    """
    grid, step = preview.grid, preview.step
    if grid.crs is not None and is_north_up(grid):
        return grid
    return Grid(None, Affine(step, 0, 0, 0, -step, 0), grid.height, grid.width)
