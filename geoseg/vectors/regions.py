"""Cut a map by regions: each pixel belongs to the region that holds its centre."""

from __future__ import annotations

import logging
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.windows import Window

from geoseg.connected import NONE, Int32s
from geoseg.errors import LabelError, MapError, OptionError
from geoseg.grid import Grid
from geoseg.registry import suggestion
from geoseg.vector import read_vector

logger = logging.getLogger(__name__)

SHIFT = 14
MOST = (1 << SHIFT) - 2
"""Regions, and classes beside regions, that a code has room for."""

_NAMES = ("name", "region", "admin", "title", "label", "id", "code")


class Regions:
    """Polygons that cut a map, and their names.

    Raises:
        LabelError: the file is missing, broken, or holds no polygon.
        MapError: one of map and regions has a CRS and the other none.
        OptionError: no such column.
    """

    def __init__(self, path: Path, field: str | None, grid: Grid) -> None:
        frame = read_vector(path, error=LabelError)
        frame = frame[frame.geom_type.isin(("Polygon", "MultiPolygon"))].reset_index(drop=True)
        if frame.empty:
            raise LabelError(f"{path}: holds no polygon; --by cuts the map by polygons")
        if len(frame) > MOST:
            raise LabelError(f"{path}: holds {len(frame)} polygons, and --by takes up to {MOST}; dissolve them first")
        if (frame.crs is None) != (grid.crs is None):
            raise MapError(f"{path}: one of the map and the regions has a CRS and the other has none; give both one")
        if grid.crs is not None:
            frame = frame.to_crs(grid.crs.to_wkt())
        self.names = _names(path, frame, field)
        self.left_out = 0
        self._grid = grid
        self._shapes = frame.geometry.to_numpy()
        self._tree = shapely.STRtree(self._shapes)

    def cut(self, codes: Int32s, top: int) -> Int32s:
        """Codes (rows, cols) of class and region; pixels of no region have none."""
        if codes.max(initial=0) > MOST:
            raise MapError(f"the map holds more than {MOST} classes, too many to be cut by regions")
        rows, cols = codes.shape
        part = self._grid.crop(Window(0, top, cols, rows))
        found = np.sort(self._tree.query(shapely.box(*part.bounds)))
        number = np.zeros(codes.shape, np.int32)
        if len(found):
            shapes = [(self._shapes[index], int(index) + 1) for index in found]
            rasterize(shapes, out=number, transform=part.transform)
        valid, inside = codes != NONE, number > 0
        self.left_out += int((valid & ~inside).sum())
        return np.where(valid & inside, codes | (number - 1) << SHIFT, NONE)


def class_of(codes: Int32s) -> Int32s:
    """The class of codes that `Regions.cut` made."""
    return codes & ((1 << SHIFT) - 1)


def region_of(codes: Int32s) -> Int32s:
    """The place of the region in `Regions.names`."""
    return codes >> SHIFT


def _names(path: Path, frame: gpd.GeoDataFrame, field: str | None) -> list[str]:
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field is not None and field not in columns:
        raise OptionError(f"{path}: has no column '{field}'; {suggestion(field, columns)}")
    by_name = {name.lower(): name for name in columns}
    field = field or next((by_name[name] for name in _NAMES if name in by_name), None)
    if field is None:
        return [str(number) for number in range(1, len(frame) + 1)]
    return ["" if value is None else str(value) for value in frame[field]]
