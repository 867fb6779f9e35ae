"""Polygons on the globe: what crosses the antimeridian is kept in one piece, with longitudes beyond 180."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
import shapely.affinity
from rasterio.crs import CRS

from geoseg.antimeridian import POLE, together, unwrapped, wrapped
from geoseg.grid import METRES_PER_DEGREE

STEP = 0.01
"""Degrees between the points that a straight edge is given before it is laid in another CRS: about a kilometre."""

_RADIUS = 6.37e6
"""Metres of the Earth."""

_DEGREES = pyproj.CRS("EPSG:4326")


def lonlat_boxes(geometry: shapely.Geometry) -> list[tuple[float, float, float, float]]:
    """Bounds (west, south, east, north) from -180 to 180 of an unwrapped polygon: two where it crosses."""
    west, south, east, north = geometry.bounds
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]


def in_degrees(geometry: shapely.Geometry, crs: CRS | pyproj.CRS) -> shapely.Geometry:
    """A polygon of any CRS in longitude and latitude, unwrapped; points that have no place become infinite.

    One that has a pole inside goes from -180 to 180 degrees, and up to the pole.
    """
    own = _pyproj(crs)
    moved = _moved(geometry, own, _DEGREES)
    west, south, east, north = moved.bounds
    # Whatever lies around a pole is wide in degrees.
    is_plain = east - west <= 180 and max(-south, north) < POLE
    if is_plain or own.is_geographic or not np.isfinite(moved.bounds).all():
        return unwrapped(moved)
    return together([_whole(part) for part in shapely.get_parts(moved)])


def _whole(polygon: shapely.Polygon) -> shapely.Geometry:
    """A polygon whose points were moved to degrees, and whose sides are short."""
    shell, *holes = (_ring(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygon))
    if not holes:
        return shell
    # A hole may have come out a turn beside the shell.
    turns = [shapely.affinity.translate(hole, by) for hole in holes for by in (-360, 0, 360)]
    return shapely.difference(shell, shapely.union_all(turns))


def _ring(points: npt.NDArray[np.float64]) -> shapely.Geometry:
    """What a closed line around a place on the globe (n, 2) encloses; around a pole, up to it."""
    points = _seen_from_poles(points[:-1])
    # From the point that is nearest to a pole on, so that the way there crosses nothing.
    points = np.roll(points, -int(np.abs(points[:, 1]).argmax()), axis=0)
    lon, lat = np.append(points, points[:1], axis=0).T
    lon = np.unwrap(lon, period=360)
    lon -= 360 * np.floor((lon.min() + 180 + 1e-9) / 360)
    if abs(lon[-1] - lon[0]) < 180:
        return shapely.Polygon(np.column_stack([lon, lat])[:-1])
    pole = math.copysign(90, lat.mean())
    cap = shapely.Polygon(np.column_stack([[*lon, lon[-1], lon[0]], [*lat, pole, pole]]))
    # The two sides of the way fall together again, but for rounding.
    return shapely.union_all(shapely.get_parts(wrapped(cap)), grid_size=1e-9)


def _seen_from_poles(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A pole, which has no longitude, as two points: with that of the point before it and of the one after."""
    poles = np.abs(points[:, 1]) >= POLE
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    twice = np.repeat(points, 1 + poles, axis=0)
    places = np.flatnonzero(poles) + np.arange(poles.sum())
    twice[places, 0], twice[places + 1, 0] = before[poles, 0], after[poles, 0]
    return twice


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
    shape = _moved(shapely.segmentize(geometry, step), _DEGREES, wanted)
    if shapely.is_valid(shape) or not np.isfinite(shape.bounds).all():
        return shape
    # Such as the way to a pole and back, which encloses nothing.
    return shapely.make_valid(shape, method="structure", keep_collapsed=False)


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
