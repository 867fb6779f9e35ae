"""Polygons with names that divide a raster: each pixel belongs to the region that holds its centre."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from affine import Affine
from rasterio.features import rasterize

from geoseg.antimeridian import turned_onto
from geoseg.errors import LabelError, MapError, OptionError
from geoseg.grid import Grid
from geoseg.placing import moved
from geoseg.registry import suggestion
from geoseg.vector import read_vector, within_reach

logger = logging.getLogger(__name__)

_NAMES = ("name", "region", "admin", "title", "label", "id", "code")
_MOST_CELLS = 4_000_000


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
        self._shapes, of = turned_onto(frame.geometry.to_numpy(), grid)
        self._numbers = of + 1
        self._tree = shapely.STRtree(self._shapes)
        self._warn_of_overlaps(path, grid)

    def numbers(self, grid: Grid) -> npt.NDArray[np.int32]:
        """(rows, cols) place of each pixel's region in `names`, from 1; 0 in none. Of two regions the later counts."""
        return self._drawn(np.sort(self._tree.query(shapely.box(*grid.bounds))), grid)

    def _drawn(self, places: npt.NDArray[np.int64], grid: Grid) -> npt.NDArray[np.int32]:
        """(rows, cols) place in `names` of the last of some shapes over each pixel, from 1."""
        number = np.zeros(grid.shape, np.int32)
        if len(places):
            shapes = within_reach(self._shapes[places], grid)
            rasterize(zip(shapes, self._numbers[places].tolist(), strict=True), out=number, transform=grid.transform)
        return number

    def _warn_of_overlaps(self, path: Path, grid: Grid) -> None:
        """Say which two regions of different names share the most pixels, where any do.

        They differ where the last that is drawn is not the first. Cutting each with each would take many seconds.
        """
        coarse = _coarse(grid)
        places = np.arange(len(self._shapes))
        first, last = self._drawn(places[::-1], coarse), self._drawn(places, coarse)
        shared = first != last
        pairs, cells = np.unique(np.stack([first[shared], last[shared]]), axis=1, return_counts=True)
        named = [
            (int(count), self.names[one - 1], self.names[other - 1])
            for (one, other), count in zip(pairs.T.tolist(), cells, strict=True)
            if count > 1 and self.names[one - 1] != self.names[other - 1]  # one alone is a border that was drawn twice
        ]
        if named:
            _, one, other = max(named)
            logger.warning(
                "%s: the regions '%s' and '%s' overlap%s; a pixel in several counts for the one that is later in the "
                "file, here '%s'",
                path, one, other, f", as do {len(named) - 1} other pairs" if len(named) > 1 else "", other,
            )  # fmt: skip


def name_of(value: Any) -> str:
    """The name in a cell of a table: "" where there is none, and whole numbers that are kept as floats as they are.

    >>> name_of(7.0), name_of("Nord"), name_of(float("nan")), name_of(None)
    ('7', 'Nord', '', '')
    """
    if pd.isna(value) or not str(value).strip():
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _coarse(grid: Grid) -> Grid:
    """The same ground in few enough pixels to be drawn at once."""
    step = max(1, math.ceil(math.sqrt(grid.height * grid.width / _MOST_CELLS)))
    rows, cols = math.ceil(grid.height / step), math.ceil(grid.width / step)
    return Grid(grid.crs, grid.transform @ Affine.scale(grid.width / cols, grid.height / rows), rows, cols)


def _names(path: Path, frame: gpd.GeoDataFrame, field: str | None) -> list[str]:
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field is not None and field not in columns:
        raise OptionError(f"{path}: has no column '{field}'; {suggestion(field, columns)}")
    by_name = {name.lower(): name for name in columns}
    field = field or next((by_name[name] for name in _NAMES if name in by_name), None)
    if field is None:
        return [str(number) for number in range(1, len(frame) + 1)]
    names = [name_of(value) for value in frame[field]]
    if "" in names:
        logger.warning(
            "%s: %d of %d regions have no name in the column '%s', and are called 'unnamed' with their number in the "
            "file",
            path, names.count(""), len(names), field,
        )  # fmt: skip
    return [name or f"unnamed {number}" for number, name in enumerate(names, 1)]
