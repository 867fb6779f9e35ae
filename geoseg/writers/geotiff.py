"""Class maps as cloud-optimised GeoTIFFs that open named and coloured in QGIS."""

from __future__ import annotations

import json
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt
import rasterio.shutil
from rasterio.windows import Window

from geoseg.class_raster import LEGEND_TAG
from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.output import Workspace
from geoseg.raster import GDAL_ERRORS, create_raster, first_line, gdal_settings, open_raster

EXTENSIONS = (".tif", ".tiff")
BLOCK = 512


def beside(target: Path) -> tuple[str, str]:
    """Names of the files beside a map: GDAL's side file with the class names, and the style for QGIS."""
    return target.name + ".aux.xml", target.stem + ".qml"


class MapWriter:
    """Writes a map row by row from the top, in memory that does not grow with it.

    The rows go into a tiled GeoTIFF on disk, which is then copied to a cloud-optimised one (GDAL's own driver would
    hold all of it in memory). The checksum of every strip of rows is compared with what is read back: GDAL does not
    always tell of a full disk.

    Use as a context manager inside `geoseg.output.new_output`; on leaving without an error `workspace.main` and its
    sidecars are complete.
    """

    def __init__(self, workspace: Workspace, grid: Grid, legend: Legend, tags: dict[str, Any]) -> None:
        self._workspace, self._grid, self._legend = workspace, grid, legend
        self._tags = {LEGEND_TAG: json.dumps(legend.to_dict())} | {
            f"GEOSEG_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
            for key, value in tags.items()
        }
        self._plain = workspace.scratch("rows.tif")
        self._pending = np.empty((0, grid.width), legend.dtype)
        self._row = 0
        self._checksums: list[int] = []
        self._stack = ExitStack()

    def __enter__(self) -> MapWriter:
        profile = {
            "height": self._grid.height,
            "width": self._grid.width,
            "count": 1,
            "dtype": self._legend.dtype,
            "crs": self._grid.crs,
            "transform": self._grid.transform,
            "nodata": self._legend.nodata,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "deflate",
            "zlevel": 1,
            "bigtiff": "if_safer",
        }
        self._dataset = self._stack.enter_context(create_raster(self._plain, **profile))
        with gdal_settings():
            self._dataset.write_colormap(1, self._legend.colormap())
            self._dataset.update_tags(**self._tags)
            self._dataset.set_band_description(1, "land cover")
        return self

    def write_rows(self, indices: npt.NDArray[np.uint8]) -> None:
        """Append class indices (rows, width), `IGNORE` where there is no class."""
        self._pending = np.concatenate([self._pending, self._legend.decode(indices)])
        while len(self._pending) >= BLOCK:
            self._write(self._pending[:BLOCK])
            self._pending = self._pending[BLOCK:]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None and len(self._pending):
                self._write(self._pending)
        if kind is not None:
            return
        if self._row != self._grid.height:
            raise OutputError(f"{self._workspace.target}: {self._row} of {self._grid.height} rows were written")
        self._optimise()
        self._verify()
        names, style = beside(self._workspace.target)
        _write_names(self._workspace.beside(names), self._legend)
        _write_style(self._workspace.beside(style), self._legend)

    def _write(self, rows: npt.NDArray[Any]) -> None:
        window = Window(0, self._row, self._grid.width, len(rows))
        try:
            with gdal_settings():
                self._dataset.write(rows, 1, window=window)
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error
        self._checksums.append(zlib.crc32(np.ascontiguousarray(rows).tobytes()))
        self._row += len(rows)

    def _optimise(self) -> None:
        try:
            with gdal_settings():
                rasterio.shutil.copy(
                    self._plain,
                    self._workspace.main,
                    driver="COG",
                    blocksize=BLOCK,
                    compress="DEFLATE",
                    overview_resampling="MODE",
                    bigtiff="IF_SAFER",
                )
        except GDAL_ERRORS as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> OutputError:
        return OutputError(f"{self._workspace.target}: cannot be written: {first_line(error)}; is the disk full?")

    def _verify(self) -> None:
        with open_raster(self._workspace.main, error=OutputError) as dataset:
            if (dataset.height, dataset.width) != self._grid.shape or dataset.nodata != self._legend.nodata:
                raise OutputError(f"{self._workspace.target}: what was read back differs from what was written")
            for number, checksum in enumerate(self._checksums):
                row = number * BLOCK
                window = Window(0, row, self._grid.width, min(BLOCK, self._grid.height - row))
                try:
                    with gdal_settings():
                        rows = dataset.read(1, window=window)
                except GDAL_ERRORS as error:
                    raise OutputError(f"{self._workspace.target}: cannot be read back: {first_line(error)}") from error
                if zlib.crc32(rows.tobytes()) != checksum:
                    raise OutputError(
                        f"{self._workspace.target}: rows from {row} on were not written whole; is the disk full?"
                    )


def _write_names(path: Path, legend: Legend) -> None:
    """GDAL's side file: names by value and a raster attribute table, which rasterio cannot write."""
    by_id = {item.id: item.name for item in legend}
    # Names go by position, so a long gap of ids would be a long list of nothing; the table has them all the same.
    names = [by_id.get(value, "") for value in range(max(by_id) + 1)] if max(by_id) <= 255 else []
    fields = (("value", 0, 5), ("class", 2, 2), ("red", 0, 6), ("green", 0, 7), ("blue", 0, 8))
    lines = ["<PAMDataset>", '  <PAMRasterBand band="1">']
    if names:
        lines += ["    <CategoryNames>", *(f"      <Category>{escape(name)}</Category>" for name in names)]
        lines += ["    </CategoryNames>"]
    lines.append('    <GDALRasterAttributeTable tableType="thematic">')
    for index, (name, kind, usage) in enumerate(fields):
        lines.append(
            f'      <FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        )
    for index, item in enumerate(legend):
        cells = "".join(f"<F>{escape(str(value))}</F>" for value in (item.id, item.name, *item.rgb))
        lines.append(f'      <Row index="{index}">{cells}</Row>')
    lines += ["    </GDALRasterAttributeTable>", "  </PAMRasterBand>", "</PAMDataset>", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _write_style(path: Path, legend: Legend) -> None:
    """A QGIS style of the same name as the map: QGIS opens it with names and colours."""
    entries = [
        f'        <paletteEntry value="{item.id}" color="{item.color}" alpha="255" label={quoteattr(item.name)}/>'
        for item in legend
    ]
    lines = [
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
        '<qgis styleCategories="Symbology" version="3.28">',
        "  <pipe>",
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">',
        "      <colorPalette>",
        *entries,
        "      </colorPalette>",
        "    </rasterrenderer>",
        "  </pipe>",
        "</qgis>",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
