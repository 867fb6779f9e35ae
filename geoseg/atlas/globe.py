"""Polygons on the globe: what crosses the antimeridian is kept in one piece, with longitudes beyond 180."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from rasterio.crs import CRS

from geoseg.grid import METRES_PER_DEGREE

STEP = 0.01
"""Degrees between the points that a straight edge is given before it is laid in another CRS: about a kilometre."""

_RADIUS = 6.37e6
"""Metres of the Earth."""

_DEGREES = pyproj.CRS("EPSG:4326")


def unwrapped(geometry: shapely.Geometry) -> shapely.Geometry:
    """A polygon in degrees in one piece: wider than half the globe means that it crosses the antimeridian.

    >>> unwrapped(shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])).bounds
    (179.0, 0.0, 181.0, 1.0)
    """
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    moved = shapely.transform(geometry, lambda points: points + np.outer(points[:, 0] < 0, (360, 0)))
    # The whole globe has nothing to be moved to.
    return shapely.union_all(shapely.get_parts(moved)) if moved.area > 0 else geometry


def wrapped(geometry: shapely.Geometry) -> shapely.Geometry:
    """The inverse: longitudes from -180 to 180, cut at the antimeridian as RFC 7946 asks."""
    if geometry.bounds[2] <= 180:
        return geometry
    parts = [shapely.intersection(geometry, shapely.box(-180, -90, 180, 90))]
    beyond = shapely.intersection(geometry, shapely.box(180, -90, 540, 90))
    parts.append(shapely.transform(beyond, lambda points: points - [360, 0]))
    flat = [part for piece in parts for part in shapely.get_parts(piece) if part.area > 0]
    return shapely.MultiPolygon(flat) if len(flat) > 1 else flat[0]


def lonlat_boxes(geometry: shapely.Geometry) -> list[tuple[float, float, float, float]]:
    """Bounds (west, south, east, north) from -180 to 180 of an unwrapped polygon: two where it crosses."""
    west, south, east, north = geometry.bounds
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]


def in_degrees(geometry: shapely.Geometry, crs: CRS | pyproj.CRS) -> shapely.Geometry:
    """A polygon of any CRS in longitude and latitude, unwrapped; points that have no place become infinite."""
    return unwrapped(_moved(geometry, _pyproj(crs), _DEGREES))


def fine_step(metres: float) -> float:
    """Degrees between the points of an edge, for pixels of this size on the ground.

    Neighbours that share a part of an edge have points at different places of it, and between them each its own chord
    of the same arc. A chord of length L leaves an arc of radius R by L^2 / 8 R: by a thousandth of a pixel, here.
    """
    return min(STEP, math.sqrt(8 * _RADIUS * metres / 1000) / METRES_PER_DEGREE)


def placed(geometry: shapely.Geometry, crs: CRS | pyproj.CRS, step: float = STEP) -> shapely.Geometry:
    """An unwrapped polygon in degrees laid in a CRS, its straight edges following the globe.

    The points are where they are whatever polygon they belong to, so neighbours keep their common border.

    Args:
        geometry: the polygon.
        crs: where it is laid.
        step: degrees between the points that its edges are given.
    """
    wanted = _pyproj(crs)
    if wanted == _DEGREES:
        return geometry
    return _moved(shapely.segmentize(geometry, step), _DEGREES, wanted)


def utm_zone(longitude: float, latitude: float) -> CRS:
    """The UTM zone of a place.

    >>> utm_zone(181, -17).to_epsg(), utm_zone(8.5, 50).to_epsg()
    (32701, 32632)
    """
    zone = math.floor(((longitude + 180) % 360) / 6) + 1
    return CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)


def _moved(geometry: shapely.Geometry, source: pyproj.CRS, target: pyproj.CRS) -> shapely.Geometry:
    if source == target:
        return geometry
    way = pyproj.Transformer.from_crs(source, target, always_xy=True)

    def move(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(way.transform(points[:, 0], points[:, 1]))

    return shapely.transform(geometry, move)


def _pyproj(crs: CRS | pyproj.CRS) -> pyproj.CRS:
    return crs if isinstance(crs, pyproj.CRS) else pyproj.CRS.from_wkt(crs.to_wkt())
