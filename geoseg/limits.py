"""What a raster may declare of itself before any of it is read: a file of some bytes can ask for more than memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geoseg.errors import GeosegError, OptionError
from geoseg.registry import suggestion

MAX_PIXELS = 100_000_000_000
"""Pixels of a raster: a square of 316,000 a side, or a country in pixels of 1 m."""

MAX_BLOCK = 256 * 2**20
"""Bytes of a decoded block: the least that is read, whatever window is asked for."""

# Such a driver opens what its description names, and a description can have any file name.
_NEVER = ("VRT", "GTI", "WMS", "WMTS", "WCS", "HTTP", "STACTA", "STACIT", "DERIVED", "MEM")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a raster may declare, and which drivers of GDAL may look at files that geoseg does not know.

    Attributes:
        max_pixels: rows times columns.
        max_block: bytes of a block (a tile, or a strip of rows) once it is decoded.
        drivers: GDAL's short names, beside those that a file's first bytes ask for.

    Raises:
        OptionError: a limit below 1, or a driver that is not there or leads to other files.
    """

    max_pixels: int = MAX_PIXELS
    max_block: int = MAX_BLOCK
    drivers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("max_pixels", self.max_pixels), ("max_block", self.max_block)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is {value}; it must be a whole number, 1 or more")
        if self.drivers:
            self._require_drivers()

    def _require_drivers(self) -> None:
        with rasterio.Env() as gdal:
            known = sorted(gdal.drivers())
        for driver in self.drivers:
            if driver in _NEVER:
                raise OptionError(f"the driver {driver} opens what a file names, not the file; it cannot be allowed")
            if driver not in known:
                raise OptionError(f"GDAL has no driver '{driver}' here; {suggestion(driver, known)}")

    def require(self, dataset: rasterio.DatasetReader, path: str | Path, error: type[GeosegError]) -> None:
        """Refuse an open raster, of which nothing was read, for what it declares.

        Raises:
            GeosegError: of the given type.
        """
        pixels = dataset.height * dataset.width
        if pixels > self.max_pixels:
            raise error(
                f"{path}: declares {dataset.height:,} x {dataset.width:,} pixels, more than {self.max_pixels:,}; if it "
                f"is sound give --max-pixels {pixels}, or cut it with 'gdal_translate -srcwin'"
            )
        size = block_bytes(dataset)
        if size > self.max_block:
            rows, cols = dataset.block_shapes[0]
            raise error(
                f"{path}: declares blocks of {rows:,} x {cols:,} pixels, {size:,} bytes each, more than "
                f"{self.max_block:,}; rewrite it with 'gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT', or "
                f"if it is sound give --max-block {size}"
            )


def block_bytes(dataset: Any) -> int:
    """Bytes of the largest decoded block of an open raster."""
    if not dataset.count:
        return 0
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    widest = max(_itemsize(name) for name in set(dataset.dtypes))
    return int(max(rows * cols for rows, cols in set(dataset.block_shapes)) * widest * together)


def _itemsize(dtype: str) -> int:
    # GDAL's complex integers have no type of numpy.
    return 8 if dtype == "complex_int16" else np.dtype(dtype).itemsize
