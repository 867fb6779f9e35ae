"""Polygons in longitude and latitude that lie across the antimeridian, where longitudes jump or go on beyond 180."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geoseg.grid import Grid

POLE = 90 - 1e-9
"""Degrees of latitude from which on a point is a pole: a tenth of a millimetre."""


def turned_onto(shapes: npt.NDArray[Any], grid: Grid) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Polygons in the CRS of a grid, those in degrees also a whole turn to the east and to the west.

    A raster across the antimeridian has longitudes beyond 180, and what is drawn over it has them or has not. Where
    neither goes beyond there is nothing to do.

    Args:
        shapes: polygons (n,).
        grid: where they are to be drawn.

    Returns:
        polygons (m,), and the place of each among `shapes`, in whose order they are.
    """
    rows = np.arange(len(shapes))
    if grid.crs is None or not grid.crs.is_geographic or not len(shapes):
        return shapes, rows
    if not goes_on(grid) and not np.nanmax(np.abs(shapely.bounds(shapes)[:, [0, 2]]), initial=0) > 180:
        return shapes, rows
    turns = [shapely.transform(shapes, lambda points, by=by: points + np.array([by, 0])) for by in (0, 360, -360)]
    return np.stack(turns, axis=1).ravel(), np.repeat(rows, 3)


def goes_on(grid: Grid) -> bool:
    """True for a grid in degrees with longitudes beyond 180."""
    west, _, east, _ = grid.bounds
    return grid.crs is not None and bool(grid.crs.is_geographic) and max(-west, east) > 180


def unwrapped(geometry: shapely.Geometry) -> shapely.Geometry:
    """A polygon in degrees in one piece: what is narrower across the antimeridian than around the globe lies there.

    Parts are moved whole, for one may lie across Greenwich. Only a part with a side of more than half a turn is moved
    point by point: it was drawn across the antimeridian without a cut.

    >>> unwrapped(shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])).bounds
    (179.0, 0.0, 181.0, 1.0)
    """
    if _width(geometry) <= 180:
        return geometry
    return together([_turned(part) if _is_uncut(part) else part for part in shapely.get_parts(geometry)])


def _is_uncut(part: shapely.Geometry) -> bool:
    """True when a side goes the long way round and so means the short one; along a pole or once around it does not."""
    for points in map(shapely.get_coordinates, shapely.get_rings(part)):
        way = np.abs(np.diff(points[:, 0]))
        along_pole = np.abs(points[1:, 1] + points[:-1, 1]) >= 2 * POLE
        if ((way > 180) & (way < 360) & ~along_pole).any():
            return True
    return False


def together(parts: list[shapely.Geometry]) -> shapely.Geometry:
    """Parts as one polygon, those of the western half of the globe beyond 180 degrees where that is narrower."""
    whole = shapely.multipolygons([polygon for part in parts for polygon in shapely.get_parts(part)])
    moved = shapely.union_all([_turned(part) if part.bounds[2] <= 0 else part for part in parts])
    if _width(moved) < _width(whole):
        return moved
    return whole if len(whole.geoms) > 1 else whole.geoms[0]


def _width(geometry: shapely.Geometry) -> float:
    west, _, east, _ = geometry.bounds
    return float(east - west)


def _turned(geometry: shapely.Geometry) -> shapely.Geometry:
    """The same with its negative longitudes beyond 180."""
    return shapely.transform(geometry, lambda points: points + np.outer(points[:, 0] < 0, (360, 0)))


def wrapped(geometry: shapely.Geometry) -> shapely.Geometry:
    """The inverse: longitudes from -180 to 180, cut at the antimeridian as RFC 7946 asks."""
    if geometry.bounds[2] <= 180:
        return geometry
    parts = [shapely.intersection(geometry, shapely.box(-180, -90, 180, 90))]
    beyond = shapely.intersection(geometry, shapely.box(180, -90, 540, 90))
    parts.append(shapely.transform(beyond, lambda points: points - [360, 0]))
    flat = [part for piece in parts for part in shapely.get_parts(piece) if part.area > 0]
    return shapely.MultiPolygon(flat) if len(flat) > 1 else flat[0]
