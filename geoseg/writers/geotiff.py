"""Class maps, and maps of shares, as cloud-optimised GeoTIFFs that open named and coloured in QGIS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.class_raster import LEGEND_TAG
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.output import Workspace
from geoseg.writers._cog import CogWriter, Layout
from geoseg.writers.creation import USUAL

EXTENSIONS = (".tif", ".tiff")
SHARE_STEPS, SHARE_NODATA = 250, 255


def beside(target: Path) -> tuple[str, str]:
    """Names of the files beside a map: GDAL's side file with the class names, and the style for QGIS."""
    return target.name + ".aux.xml", target.stem + ".qml"


class MapWriter:
    """Writes a map window by window, see `CogWriter`, with names, colours and a style beside it.

    Use as a context manager inside `geoseg.output.new_output`; on leaving without an error `workspace.main` and its
    sidecars are complete.
    """

    def __init__(
        self,
        workspace: Workspace,
        grid: Grid,
        legend: Legend,
        tags: dict[str, Any],
        creation: Mapping[str, str] = USUAL,
    ) -> None:
        self._workspace, self._legend = workspace, legend
        layout = Layout(
            ("land cover",),
            legend.dtype,
            legend.nodata,
            colormap=legend.colormap(),
            overviews="MODE",
            creation=creation,
        )
        legend_tag = {LEGEND_TAG: json.dumps(legend.to_dict())}
        self._cog = CogWriter(workspace, grid, layout, legend_tag | geoseg_tags(tags))

    def __enter__(self) -> MapWriter:
        self._cog.__enter__()
        return self

    def windows(self) -> Iterator[Window]:
        """Windows that cover the map and may be written one by one."""
        return self._cog.windows()

    def write(self, window: Window, indices: npt.NDArray[np.uint8]) -> None:
        """Write class indices (rows, cols) into one of the windows, `IGNORE` where there is no class."""
        self._cog.write(window, self._legend.decode(indices)[None])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cog.__exit__(kind, error, trace)
        if kind is None:
            names, style = beside(self._workspace.target)
            _write_names(self._workspace.beside(names), self._legend)
            write_style(self._workspace.beside(style), self._legend)


class ShareWriter:
    """Writes bands of values from 0 to 1, such as probabilities, window by window, see `CogWriter`.

    They are kept as bytes from 0 to 250 with the scale that turns them back, 255 where there is no data.
    """

    def __init__(
        self,
        workspace: Workspace,
        grid: Grid,
        names: tuple[str, ...],
        tags: dict[str, Any],
        creation: Mapping[str, str] = USUAL,
    ) -> None:
        scale = 1 / SHARE_STEPS
        layout = Layout(names, "uint8", SHARE_NODATA, scale=scale, overviews="AVERAGE", creation=creation)
        self._cog = CogWriter(workspace, grid, layout, geoseg_tags(tags))

    def __enter__(self) -> ShareWriter:
        self._cog.__enter__()
        return self

    def write(self, window: Window, shares: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
        """Write shares (bands, rows, cols) from 0 to 1, of which only those at `valid` (rows, cols) count."""
        steps = np.rint(np.clip(shares, 0, 1) * SHARE_STEPS).astype(np.uint8)
        steps[:, ~valid] = SHARE_NODATA
        self._cog.write(window, steps)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cog.__exit__(kind, error, trace)


def geoseg_tags(tags: dict[str, Any]) -> dict[str, str]:
    """Tags that say how a raster was made, under names that are ours; what is not text becomes JSON."""
    return {
        f"GEOSEG_{key.upper()}": value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()
    }


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


def write_style(path: Path, legend: Legend) -> None:
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
