"""Polygons with names that divide a raster: each pixel belongs to the region that holds its centre."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize

from geoseg.errors import LabelError, MapError, OptionError
from geoseg.grid import Grid
from geoseg.placing import moved
from geoseg.registry import suggestion
from geoseg.vector import read_vector, within_reach

_NAMES = ("name", "region", "admin", "title", "label", "id", "code")


class NamedRegions:
    """Polygons of a file in the CRS of a raster.

    Attributes:
        names: one for each polygon; found in a column called name, region or the like, else numbers from 1.
    """

    def __init__(self, path: Path, field: str | None, grid: Grid) -> None:
        """Read the polygons of `path`, named by the column `field`.

        Raises:
            LabelError: the file is missing, broken, holds no polygon, or has no way to the CRS of the raster.
            MapError: one of raster and regions has a CRS and the other none.
            OptionError: no such column.
        """
        frame = read_vector(path, error=LabelError)
        frame = frame[frame.geom_type.isin(("Polygon", "MultiPolygon"))].reset_index(drop=True)
        if frame.empty:
            raise LabelError(f"{path}: holds no polygon; --by cuts the map by polygons")
        if (frame.crs is None) != (grid.crs is None):
            raise MapError(f"{path}: one of the map and the regions has a CRS and the other has none; give both one")
        if grid.crs is not None:
            frame = moved(frame, grid.crs, path, LabelError)
        self.names = _names(path, frame, field)
        self._shapes = frame.geometry.to_numpy()
        self._tree = shapely.STRtree(self._shapes)

    def numbers(self, grid: Grid) -> npt.NDArray[np.int32]:
        """(rows, cols) place of each pixel's region in `names`, from 1; 0 in none. Of two regions the later counts."""
        found = np.sort(self._tree.query(shapely.box(*grid.bounds)))
        number = np.zeros(grid.shape, np.int32)
        if len(found):
            shapes = within_reach(self._shapes[found], grid)
            rasterize(zip(shapes, (found + 1).tolist(), strict=True), out=number, transform=grid.transform)
        return number


def _names(path: Path, frame: gpd.GeoDataFrame, field: str | None) -> list[str]:
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field is not None and field not in columns:
        raise OptionError(f"{path}: has no column '{field}'; {suggestion(field, columns)}")
    by_name = {name.lower(): name for name in columns}
    field = field or next((by_name[name] for name in _NAMES if name in by_name), None)
    if field is None:
        return [str(number) for number in range(1, len(frame) + 1)]
    return ["" if value is None else str(value) for value in frame[field]]
