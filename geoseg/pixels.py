"""Pixels of one band, and where they are data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from geoseg.errors import GeosegError
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings


def read_pixels(
    dataset: Any,
    path: Path,
    band: int,
    window: Window,
    error: type[GeosegError],
    shape: tuple[int, int] | None = None,
    behind: Any = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Values (rows, cols) of a window and where they are valid: not masked, and not the declared nodata.

    Args:
        dataset: the open raster.
        path: its name in messages.
        band: from 1.
        window: where.
        error: the type of error to raise.
        shape: rows and columns to read it with, its own when None.
        behind: the raster that declares the nodata, where `dataset` is a view of it.

    Raises:
        GeosegError: of the given type: the file is damaged there.
    """
    try:
        with gdal_settings():
            values = dataset.read(band, window=window, out_shape=shape)
            valid = dataset.read_masks(band, window=window, out_shape=shape) != 0
    except GDAL_ERRORS as cause:
        raise error(f"{path}: cannot read {window}: {first_line(cause)}; the file may be damaged") from cause
    declaring = dataset if behind is None else behind
    if hides_nodata(declaring, band):
        valid &= other_than(values, declaring.nodatavals[band - 1])
    return values, valid


def hides_nodata(dataset: Any, band: int) -> bool:
    """True when a raster has a mask of its own, which takes the place of the one that GDAL makes of nodata."""
    return MaskFlags.nodata not in dataset.mask_flag_enums[band - 1]


def other_than(values: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
    """Where values are not the declared nodata: everywhere for none, NaN, or what no number of their type equals.

    >>> other_than(np.array([0, 7], np.uint8), 0.0).tolist()
    [False, True]
    >>> other_than(np.array([0, 7], np.uint8), -9999.0).tolist()
    [True, True]
    """
    if nodata is None or np.isnan(nodata):
        return np.ones(values.shape, bool)
    return np.asarray(values != nodata)
