"""Means of a raster's pixels under those of a coarser grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.placing import placing

_NEARLY = 1e-6  # pixels; transforms are multiplied in floating point

Averaged = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]
_Span = tuple[slice, float, float]


def averaged(dataset: Any, numbers: list[int], nodata: Sequence[float | None], grid: Grid) -> Averaged:
    """Read bands on a coarser grid, from overviews where there are any.

    Args:
        dataset: an open raster.
        numbers: of the bands, from 1.
        nodata: of each band, None where it has none.
        grid: where to put them; of a raster without a CRS a rectangle of its own coordinates.

    Returns:
        values (bands, rows, cols), and where all bands have data (rows, cols).
    """
    declared = [dataset.nodatavals[number - 1] for number in numbers]
    spans = _spans(dataset, grid)
    if spans is None or list(nodata) != declared:
        return _warped(dataset, numbers, [value for value in nodata if value is not None], grid)
    values = np.zeros((len(numbers), *grid.shape), np.float32)
    valid = np.zeros(grid.shape, bool)
    # Several times as fast as warping, which reads every pixel whatever there is.
    for rows, top, height in spans[0]:
        for cols, left, width in spans[1]:
            part = {"window": Window(left, top, width, height), "out_shape": valid[rows, cols].shape}
            values[:, rows, cols] = dataset.read(numbers, resampling=Resampling.average, out_dtype="float32", **part)
            valid[rows, cols] = (dataset.read_masks(numbers, **part) != 0).all(axis=0)
    return values, valid


def _spans(dataset: Any, grid: Grid) -> tuple[list[_Span], list[_Span]] | None:
    """Which rows and columns of the grid lie over which of the raster, None where they are not parallel."""
    if dataset.crs != grid.crs:
        return None
    t = ~dataset.transform @ grid.transform
    if max(abs(t.b), abs(t.d)) * max(grid.shape) > _NEARLY or t.a < 1 - _NEARLY or t.e < 1 - _NEARLY:
        return None
    return _along(t.f, t.e, grid.height, dataset.height), _along(t.c, t.a, grid.width, dataset.width)


def _along(start: float, step: float, count: int, length: int) -> list[_Span]:
    """Spans of the grid's pixels that lie over the raster, where those of the raster begin, and how many they are.

    Pixels that reach beyond the raster stand for what of it is under them.

    >>> _along(0, 10, 3, 25)
    [(slice(0, 2, None), 0, 20), (slice(2, 3, None), 20, 5)]
    >>> _along(-15, 10, 9, 12)
    [(slice(1, 2, None), 0, 5), (slice(2, 3, None), 5, 7)]
    """
    first = min(max(math.ceil(-start / step - _NEARLY), 0), count)
    last = min(max(math.floor((length - start) / step + _NEARLY), 0), count)
    pieces = [(first - 1, first), (first, last), (last, last + 1)] if first <= last else [(last, last + 1)]
    spans = []
    for begin, end in pieces:
        low, high = max(start + begin * step, 0), min(start + end * step, length)
        if 0 <= begin < end <= count and high - low > _NEARLY:
            spans.append((slice(begin, end), low, high - low))
    return spans


def _warped(dataset: Any, numbers: list[int], nodata: list[float], grid: Grid) -> Averaged:
    if grid.crs is None or dataset.crs is None:
        # Without a CRS there is nothing to warp: the grid is the raster's own rectangle.
        values = dataset.read(numbers, out_shape=grid.shape, resampling=Resampling.average, out_dtype="float32")
        return values, (dataset.read_masks(numbers, out_shape=grid.shape) != 0).all(axis=0)
    unmasked = all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums) and not nodata
    with placing(dataset.name, dataset.crs, grid.crs, SceneError):
        view = WarpedVRT(
            dataset,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling.average,
            add_alpha=unmasked,  # else what lies beyond the raster would be black
            warp_mem_limit=64,
            **({"src_nodata": nodata[0], "nodata": nodata[0]} if nodata else {}),
        )
    with view as warped:
        masks = warped.read_masks(numbers) != 0
        return warped.read(numbers, out_dtype="float32"), masks.all(axis=0)
