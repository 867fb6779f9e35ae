"""Chips as bytes of a GeoTIFF."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.raster import GDAL_ERRORS, first_line

COMPRESSIONS = ("deflate", "zstd", "lzw", "none")


def encode_image(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], grid: Grid, bands: tuple[str, ...], compress: str
) -> bytes:
    """A GeoTIFF of bands (bands, rows, cols), with a mask where some pixels are invalid."""
    profile = {"count": len(values), "dtype": values.dtype, "photometric": "MINISBLACK"}

    def fill(dataset: Any) -> None:
        # Without this GDAL takes the fourth of four bytes for alpha.
        dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (len(values) - 1)
        dataset.descriptions = bands
        dataset.write(values)
        if not valid.all():
            dataset.write_mask(valid)

    return _encode(grid, profile, compress, fill)


def encode_label(indices: npt.NDArray[np.uint8], grid: Grid, legend: Legend, compress: str) -> bytes:
    """A GeoTIFF of class ids, with their colours; indices (rows, cols) of no class become the legend's nodata."""
    profile = {"count": 1, "dtype": legend.dtype, "nodata": legend.nodata}

    def fill(dataset: Any) -> None:
        dataset.write_colormap(1, legend.colormap())
        dataset.write(legend.decode(indices), 1)

    return _encode(grid, profile, compress, fill)


def _encode(grid: Grid, profile: dict[str, Any], compress: str, fill: Any) -> bytes:
    """GDAL in memory; the caller has the settings of `gdal_settings` in force."""
    place = {"height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform}
    try:
        with warnings.catch_warnings(), MemoryFile() as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(driver="GTiff", interleave="band", compress=compress, **place, **profile) as dataset:
                fill(dataset)
            return bytes(memory.getbuffer())
    except GDAL_ERRORS as error:
        raise OutputError(f"a chip cannot be encoded with compression '{compress}': {first_line(error)}") from error
