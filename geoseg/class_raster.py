"""Rasters of class ids: maps that geoseg made, maps from elsewhere, and labels drawn as rasters."""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import Compression, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoseg.documents import parse_json
from geoseg.errors import GeosegError, LegendError, MapError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, MAX_CLASSES, MAX_ID, Legend
from geoseg.limits import Limits
from geoseg.pixels import hides_nodata, read_pixels
from geoseg.placing import placing
from geoseg.raster import current_limits, gdal_settings, grid_of, open_raster
from geoseg.registry import shortened

logger = logging.getLogger(__name__)

LEGEND_TAG = "GEOSEG_LEGEND"
"""TIFF tag that holds the legend of a map, as JSON."""

_REACH = 2**16
"""Pixels: views of a raster on another grid begin and end at multiples of it."""


@dataclass(frozen=True, slots=True)
class ClassRaster:
    """A one-band raster of whole numbers in which each value is a class id; each thread keeps a handle of its own.

    Attributes:
        path: the file.
        grid: its georeferencing.
        legend: its classes.
        error: the type of error to raise, MapError for maps and LabelError for labels.
        limits: what the file may declare, in any process.
        unchecked: values outside the legend were not looked for when it was opened, so that reading refuses them.
    """

    path: Path
    grid: Grid
    legend: Legend
    error: type[GeosegError] = MapError
    limits: Limits = field(default_factory=current_limits)
    unchecked: bool = False
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return ClassRaster, (self.path, self.grid, self.legend, self.error, self.limits, self.unchecked)

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) of one window."""
        return self._indices(self._dataset(), window)

    def read_on(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on another grid: the class at each pixel's centre, `IGNORE` outside.

        Raises:
            GeosegError: one of the two has a CRS and the other has none, or there is no way between them.
        """
        if (grid.crs is None) != (self.grid.crs is None):
            raise self.error(
                f"{self.path}: one raster has a CRS and the other has none, so neither can be placed on the other"
            )
        if self.grid.is_aligned(grid):
            return self._aligned(grid)
        if grid.crs is None:
            raise self.error(f"{self.path}: has no CRS and another grid; geoseg cannot place it")
        view, seen = self._view(grid)
        row, col = seen.offset(grid)
        return self._indices(view, Window(col, row, grid.width, grid.height))

    def read_coarse(self, longest: int) -> tuple[Grid, npt.NDArray[np.uint8]]:
        """Class indices (rows, cols) with at most `longest` pixels a side, one for several; and the grid they are on.

        Overviews are used where the file has any.
        """
        step = -(-max(self.grid.shape) // longest)
        height, width = -(-self.grid.height // step), -(-self.grid.width // step)
        transform = self.grid.transform @ Affine.scale(self.grid.width / width, self.grid.height / height)
        grid = Grid(self.grid.crs, transform, height, width)
        return grid, self._indices(self._dataset(), self.grid.window, grid.shape)

    def _dataset(self) -> rasterio.DatasetReader:
        # GDAL handles must not be shared by threads; opening one costs more than reading a chip.
        if not hasattr(self._local, "dataset"):
            self._local.dataset = open_raster(self.path, error=self.error, limits=self.limits)
        return self._local.dataset

    def _aligned(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Pixels of a grid that is a window of this one, which may reach beyond it."""
        row, col = self.grid.offset(grid)
        indices = np.full(grid.shape, IGNORE, np.uint8)
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + grid.height, self.grid.height), min(col + grid.width, self.grid.width)
        if top < bottom and left < right:
            found = self.read(Window(left, top, right - left, bottom - top))
            indices[top - row : bottom - row, left - col : right - col] = found
        return indices

    def _view(self, grid: Grid) -> tuple[WarpedVRT, Grid]:
        """This raster warped to the pixels of `grid` and far around it, and the grid of that.

        Made once for all windows of a scene: it is faster than one for each, and a window reads what the whole does.
        """
        if not hasattr(self._local, "view") or not _holds(self._local.view[1], grid):
            around = _surroundings(grid)
            self._local.view = self._warped(around), around
        view: tuple[WarpedVRT, Grid] = self._local.view
        return view

    def _warped(self, grid: Grid) -> WarpedVRT:
        dataset = self._dataset()
        outside = self._outside(dataset)
        assert grid.crs is not None  # noqa: S101
        assert self.grid.crs is not None  # noqa: S101
        with gdal_settings(), placing(self.path, self.grid.crs, grid.crs, self.error):
            return WarpedVRT(
                dataset,
                src_crs=self.grid.crs,
                crs=grid.crs,
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=Resampling.nearest,
                src_nodata=outside,
                nodata=outside,
                tolerance=0.01,  # pixels; rasterio cannot make an exact transformer
                warp_mem_limit=64,
            )

    def _outside(self, dataset: rasterio.DatasetReader) -> int:
        """The value of what lies beyond this raster: its nodata where it declares one, else one that is no class.

        GDAL looks at a mask only where it finds no nodata, so a raster that has both gets a value that is neither.
        """
        limits = np.iinfo(dataset.dtypes[0] if np.dtype(dataset.dtypes[0]).kind in "iu" else np.int16)
        declared = dataset.nodata
        is_whole = declared is not None and limits.min <= declared <= limits.max and declared == int(declared)
        if is_whole and not hides_nodata(dataset, 1):
            return int(declared)
        taken = {*self.legend.ids, declared}
        return next(value for value in range(limits.max, limits.min - 1, -1) if value not in taken)

    def _indices(self, dataset: Any, window: Window, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
        values, valid = read_pixels(dataset, self.path, 1, window, self.error, shape, behind=self._dataset())
        ids = values
        if ids.dtype.kind == "f":
            valid &= np.isfinite(ids)
            is_id = valid & (np.abs(ids) <= MAX_ID) & (ids == np.round(ids))
            ids = np.where(is_id, ids, -1).astype(np.int32)
        indices = np.where(valid, self.legend.encode(ids), np.uint8(IGNORE))
        # Overviews may hold means of classes, which are in nobody's legend.
        if self.unchecked and shape in (None, (window.height, window.width)):
            strange = valid & (indices == IGNORE)
            if strange.any():
                self._refuse_strangers(values[strange])
        return indices

    def _refuse_strangers(self, values: npt.NDArray[Any]) -> None:
        nodata = self._dataset().nodata
        strangers = {value for value in _distinct(values, self.path, self.error) if value != nodata}
        refuse_strangers(strangers, self.path, self.error, declared=nodata is not None, own=True)


def open_class_raster(
    path: str | Path,
    *,
    legend: Legend | None = None,
    background: int | None = None,
    error: type[GeosegError] = MapError,
) -> ClassRaster:
    """Open a class raster.

    The legend is the one given, else the one in the file's tags (a map geoseg made), else one class for each value
    found. Values outside it are refused; outside one in the tags when they are read, as a map need not be read twice.

    Args:
        path: the file.
        legend: the classes, where the file is not to decide.
        background: the class that is meant by nodata, so that there is no need to warn of it.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type: missing, broken, more than one band, not integer, or values outside the legend.
    """
    path = Path(path)
    with open_raster(path, error=error) as dataset:
        if dataset.count != 1:
            raise error(f"{path}: has {dataset.count} bands; a class raster has one")
        if "complex" in dataset.dtypes[0]:
            raise error(f"{path}: holds complex values; a class raster holds whole numbers from 0 to {MAX_ID}")
        if dataset.compression == Compression.jpeg:
            raise error(f"{path}: is compressed as JPEG, which changes class ids; make it again without loss")
        grid = grid_of(dataset, path, error)
        tagged = tagged_legend(dataset, path, error)
        nodata = dataset.nodata
        declared = nodata is not None
        # What geoseg wrote declares its nodata.
        unchecked = legend is None and tagged is not None and declared
        values = set() if unchecked else _values(dataset, path, error)
        highest = _highest(dataset)
    known = tagged if legend is None else legend
    if known is None:
        logger.info("%s: classes %s; %s", path, shortened(tuple(map(str, sorted(values)))), _unlabelled(nodata))
        known = _legend_of(values, path, error)
        if not declared:
            _warn_of_undeclared(values, highest, path)
        return ClassRaster(path, grid, known, error)
    if nodata != background:
        warn_of_nodata(nodata, known, path)
    refuse_strangers(values - set(known.ids), path, error, declared=declared, own=legend is None)
    return ClassRaster(path, grid, known, error, unchecked=unchecked)


def warn_of_nodata(nodata: float | None, legend: Legend, path: Path) -> None:
    """Say that the declared nodata is a class of the legend, so that this class is nowhere."""
    if nodata in legend.ids:
        logger.warning("%s: declares %g as nodata, so class %g of the legend is nowhere", path, nodata, nodata)


def refuse_strangers(strangers: set[int], path: Path, error: type[GeosegError], *, declared: bool, own: bool) -> None:
    """Refuse values that are data and in no legend; 0 alone is taken as unlabelled where no nodata is declared.

    Args:
        strangers: the values.
        path: the raster.
        error: the type of error to raise.
        declared: it declares a nodata.
        own: the legend is the one in its tags.

    Raises:
        GeosegError: of the given type.
    """
    if strangers == {0} and not declared:
        logger.warning("%s: value 0 is not in the legend and is taken as unlabelled", path)
    elif strangers:
        listing = shortened(tuple(map(str, sorted(strangers))), 5)
        legend = f"the legend in its tag {LEGEND_TAG}" if own else "the legend"
        remedy = "give a legend that has them with --legend" if own else "add them to it"
        raise error(f"{path}: holds {listing}, which {legend} does not have; {remedy} or declare them nodata")


def _warn_of_undeclared(values: set[int], highest: int, path: Path) -> None:
    """Say which values are classes though they often mean that nothing is there."""
    for value in sorted(values & {0, highest}):
        logger.warning("%s declares no nodata, so value %d is taken as a class", path, value)


def _unlabelled(nodata: float | None) -> str:
    return "all pixels are labelled" if nodata is None else f"{nodata:g} is nodata, so not labelled"


def _highest(dataset: rasterio.DatasetReader) -> int:
    """The highest value of a raster's type, which many writers use for nodata; 255 of floating point."""
    dtype = np.dtype(dataset.dtypes[0])
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 255


def tagged_legend(dataset: rasterio.DatasetReader, path: Path, error: type[GeosegError]) -> Legend | None:
    """The legend that geoseg wrote into a raster, None where there is none; raises `error` for one that is broken."""
    text = dataset.tags().get(LEGEND_TAG)
    if text is None:
        return None
    try:
        return Legend.from_dict(parse_json(text))
    except (ValueError, LegendError) as cause:
        raise error(f"{path}: its tag {LEGEND_TAG} is not a legend: {cause}") from cause


def _values(dataset: rasterio.DatasetReader, path: Path, error: type[GeosegError]) -> set[int]:
    """The values of all valid pixels, found window by window."""
    values: set[int] = set()
    corners = itertools.product(range(0, dataset.height, 256), range(0, dataset.width, 4096))
    for row, col in corners:
        window = Window(col, row, min(4096, dataset.width - col), min(256, dataset.height - row))
        ids, valid = read_pixels(dataset, path, 1, window, error)
        values.update(_distinct(ids[valid], path, error))
        if len(values) > MAX_CLASSES:
            raise error(f"{path}: holds more than {MAX_CLASSES} different values; it does not look like a class raster")
    return values


def _distinct(ids: npt.NDArray[Any], path: Path, error: type[GeosegError]) -> list[int]:
    """The values there are; counting beats sorting where it can. What is not finite is no value."""
    if ids.dtype.kind == "f":
        found = np.unique(ids[np.isfinite(ids)])
        broken = found[found != np.round(found)]
        if len(broken):
            raise error(
                f"{path}: holds {ids.dtype} values such as {broken[0]!s}; a class raster holds whole numbers from 0 to "
                f"{MAX_ID}"
            )
        return [int(value) for value in found]
    if ids.dtype.kind == "u" and ids.dtype.itemsize <= 2:
        return np.flatnonzero(np.bincount(ids)).tolist()
    return [int(value) for value in np.unique(ids)]


def _legend_of(values: set[int], path: Path, error: type[GeosegError]) -> Legend:
    if not values:
        raise error(f"{path}: has no valid pixel, so there is no class in it")
    wrong = [value for value in values if not 0 <= value <= MAX_ID]
    if wrong:
        raise error(f"{path}: holds the value {min(wrong)}; class ids are whole numbers from 0 to {MAX_ID}")
    return Legend.from_names((value, f"class {value}") for value in sorted(values))


def _holds(own: Grid, other: Grid) -> bool:
    """True when `other` is a window of `own` and inside it."""
    if not own.is_aligned(other):
        return False
    row, col = own.offset(other)
    return 0 <= row <= own.height - other.height and 0 <= col <= own.width - other.width


def _surroundings(grid: Grid) -> Grid:
    """The pixels of a grid and many around it.

    Where they begin is a multiple of `_REACH` pixels from the origin of the CRS: GDAL warps block by block, and blocks
    that lie alike whichever window was read first give every thread and process the same pixels.
    """
    x, y = ~grid.transform @ (0.0, 0.0)
    rows, cols = (_span(-round(start), length) for start, length in ((y, grid.height), (x, grid.width)))
    return grid.crop(Window(round(x) + cols.start, round(y) + rows.start, len(cols), len(rows)))


def _span(start: int, length: int) -> range:
    """Whole multiples of `_REACH` that hold a span and one more to each side."""
    return range((start // _REACH - 1) * _REACH, (-(-(start + length) // _REACH) + 1) * _REACH)
