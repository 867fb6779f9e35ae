"""Cloud-optimised GeoTIFFs of any size, written block by block and read back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.output import Workspace
from geoseg.raster import GDAL_ERRORS, create_raster, first_line, gdal_settings, open_raster, writing_threads
from geoseg.writers.creation import USUAL

BLOCK = 512
WIDE = 4 * BLOCK
"""Columns that are written at a time."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the bands of a raster are.

    Attributes:
        names: of the bands.
        dtype: of their values.
        nodata: value that means no data.
        overviews: how they are made smaller: "MODE" for classes, "AVERAGE" for quantities.
        scale: what to multiply values by.
        colormap: colours of the values of the one band.
        creation: options of the driver, see `geoseg.writers.creation`.
    """

    names: tuple[str, ...]
    dtype: str
    nodata: int
    overviews: str
    scale: float = 1.0
    colormap: dict[int, Any] | None = None
    creation: Mapping[str, str] = field(default_factory=lambda: USUAL)


class CogWriter:
    """Writes a raster in windows of whole blocks, in memory that does not grow with it.

    The windows go into a tiled GeoTIFF on disk, which is then copied to a cloud-optimised one (GDAL's own driver would
    hold all of it in memory). The checksum of every window is compared with what is read back: GDAL does not always
    tell of a full disk.

    Use as a context manager inside `geoseg.output.new_output`; on leaving without an error `workspace.main` is
    complete.
    """

    def __init__(self, workspace: Workspace, grid: Grid, layout: Layout, tags: dict[str, str]) -> None:
        self._workspace, self._grid, self._layout, self._tags = workspace, grid, layout, tags
        self._plain = workspace.scratch("rows.tif")
        self._checksums: dict[tuple[int, int, int, int], int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> CogWriter:
        profile = {
            "height": self._grid.height,
            "width": self._grid.width,
            "count": len(self._layout.names),
            "dtype": self._layout.dtype,
            "crs": self._grid.crs,
            "transform": self._grid.transform,
            "nodata": self._layout.nodata,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "deflate",
            "zlevel": 1,
            "bigtiff": "if_safer",
            "photometric": "palette" if self._layout.colormap else "minisblack",
        }
        self._dataset = self._stack.enter_context(create_raster(self._plain, **profile))
        with gdal_settings():
            self._dataset.update_tags(**self._tags)
            if self._layout.colormap:
                self._dataset.write_colormap(1, self._layout.colormap)
            if self._layout.scale != 1:
                self._dataset.scales = (self._layout.scale,) * len(self._layout.names)
            for band, name in enumerate(self._layout.names, start=1):
                self._dataset.set_band_description(band, name)
        return self

    def windows(self) -> Iterator[Window]:
        """Windows that cover the raster and may be written one by one, in any order."""
        for row in range(0, self._grid.height, BLOCK):
            for col in range(0, self._grid.width, WIDE):
                yield Window(col, row, min(WIDE, self._grid.width - col), min(BLOCK, self._grid.height - row))

    def write(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Write (bands, rows, cols) into one of the windows."""
        try:
            with gdal_settings():
                self._dataset.write(values, window=window)
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error
        self._checksums[window.flatten()] = zlib.crc32(np.ascontiguousarray(values).tobytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is not None:
            return
        if missing := {window.flatten() for window in self.windows()} - set(self._checksums):
            raise OutputError(f"{self._workspace.target}: {len(missing)} of its parts were not written")
        self._optimise()
        self._verify()
        self._plain.unlink()

    def _optimise(self) -> None:
        try:
            with gdal_settings():
                rasterio.shutil.copy(
                    self._plain,
                    self._workspace.main,
                    driver="COG",
                    overview_resampling=self._layout.overviews,
                    num_threads=writing_threads(),
                    **self._layout.creation,
                )
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> OutputError:
        return OutputError(f"{self._workspace.target}: cannot be written: {first_line(error)}; is the disk full?")

    def _verify(self) -> None:
        with (
            open_raster(self._plain, error=OutputError) as plain,
            open_raster(self._workspace.main, error=OutputError) as dataset,
        ):
            if _facts(dataset) != _facts(plain):
                raise OutputError(f"{self._workspace.target}: what was read back differs from what was written")
            for place, checksum in self._checksums.items():
                try:
                    with gdal_settings():
                        values = dataset.read(window=Window(*place))
                except GDAL_ERRORS as error:
                    raise OutputError(f"{self._workspace.target}: cannot be read back: {first_line(error)}") from error
                if zlib.crc32(values.tobytes()) != checksum:
                    raise OutputError(
                        f"{self._workspace.target}: rows from {place[1]} on were not written whole; is the disk full?"
                    )


def _facts(dataset: rasterio.DatasetReader) -> tuple[Any, ...]:
    """What a raster says of itself, apart from its pixels and how it is stored."""
    with gdal_settings():
        tags = {key: value for key, value in dataset.tags().items() if key.startswith("GEOSEG_")}
        colors = dataset.colormap(1) if ColorInterp.palette in dataset.colorinterp else None
    placed = dataset.shape, dataset.crs, dataset.transform
    return *placed, dataset.dtypes, dataset.nodata, dataset.descriptions, dataset.scales, tags, colors
