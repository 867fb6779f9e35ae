"""Chips as bytes of a GeoTIFF."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.raster import GDAL_ERRORS, first_line

COMPRESSIONS = ("deflate", "zstd", "lzw", "none")

Fill = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes the chips of one task; the caller has the settings of `gdal_settings` in force.

    Attributes:
        bands: names of the image's bands.
        legend: of the labels.
        compress: one of `COMPRESSIONS`.
    """

    bands: tuple[str, ...]
    legend: Legend
    compress: str
    _templates: dict[tuple[Any, ...], Template | None] = field(default_factory=dict)

    def image(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], grid: Grid) -> bytes:
        """A GeoTIFF of bands (bands, rows, cols), with a mask where some pixels are invalid."""
        profile = {"count": len(values), "dtype": values.dtype, "photometric": "MINISBLACK"}

        def describe(dataset: Any) -> None:
            # Without this GDAL takes the fourth of four bytes for alpha.
            dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (len(values) - 1)
            dataset.descriptions = self.bands

        if not valid.all():
            return _encode(values, grid, profile | {"compress": self.compress}, describe, valid)
        return self._encoded(values, grid, profile, describe)

    def label(self, indices: npt.NDArray[np.uint8], grid: Grid) -> bytes:
        """A GeoTIFF of class ids, with their colours; indices (rows, cols) of no class become the legend's nodata."""
        legend = self.legend
        profile = {"count": 1, "dtype": legend.dtype, "nodata": legend.nodata}

        def describe(dataset: Any) -> None:
            dataset.write_colormap(1, legend.colormap())

        return self._encoded(legend.decode(indices)[None], grid, profile, describe)

    def _encoded(self, values: npt.NDArray[Any], grid: Grid, profile: dict[str, Any], describe: Fill) -> bytes:
        profile = profile | {"compress": self.compress}
        if self.compress != "none":
            return _encode(values, grid, profile, describe)
        t = grid.transform
        key = (values.shape, values.dtype.str, grid.crs, t.a, t.b, t.d, t.e)
        if key not in self._templates:
            self._templates[key] = Template.of(values, grid, profile, describe)
        template = self._templates[key]
        return _encode(values, grid, profile, describe) if template is None else template.filled(values, grid)


@dataclass(frozen=True, slots=True)
class Template:
    """An uncompressed GeoTIFF as GDAL made it, of which all others of its kind differ in place and pixels only.

    Making each anew takes GDAL longer than writing it to the disk.

    Attributes:
        head: all bytes before the pixels.
        place: where in it the map coordinates of the upper left corner are.
    """

    head: bytes
    place: int

    @classmethod
    def of(cls, values: npt.NDArray[Any], grid: Grid, profile: dict[str, Any], describe: Fill) -> Template | None:
        """A template for chips like this one; None where files are not laid out as expected."""
        content, pixels, corner = _encode(values, grid, profile, describe), values.tobytes(), _corner(grid.transform)
        head = content[: -len(pixels)]
        if not content.endswith(pixels) or head.count(corner) != 1:
            return None
        template = cls(head, head.index(corner))
        # What it gives elsewhere is held against what GDAL makes there.
        elsewhere, others = grid.crop(Window(3, 5, grid.width, grid.height)), np.roll(values, 1)
        is_right = template.filled(others, elsewhere) == _encode(others, elsewhere, profile, describe)
        return template if is_right else None

    def filled(self, values: npt.NDArray[Any], grid: Grid) -> bytes:
        """The GeoTIFF with other pixels, at another place."""
        corner = _corner(grid.transform)
        return b"".join([self.head[: self.place], corner, self.head[self.place + len(corner) :], values.tobytes()])


def _corner(transform: Affine) -> bytes:
    """ModelTiepointTag of a grid that is not rotated (GeoTIFF 1.1, section 7.1.2): pixel (0, 0, 0) to (x, y, 0)."""
    return struct.pack("<6d", 0, 0, 0, transform.c, transform.f, 0)


def _encode(
    values: npt.NDArray[Any],
    grid: Grid,
    profile: dict[str, Any],
    describe: Fill,
    valid: npt.NDArray[np.bool_] | None = None,
) -> bytes:
    place = {"height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform}
    try:
        with warnings.catch_warnings(), MemoryFile() as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(driver="GTiff", interleave="band", **place, **profile) as dataset:
                describe(dataset)
                dataset.write(values)
                if valid is not None:
                    dataset.write_mask(valid)
            return bytes(memory.getbuffer())
    except GDAL_ERRORS as error:
        raise OutputError(f"a chip cannot be encoded with '{profile['compress']}': {first_line(error)}") from error
