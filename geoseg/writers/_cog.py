"""Cloud-optimised GeoTIFFs of any size, written row by row and read back."""

from __future__ import annotations

import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.shutil
from rasterio.windows import Window

from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.output import Workspace
from geoseg.raster import GDAL_ERRORS, create_raster, first_line, gdal_settings, open_raster

BLOCK = 512


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
    """

    names: tuple[str, ...]
    dtype: str
    nodata: int
    overviews: str
    scale: float = 1.0
    colormap: dict[int, Any] | None = None


class CogWriter:
    """Writes a raster row by row from the top, in memory that does not grow with it.

    The rows go into a tiled GeoTIFF on disk, which is then copied to a cloud-optimised one (GDAL's own driver would
    hold all of it in memory). The checksum of every strip of rows is compared with what is read back: GDAL does not
    always tell of a full disk.

    Use as a context manager inside `geoseg.output.new_output`; on leaving without an error `workspace.main` is
    complete.
    """

    def __init__(self, workspace: Workspace, grid: Grid, layout: Layout, tags: dict[str, str]) -> None:
        self._workspace, self._grid, self._layout, self._tags = workspace, grid, layout, tags
        self._plain = workspace.scratch("rows.tif")
        self._pending: npt.NDArray[Any] = np.empty((len(layout.names), 0, grid.width), layout.dtype)
        self._row = 0
        self._checksums: list[int] = []
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

    def write_rows(self, values: npt.NDArray[Any]) -> None:
        """Append rows (bands, rows, width)."""
        self._pending = np.concatenate([self._pending, values], axis=1)
        while self._pending.shape[1] >= BLOCK:
            self._write(self._pending[:, :BLOCK])
            self._pending = self._pending[:, BLOCK:]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None and self._pending.shape[1]:
                self._write(self._pending)
        if kind is not None:
            return
        if self._row != self._grid.height:
            raise OutputError(f"{self._workspace.target}: {self._row} of {self._grid.height} rows were written")
        self._optimise()
        self._verify()
        self._plain.unlink()

    def _write(self, rows: npt.NDArray[Any]) -> None:
        window = Window(0, self._row, self._grid.width, rows.shape[1])
        try:
            with gdal_settings():
                self._dataset.write(rows, window=window)
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error
        self._checksums.append(zlib.crc32(np.ascontiguousarray(rows).tobytes()))
        self._row += rows.shape[1]

    def _optimise(self) -> None:
        try:
            with gdal_settings():
                rasterio.shutil.copy(
                    self._plain,
                    self._workspace.main,
                    driver="COG",
                    blocksize=BLOCK,
                    compress="DEFLATE",
                    overview_resampling=self._layout.overviews,
                    bigtiff="IF_SAFER",
                    num_threads="ALL_CPUS",
                )
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> OutputError:
        return OutputError(f"{self._workspace.target}: cannot be written: {first_line(error)}; is the disk full?")

    def _verify(self) -> None:
        with open_raster(self._workspace.main, error=OutputError) as dataset:
            if (dataset.height, dataset.width) != self._grid.shape or dataset.nodata != self._layout.nodata:
                raise OutputError(f"{self._workspace.target}: what was read back differs from what was written")
            for number, checksum in enumerate(self._checksums):
                row = number * BLOCK
                window = Window(0, row, self._grid.width, min(BLOCK, self._grid.height - row))
                try:
                    with gdal_settings():
                        rows = dataset.read(window=window)
                except GDAL_ERRORS as error:
                    raise OutputError(f"{self._workspace.target}: cannot be read back: {first_line(error)}") from error
                if zlib.crc32(rows.tobytes()) != checksum:
                    raise OutputError(
                        f"{self._workspace.target}: rows from {row} on were not written whole; is the disk full?"
                    )
