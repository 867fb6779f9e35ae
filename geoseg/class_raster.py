"""Rasters of class ids: maps that geoseg made, maps from elsewhere, and labels drawn as rasters."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoseg.errors import GeosegError, LegendError, MapError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, MAX_CLASSES, MAX_ID, Legend
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings, open_raster

logger = logging.getLogger(__name__)

LEGEND_TAG = "GEOSEG_LEGEND"
"""TIFF tag that holds the legend of a map, as JSON."""


@dataclass(frozen=True, slots=True)
class ClassRaster:
    """A one-band integer raster in which each value is a class id.

    Attributes:
        path: the file.
        grid: its georeferencing.
        legend: its classes.
        error: the type of error to raise, MapError for maps and LabelError for labels.
    """

    path: Path
    grid: Grid
    legend: Legend
    error: type[GeosegError] = MapError

    def windows(self, rows: int = 512) -> Iterator[Window]:
        """Full-width windows of `rows` rows, top to bottom."""
        for row in range(0, self.grid.height, rows):
            yield Window(0, row, self.grid.width, min(rows, self.grid.height - row))

    def read_windows(self, windows: Iterator[Window]) -> Iterator[tuple[Window, npt.NDArray[np.uint8]]]:
        """Class indices (rows, cols) of each window, `IGNORE` where there is no class; one handle for all."""
        with open_raster(self.path, error=self.error) as dataset:
            for window in windows:
                yield window, self._indices(dataset, window)

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) of one window."""
        return next(self.read_windows(iter([window])))[1]

    def read_on(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on another grid: the class at each pixel's centre, `IGNORE` outside.

        Raises:
            GeosegError: one of the two has a CRS and the other has none.
        """
        if (grid.crs is None) != (self.grid.crs is None):
            raise self.error(
                f"{self.path}: one raster has a CRS and the other has none, so neither can be placed on the other"
            )
        with open_raster(self.path, error=self.error) as dataset:
            if grid.crs == self.grid.crs and _is_aligned(self.grid, grid):
                return self._aligned(dataset, grid)
            if grid.crs is None:
                raise self.error(f"{self.path}: has no CRS and another grid; geoseg cannot place it")
            with gdal_settings(), self._warped(dataset, grid) as warped:
                return self._indices(warped, Window(0, 0, grid.width, grid.height))

    def _aligned(self, dataset: Any, grid: Grid) -> npt.NDArray[np.uint8]:
        """Pixels of a grid that is a window of this one, which may reach beyond it."""
        offset = ~self.grid.transform @ grid.transform
        row, col = round(offset.f), round(offset.c)
        indices = np.full(grid.shape, IGNORE, np.uint8)
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + grid.height, self.grid.height), min(col + grid.width, self.grid.width)
        if top < bottom and left < right:
            found = self._indices(dataset, Window(left, top, right - left, bottom - top))
            indices[top - row : bottom - row, left - col : right - col] = found
        return indices

    def _warped(self, dataset: Any, grid: Grid) -> Any:
        # A value outside the legend marks what lies beyond this raster; the file's own nodata is not always declared.
        outside = self.legend.nodata
        return WarpedVRT(
            dataset,
            src_crs=self.grid.crs,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling.nearest,
            src_nodata=dataset.nodata if dataset.nodata is not None else outside,
            nodata=dataset.nodata if dataset.nodata is not None else outside,
            tolerance=0.01,  # pixels; rasterio cannot make an exact transformer
            warp_mem_limit=64,
        )

    def _indices(self, dataset: Any, window: Window) -> npt.NDArray[np.uint8]:
        try:
            with gdal_settings():
                ids = dataset.read(1, window=window)
                valid = dataset.read_masks(1, window=window) != 0
        except GDAL_ERRORS as error:
            raise self.error(
                f"{self.path}: cannot read {window}: {first_line(error)}; the file may be damaged"
            ) from error
        return np.where(valid, self.legend.encode(ids), np.uint8(IGNORE))


def open_class_raster(
    path: str | Path, *, legend: Legend | None = None, error: type[GeosegError] = MapError
) -> ClassRaster:
    """Open a class raster.

    The legend is the one given, else the one in the file's tags (a map geoseg made), else one class for each value
    found.

    Raises:
        GeosegError: of the given type: missing, broken, more than one band, not integer, or values outside the legend.
    """
    path = Path(path)
    with open_raster(path, error=error) as dataset:
        if dataset.count != 1:
            raise error(f"{path}: has {dataset.count} bands; a class raster has one")
        if np.dtype(dataset.dtypes[0]).kind not in "iu":
            raise error(
                f"{path}: holds {dataset.dtypes[0]} values; a class raster holds whole numbers from 0 to {MAX_ID}"
            )
        grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        tagged = _tagged_legend(dataset, path, error)
        if legend is None and tagged is not None:
            return ClassRaster(path, grid, tagged, error)
        values = _values(dataset, path, error)
        dataset_nodata = dataset.nodata
        declared = dataset_nodata is not None
    if legend is None:
        legend = _legend_of(values, path, error)
        if 0 in values and not declared:
            logger.warning("%s declares no nodata, so value 0 is taken as a class", path)
        return ClassRaster(path, grid, legend, error)
    if dataset_nodata in legend.ids:
        logger.warning(
            "%s: declares %g as nodata, so class %g of the legend is nowhere", path, dataset_nodata, dataset_nodata
        )
    strangers = sorted(values - set(legend.ids))
    if strangers == [0] and not declared:
        logger.warning("%s: value 0 is not in the legend and is taken as unlabelled", path)
    elif strangers:
        listing = ", ".join(map(str, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
        raise error(f"{path}: holds {listing}, which the legend does not have; add them to it or declare them nodata")
    return ClassRaster(path, grid, legend, error)


def _tagged_legend(dataset: rasterio.DatasetReader, path: Path, error: type[GeosegError]) -> Legend | None:
    text = dataset.tags().get(LEGEND_TAG)
    if text is None:
        return None
    try:
        return Legend.from_dict(json.loads(text))
    except (ValueError, LegendError) as cause:
        raise error(f"{path}: its tag {LEGEND_TAG} is not a legend: {cause}") from cause


def _values(dataset: rasterio.DatasetReader, path: Path, error: type[GeosegError]) -> set[int]:
    """The values of all valid pixels, found window by window."""
    values: set[int] = set()
    for row in range(0, dataset.height, 256):
        window = Window(0, row, dataset.width, min(256, dataset.height - row))
        try:
            with gdal_settings():
                ids = dataset.read(1, window=window)
                valid = dataset.read_masks(1, window=window) != 0
        except GDAL_ERRORS as cause:
            raise error(f"{path}: cannot read {window}: {first_line(cause)}; the file may be damaged") from cause
        values.update(np.unique(ids[valid]).tolist())
        if len(values) > MAX_CLASSES:
            raise error(f"{path}: holds more than {MAX_CLASSES} different values; it does not look like a class raster")
    return values


def _legend_of(values: set[int], path: Path, error: type[GeosegError]) -> Legend:
    if not values:
        raise error(f"{path}: has no valid pixel, so there is no class in it")
    wrong = [value for value in values if not 0 <= value <= MAX_ID]
    if wrong:
        raise error(f"{path}: holds the value {min(wrong)}; class ids are whole numbers from 0 to {MAX_ID}")
    return Legend.from_names((value, f"class {value}") for value in sorted(values))


def _is_aligned(own: Grid, other: Grid) -> bool:
    """True when `other` is a whole-pixel window of `own` (to a thousandth of a pixel over its extent)."""
    offset = ~own.transform @ other.transform
    drift = max(abs(offset.a - 1), abs(offset.b), abs(offset.d), abs(offset.e - 1)) * max(other.shape)
    return bool(drift < 1e-3 and abs(offset.c - round(offset.c)) < 1e-3 and abs(offset.f - round(offset.f)) < 1e-3)
