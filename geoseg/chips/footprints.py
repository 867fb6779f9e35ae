"""Chips as geodata: a row for each window, with its footprint on the ground."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from rasterio.crs import CRS

from geoseg.errors import ChipError
from geoseg.grid import Grid
from geoseg.placing import moved


def chip_frame(
    rows: npt.NDArray[np.int64], grids: list[Grid], splits: tuple[str, ...], names: list[str]
) -> gpd.GeoDataFrame:
    """Chips in the scenes' CRS when they share one, else in longitude and latitude.

    Args:
        rows: (chips, 6 or more): scene, split, row, col, height, width.
        grids: of the scenes.
        splits: names of the splits.
        names: of the scenes, for messages.

    Returns:
        Columns split, scene, row, col, height, width and geometry.

    Raises:
        ChipError: some scenes have a CRS and others have none, or one that has no way to longitude and latitude.
    """
    columns = {"split": np.array(splits, object)[rows[:, 1]], "scene": rows[:, 0]}
    columns |= {name: rows[:, place] for place, name in enumerate(("row", "col", "height", "width"), start=2)}
    crss = {grid.crs for grid in grids}
    if None in crss and len(crss) > 1:
        raise ChipError("some scenes have a CRS and others have none; assign the missing ones first")
    crs = crss.pop() if len(crss) == 1 else CRS.from_epsg(4326)
    footprints = np.full(len(rows), None, object)
    for number, grid in enumerate(grids):
        own = rows[:, 0] == number
        shapes = gpd.GeoSeries(_footprints(rows[own, 2:6], grid), crs=grid.crs and grid.crs.to_wkt())
        if crs is not None and crs != grid.crs:
            shapes = moved(shapes, crs, names[number], ChipError)
        footprints[own] = shapes.to_numpy()
    return gpd.GeoDataFrame(pd.DataFrame(columns), geometry=gpd.GeoSeries(footprints, crs=crs and crs.to_wkt()))


def _footprints(windows: npt.NDArray[np.int64], grid: Grid) -> npt.NDArray[np.object_]:
    """Polygons of windows (n, 4: row, col, height, width)."""
    row, col, height, width = windows.T
    cols = np.stack([col, col, col + width, col + width, col], axis=1)
    rows = np.stack([row, row + height, row + height, row, row], axis=1)
    t = grid.transform
    corners = np.stack([t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f], axis=-1)
    return np.asarray(shapely.polygons(corners))
