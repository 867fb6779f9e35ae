"""Round the bends of arcs without letting them touch each other.

Each bend is replaced by a quadratic curve between two points on its sides, as Chaikin's corner cutting gives in the
limit (Riesenfeld 1975, On Chaikin's algorithm). The curve stays in the triangle of these two points and the bend, and a
bend is rounded only when that triangle holds no vertex of any border. As the borders do not cross before, no border
then enters the triangle, and two such triangles do not meet: rounded borders cannot cross, in whichever order they are
made.

Ends of arcs stay, and so do arcs beside nodata.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.compiled import compiled, inner
from geoseg.connected import OUTSIDE
from geoseg.vectors.simplify import span
from geoseg.vectors.trace import RING, Traced

LARGEST = 1 << 30
SLIGHT = 0.02
"""Bends whose rounding would move the border by less than this, in pixels, are left."""

HAIR = 1e-2
"""A vertex this near to a triangle, in pixels, counts as inside: more than what rounding to units moves a point."""


def subpixels(height: int, width: int) -> int:
    """Units per pixel, a power of two with which every coordinate fits into 32 bits.

    >>> subpixels(10_000, 16_384)
    32768
    """
    return 1 << int(np.log2(LARGEST // (max(height, width) + 1)))


def smooth_arcs(arcs: Traced, top: int, rows: int, cols: int, distance: float, scale: int) -> Traced:
    """Round the bends of arcs.

    Args:
        arcs: the arcs of one band, which do not cross, in pixels.
        top, rows: first row of the band in the raster, and its height.
        cols: width of the raster.
        distance: how far a border may move, in pixels.
        scale: units per pixel of the result.
    """
    taken = np.zeros((rows + 1, cols + 1), np.uint8)
    taken[arcs.points[:, 1] - top, arcs.points[:, 0]] = 1
    points, offsets = np.empty((4 * len(arcs.points), 2), np.int32), np.zeros_like(arcs.offsets)
    _smooth(arcs, taken, top, distance, scale, points, offsets)
    return arcs._replace(points=points[: offsets[-1]].copy(), offsets=offsets)


@compiled
def _smooth(arcs: Traced, taken: Any, top: int, distance: float, scale: int, points: Any, offsets: Any) -> None:
    """Write the points to `points`, and where each arc then starts to `offsets`."""
    for arc in range(len(arcs.left)):
        start, last = arcs.offsets[arc], arcs.offsets[arc + 1] - 1
        ring = arcs.ends[arc] & RING != 0
        moves = arcs.left[arc] != OUTSIDE and arcs.right[arc] != OUTSIDE
        begin = end = offsets[arc]
        for index in range(start, last + (0 if ring else 1)):
            if moves and (ring or start < index < last):
                before = index - 1 if index > start else last - 1
                end = _round(arcs.points, taken, top, before, index, index + 1, distance, scale, points, begin, end)
            else:
                end = _put(points, begin, end, arcs.points[index, 0] * scale, arcs.points[index, 1] * scale)
        if ring:
            # The first point may stand at the end already.
            if points[end - 1, 0] == points[begin, 0] and points[end - 1, 1] == points[begin, 1]:
                end -= 1
            points[end, 0], points[end, 1] = points[begin, 0], points[begin, 1]
            end += 1
        offsets[arc + 1] = end


@inner
def _round(
    source: Any,
    taken: Any,
    top: int,
    before: int,
    index: int,
    after: int,
    distance: float,
    scale: int,
    points: Any,
    begin: int,
    end: int,
) -> int:
    """Put the curve around one bend, or the bend itself where it may not be rounded."""
    x, y = float(source[index, 0]), float(source[index, 1])
    ax, ay = source[before, 0] - x, source[before, 1] - y
    bx, by = source[after, 0] - x, source[after, 1] - y
    # The curve, drawn as three straight pieces, passes 5/9 of the median from the bend, which is no longer than a side.
    near = min(1.8 * distance / np.sqrt(ax * ax + ay * ay), 0.5)
    far = min(1.8 * distance / np.sqrt(bx * bx + by * by), 0.5)
    ax, ay, bx, by = near * ax, near * ay, far * bx, far * by
    moved = 5 / 18 * np.sqrt((ax + bx) ** 2 + (ay + by) ** 2)
    straight = abs(ax * by - ay * bx) < 1e-9
    if moved < SLIGHT or straight or not _is_free(taken, top, x, y, ax, ay, bx, by):
        return _put(points, begin, end, int(x) * scale, int(y) * scale)
    for step in range(4):
        t = step / 3
        here, there = (1 - t) * (1 - t), t * t
        px, py = x + here * ax + there * bx, y + here * ay + there * by
        end = _put(points, begin, end, int(np.round(px * scale)), int(np.round(py * scale)))
    return end


@inner
def _put(points: Any, begin: int, end: int, x: int, y: int) -> int:
    """Append a point, unless it is the one before."""
    if end > begin and points[end - 1, 0] == x and points[end - 1, 1] == y:
        return end
    points[end, 0], points[end, 1] = x, y
    return end + 1


@inner
def _is_free(taken: Any, top: int, x: float, y: float, ax: float, ay: float, bx: float, by: float) -> bool:
    """True when the triangle of a bend and two points on its sides holds no vertex but the bend."""
    xs, ys = (x, x + ax, x + bx), (y, y + ay, y + by)
    for row in range(int(np.ceil(min(ys) - HAIR)), int(np.floor(max(ys) + HAIR)) + 1):
        if row < top or row - top >= taken.shape[0]:
            continue
        level = min(max(float(row), min(ys)), max(ys))
        west, east = span(xs, ys, level)
        for col in range(max(int(np.ceil(west - HAIR)), 0), min(int(np.floor(east + HAIR)), taken.shape[1] - 1) + 1):
            if taken[row - top, col] and (row != int(y) or col != int(x)):
                return False
    return True
