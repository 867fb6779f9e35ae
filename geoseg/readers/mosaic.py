"""Scenes of many files that lie side by side, read as one; other CRSs and grids are warped on reading."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.windows import Window

from geoseg.errors import BandMismatchError, SceneError
from geoseg.grid import Grid
from geoseg.readers._options import ReadOptions
from geoseg.readers._regrid import RegriddedScene, on_grid, overlaps, pixel_places, require_same_kind
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.readers.stack import StackScene
from geoseg.scene import Scene, require_inside

OPEN_AT_ONCE = 16
"""Scenes of which one thread keeps files open, of however many there are."""

_MOST_PIXELS = 2**40


class MosaicScene:
    """Scenes on one grid; where several lie over a pixel, the first that is valid there counts.

    Which scenes a window needs is looked up in an index of their footprints, so that thousands are no slower than ten.
    """

    def __init__(self, name: str, grid: Grid, parts: Sequence[Scene], *, resampling: str = "bilinear") -> None:
        """Lay `parts`, all with the same bands, on `grid`."""
        self.name = name
        self.grid = grid
        self.bands = parts[0].bands
        self.dtype = str(np.result_type(*{part.dtype for part in parts}))
        self.is_complete = False
        self._parts = tuple(on_grid(part, grid, resampling) for part in parts)
        self.sources = tuple(parts)
        # A pixel wider: where grids are warped, the edges bulge between the points that are looked at.
        self._boxes = np.array([_box(part.grid, grid) for part in parts]) + np.array([-1, -1, 1, 1])
        self._start()

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        require_inside(window, self.grid, self.name)
        values = np.zeros((len(self.bands), int(window.height), int(window.width)), self.dtype)
        valid = np.zeros(values.shape[1:], bool)
        left, top = window.col_off, window.row_off
        near = self._tree.query(shapely.box(left, top, left + window.width, top + window.height))
        for number in sorted(near.tolist()):
            found, mask = self._parts[number].read(window)
            self._keep_open(number)
            fresh = mask & ~valid
            values[:, fresh] = found[:, fresh]
            valid |= fresh
            if valid.all():
                break
        return values, valid

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"_local", "_tree"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self._local = threading.local()
        self._tree = shapely.STRtree(shapely.box(*self._boxes.T))

    def _keep_open(self, number: int) -> None:
        """Close the file that was not used for longest, when there are many."""
        used: OrderedDict[int, None] = self._local.__dict__.setdefault("used", OrderedDict())
        used[number] = None
        used.move_to_end(number)
        while len(used) > OPEN_AT_ONCE:
            oldest, _ = used.popitem(last=False)
            _release(self.sources[oldest])


def _release(scene: Scene) -> None:
    """Close the files of a scene that this thread has open."""
    if isinstance(scene, GeoTiffScene):
        scene.release()
    elif isinstance(scene, RegriddedScene):
        _release(scene.source)
    elif isinstance(scene, StackScene):
        for layer in scene.layers:
            _release(layer)


def open_mosaic(name: str, parts: Sequence[Scene], options: ReadOptions) -> MosaicScene:
    """Join scenes into one.

    The grid is that of the first scene, stretched over all of them, or that of `like`.

    Raises:
        SceneError: some have a CRS and others none, they lie beside `like`, or the grid would be larger than anything.
        BandMismatchError: they do not have the same bands.
    """
    first = parts[0]
    for part in parts:
        if [band.casefold() for band in part.bands] != [band.casefold() for band in first.bands]:
            raise BandMismatchError(
                f"{part.name} has the bands {', '.join(part.bands)} and {first.name} has {', '.join(first.bands)}; "
                "a mosaic needs the same in all; choose them with --bands"
            )
        require_same_kind(part, first.grid, first.name)
    like = options.get("like")
    if like is None:
        grid = _union(first.grid, [part.grid for part in parts], name)
    else:
        given = GeoTiffScene(like, {**options, "bands": None})
        grid = given.grid
        require_same_kind(first, grid, given.name)
        if not any(overlaps(part.grid, grid) for part in parts):
            raise SceneError(f"{name}: none of its scenes overlaps {given.name}, the grid to read it on; check --like")
    return MosaicScene(name, grid, parts, resampling=options.get("resampling") or "bilinear")


def _union(first: Grid, grids: list[Grid], name: str) -> Grid:
    """The first grid, stretched by whole pixels until it covers all."""
    boxes = np.array([_box(grid, first) for grid in grids])
    if np.isnan(boxes).any():
        raise SceneError(f"{name}: one of its scenes cannot be placed in the CRS of the first; leave it out")
    left, top = (math.floor(edge + 1e-6) for edge in boxes[:, :2].min(axis=0))
    right, bottom = (math.ceil(edge - 1e-6) for edge in boxes[:, 2:].max(axis=0))
    if (right - left) * (bottom - top) > _MOST_PIXELS:
        raise SceneError(
            f"{name}: joined on the pixels of its first file, the scenes cover {bottom - top} x {right - left} pixels; "
            "leave out the one that lies far away, or give the grid with --like"
        )
    return Grid(first.crs, first.transform @ Affine.translation(left, top), bottom - top, right - left)


def _box(grid: Grid, on: Grid) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a grid in pixels of another; NaN where it has no place there."""
    cols, rows = pixel_places(grid, on)
    if not len(cols):
        return math.nan, math.nan, math.nan, math.nan
    return cols.min(), rows.min(), cols.max(), rows.max()
