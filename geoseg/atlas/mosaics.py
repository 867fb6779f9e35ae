"""All maps as one raster that opens in QGIS: a VRT where they share a CRS, else an index of tiles (GTI)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import geopandas as gpd
import shapely
from affine import Affine

from geoseg.grid import METRES_PER_DEGREE
from geoseg.legend import Legend
from geoseg.output import new_output
from geoseg.writers.geotiff import write_style

VRT, GTI = "maps.vrt", "maps.gti.gpkg"
_TYPES = {"uint8": "Byte", "uint16": "UInt16"}


def write_mosaic(folder: Path, maps: list[str], items: list[dict[str, Any]], legend: Legend) -> None:
    """Write `maps.vrt`, or `maps.gti.gpkg`, and a style for QGIS of the same name.

    Args:
        folder: of the atlas.
        maps: paths of the maps from there.
        items: of the maps, with their projection.
        legend: of all maps.
    """
    shared = len({(item["properties"]["proj:code"], item["properties"].get("proj:wkt2")) for item in items}) == 1
    made, other = (VRT, GTI) if shared else (GTI, VRT)
    with new_output(folder / made, overwrite=True, beside=(_style(made),)) as workspace:
        write_style(workspace.beside(_style(made)), legend)
        if shared:
            workspace.main.write_text(_vrt(maps, items, legend), encoding="utf-8")
        else:
            _write_index(workspace.main, maps, items, legend)
    for name in (other, _style(other)):
        (folder / name).unlink(missing_ok=True)


def _style(name: str) -> str:
    return f"{Path(name).stem}.qml"


def _write_index(path: Path, maps: list[str], items: list[dict[str, Any]], legend: Legend) -> None:
    """An index of tiles in longitude and latitude; GDAL warps them as it reads, from 3.9 on."""
    finest = min(item["assets"]["map"]["raster:spatial_resolution"] for item in items) / METRES_PER_DEGREE
    frame = gpd.GeoDataFrame(
        {"location": maps, "region": [item["properties"]["title"] for item in items]},
        geometry=[shapely.geometry.shape(item["geometry"]) for item in items],
        crs="EPSG:4326",
    )
    looks = {
        "RESX": repr(finest),
        "RESY": repr(finest),
        "BAND_COUNT": "1",
        "DATA_TYPE": _TYPES[legend.dtype],
        "NODATA": str(legend.nodata),
    }
    # By way of memory: pyogrio takes a path with a "!" in it for another.
    content = BytesIO()
    frame.to_file(content, layer="maps", driver="GPKG", engine="pyogrio", layer_metadata=looks)
    path.write_bytes(content.getvalue())


def _vrt(maps: list[str], items: list[dict[str, Any]], legend: Legend) -> str:
    """The maps side by side on their common pixels; what one has no data for is left to the others."""
    properties = [item["properties"] for item in items]
    first = Affine(*properties[0]["proj:transform"])
    places = []
    for each in properties:
        col, row = ~first @ (each["proj:transform"][2], each["proj:transform"][5])
        places.append((round(col), round(row), each["proj:shape"][1], each["proj:shape"][0]))
    left, top = min(place[0] for place in places), min(place[1] for place in places)
    width = max(place[0] + place[2] for place in places) - left
    height = max(place[1] + place[3] for place in places) - top
    corner = first @ Affine.translation(left, top)
    srs = properties[0]["proj:code"] or properties[0]["proj:wkt2"]
    lines = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">',
        f"  <SRS>{escape(srs)}</SRS>",
        f"  <GeoTransform>{', '.join(map(repr, corner.to_gdal()))}</GeoTransform>",
        f'  <VRTRasterBand dataType="{_TYPES[legend.dtype]}" band="1">',
        *_looks(legend),
    ]
    for name, (col, row, cols, rows) in zip(maps, places, strict=True):
        lines += [
            "    <ComplexSource>",
            f'      <SourceFilename relativeToVRT="1">{escape(name)}</SourceFilename>',
            "      <SourceBand>1</SourceBand>",
            f'      <SourceProperties RasterXSize="{cols}" RasterYSize="{rows}" DataType="{_TYPES[legend.dtype]}" '
            'BlockXSize="512" BlockYSize="512"/>',
            f'      <SrcRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/>',
            f'      <DstRect xOff="{col - left}" yOff="{row - top}" xSize="{cols}" ySize="{rows}"/>',
            f"      <NODATA>{legend.nodata}</NODATA>",
            "    </ComplexSource>",
        ]
    return "\n".join([*lines, "  </VRTRasterBand>", "</VRTDataset>", ""])


def _looks(legend: Legend) -> list[str]:
    """Nodata, colours and names of classes."""
    table = legend.colormap()
    # A colour table goes by position; ids beyond a byte have none in GDAL either.
    colors = [table.get(value, (0, 0, 0, 0)) for value in range(256)] if legend.dtype == "uint8" else []
    names = {item.id: item.name for item in legend}
    lines = [f"    <NoDataValue>{legend.nodata}</NoDataValue>"]
    if colors:
        lines += ["    <ColorInterp>Palette</ColorInterp>", "    <ColorTable>"]
        lines += [f'      <Entry c1="{r}" c2="{g}" c3="{b}" c4="{a}"/>' for r, g, b, a in colors]
        lines += ["    </ColorTable>", "    <CategoryNames>"]
        lines += [f"      <Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names) + 1)]
        lines.append("    </CategoryNames>")
    return lines
