"""From the geometries of a file to shapes that cover pixels."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.exceptions import ProjError

from geoseg.errors import LabelError
from geoseg.placing import DEGREES, placing

logger = logging.getLogger(__name__)

_COLLECTION = 7
_TRUE_TO_SCALE = 0.02
_UTM = {True: 32600, False: 32700}
"""EPSG codes before the first UTM zone, north and south."""


def drawable(path: Path, geometry: gpd.GeoSeries, buffer: float | None) -> tuple[gpd.GeoSeries, npt.NDArray[np.int64]]:
    """Polygons, and points that label the one pixel they lie in; with the place of each in `geometry`.

    Args:
        path: the file, for messages.
        geometry: of any type, collections within collections too.
        buffer: metres by which points and lines are widened, None for not at all.

    Raises:
        LabelError: there are lines and no buffer, or degrees that are not those of the Earth.
    """
    parts, rows = _parts(shapely.force_2d(geometry.to_numpy()))
    dimensions = shapely.get_dimensions(parts)
    beside = (dimensions < 2) & np.isin(rows, rows[dimensions == 2])
    if beside.any():
        logger.warning("%s: %d lines and points of collections with polygons are left out", path, beside.sum())
        parts, rows, dimensions = parts[~beside], rows[~beside], dimensions[~beside]
    thin = dimensions < 2
    lines = dimensions == 1
    if buffer is None:
        if lines.any():
            raise LabelError(
                f"{path}: {lines.sum()} of {len(geometry)} labels are lines, which cover no pixels; "
                "widen them with --buffer METRES"
            )
        if thin.any():
            logger.info("%s: %d labels are points, each for the one pixel it lies in", path, thin.sum())
    elif thin.any():
        with placing(path, geometry.crs, DEGREES, LabelError):
            wide = _widened(gpd.GeoSeries(parts[thin], crs=geometry.crs), buffer).to_numpy()
        # The points themselves stay: the pixel a point lies in is labelled however small the buffer is.
        parts = np.concatenate([parts[~lines], wide])
        rows = np.concatenate([rows[~lines], rows[thin]])
        order = np.argsort(rows, kind="stable")
        parts, rows = parts[order], rows[order]
    else:
        logger.warning("%s: holds neither points nor lines, so the buffer of %g m widens nothing", path, buffer)
    return gpd.GeoSeries(parts, crs=geometry.crs), rows


def _parts(shapes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The shapes with all collections taken apart, and the place each part comes from."""
    rows = np.arange(len(shapes))
    while (shapely.get_type_id(shapes) == _COLLECTION).any():
        shapes, places = shapely.get_parts(shapes, return_index=True)
        rows = rows[places]
    full = ~shapely.is_empty(shapes)
    return shapes[full], rows[full]


def _widened(shapes: gpd.GeoSeries, metres: float) -> gpd.GeoSeries:
    """Shapes buffered by a distance on the ground: in their own CRS, or in UTM where that has no true metres."""
    crs = shapes.crs
    if crs is None:
        return shapes.buffer(metres)
    if not crs.is_geographic and _is_true(shapes):
        return shapes.buffer(metres / crs.axis_info[0].unit_conversion_factor)
    centres = gpd.GeoSeries(shapely.centroid(shapely.envelope(shapes.to_numpy())), crs=crs).to_crs(4326)
    zones = np.clip(np.nan_to_num(centres.x.to_numpy() // 6, posinf=0, neginf=0) + 31, 1, 60).astype(int)
    north = centres.y.to_numpy() >= 0
    wide = shapes.to_numpy().copy()
    for zone, side in sorted(set(zip(zones.tolist(), north.tolist(), strict=True))):
        here = (zones == zone) & (north == side)
        wide[here] = shapes[here].to_crs(_UTM[side] + zone).buffer(metres).to_crs(crs).to_numpy()
    return gpd.GeoSeries(wide, crs=crs)


def _is_true(shapes: gpd.GeoSeries) -> bool:
    """Whether a length in the shapes' CRS is that on the ground, to two percent; in Web Mercator it is not."""
    try:
        west, south, east, north = shapes.to_crs(4326).total_bounds
        factors = pyproj.Proj(shapes.crs).get_factors((west + east) / 2, (south + north) / 2)
    except ProjError:  # a local one, or one of another planet, has nothing but its own metres
        return True
    scale = math.sqrt(abs(factors.areal_scale))
    return not math.isfinite(scale) or abs(scale - 1) < _TRUE_TO_SCALE
