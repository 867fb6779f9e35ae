"""Straighten arcs by distance without letting them touch each other.

A bend is dropped when every corner it stands for stays within the tolerance of the new straight line, and when the
triangle it spans with its two neighbours holds no corner of another border, as that border was *before* it was
simplified. A border that crossed the new line would have to enter that triangle through the line and to leave it again,
so it would need a corner inside. As the check looks at original corners only, arcs do not depend on each other's order.

Both ends of an arc stay, and so do arcs beside nodata: the coverage keeps the exact outline of the valid pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.compiled import compiled, inner
from geoseg.connected import OUTSIDE
from geoseg.vectors.trace import RING, Traced

EMPTY = -1
"""Mark of a pixel corner that is no vertex; vertices have their index there, node n has -2 - n."""


def simplify_arcs(arcs: Traced, top: int, rows: int, cols: int, tolerance: float, guarded: bool) -> Traced:
    """Drop bends of arcs, which move by at most `tolerance` pixels.

    Args:
        arcs: the arcs of one band.
        top, rows: first row of the band in the raster, and its height.
        cols: width of the raster.
        tolerance: distance in pixels.
        guarded: make the check for other borders; False only to show what it is for.
    """
    corners = np.full((rows + 1, cols + 1), EMPTY, np.int32)
    arcs_at = np.full((2 * len(arcs.left) + 1, 4), -1, np.int32)
    _mark_vertices(arcs, corners, arcs_at, top)
    points, offsets = np.empty_like(arcs.points), np.zeros_like(arcs.offsets)
    kept = np.empty(np.diff(arcs.offsets).max(initial=0), np.int64)
    _simplify(arcs, corners, arcs_at, top, rows, tolerance, guarded, kept, points, offsets)
    return arcs._replace(points=points[: offsets[-1]].copy(), offsets=offsets)


@compiled
def _simplify(
    arcs: Traced,
    corners: Any,
    arcs_at: Any,
    top: int,
    rows: int,
    tolerance: float,
    guarded: bool,
    kept: Any,
    points: Any,
    offsets: Any,
) -> None:
    """Write the points that stay to `points`, and where each arc then starts to `offsets`."""
    for arc in range(len(arcs.left)):
        start, end = arcs.offsets[arc], arcs.offsets[arc + 1]
        count = end - start
        for index in range(count):
            kept[index] = start + index
        if arcs.left[arc] != OUTSIDE and arcs.right[arc] != OUTSIDE:
            least = _least_points(arcs, arc, corners, arcs_at, top, rows)
            # Half the tolerance first: small bends then go before large ones, which gives better shapes.
            for step in (0.5, 1.0):
                count = _straighten(arcs, corners, top, kept, count, least, tolerance * step, guarded)
        position = offsets[arc]
        for index in range(count):
            points[position + index, 0] = arcs.points[kept[index], 0]
            points[position + index, 1] = arcs.points[kept[index], 1]
        offsets[arc + 1] = position + count


@compiled
def _mark_vertices(arcs: Traced, corners: Any, arcs_at: Any, top: int) -> None:
    """Fill `corners`, and `arcs_at`: for each node the arc that leaves it in each direction, or -1."""
    nodes = 0
    for arc in range(len(arcs.left)):
        start, end = arcs.offsets[arc], arcs.offsets[arc + 1]
        for index in range(start + 1, end - 1):
            corners[arcs.points[index, 1] - top, arcs.points[index, 0]] = index
        if arcs.ends[arc] & RING:
            corners[arcs.points[start, 1] - top, arcs.points[start, 0]] = start
            continue
        leaving = arcs.ends[arc] & 3, (arcs.ends[arc] >> 2 & 3) ^ 2
        for side in range(2):
            index = start if side == 0 else end - 1
            x, y = arcs.points[index, 0], arcs.points[index, 1] - top
            if corners[y, x] == EMPTY:
                corners[y, x] = -2 - nodes
                nodes += 1
            arcs_at[-2 - corners[y, x], leaving[side]] = arc


@inner
def _least_points(arcs: Traced, arc: int, corners: Any, arcs_at: Any, top: int, rows: int) -> int:
    """How many points an arc must keep, so that nothing collapses."""
    first, last = arcs.offsets[arc], arcs.offsets[arc + 1] - 1
    if arcs.ends[arc] & RING:
        return 5
    x, y = arcs.points[last, 0], arcs.points[last, 1]
    if arcs.points[first, 0] == x and arcs.points[first, 1] == y:
        return 4
    # The band below knows nothing of this arc, and may have one of its own between the same two nodes.
    if y == top + rows and arcs.points[first, 1] == y:
        return 3
    start, end = corners[arcs.points[first, 1] - top, arcs.points[first, 0]], corners[y - top, x]
    for direction in range(4):
        other = arcs_at[-2 - start, direction]
        if other >= 0 and other != arc:
            for point in (arcs.offsets[other], arcs.offsets[other + 1] - 1):
                if corners[arcs.points[point, 1] - top, arcs.points[point, 0]] == end:
                    return 3
    return 2


@inner
def _straighten(
    arcs: Traced, corners: Any, top: int, kept: Any, count: int, least: int, tolerance: float, guarded: bool
) -> int:
    """Drop points from `kept` until no more may go; returns how many are left."""
    changed = True
    while changed and count > least:
        changed = False
        size, index = 1, 1
        while index < count - 1:
            before, point, after = kept[size - 1], kept[index], kept[index + 1]
            # `size` are kept so far and `count - index - 1` come after this one.
            enough = size + count - index - 1 >= least
            if (
                enough
                and _is_near(arcs.points, before, after, tolerance)
                and (not guarded or _is_free(arcs.points, corners, top, before, point, after))
            ):
                changed = True
                # The next one stays in this round: each round halves a staircase, where one sweep would eat it up
                # from the front in quadratic time.
                index += 1
            else:
                kept[size] = point
                size += 1
                index += 1
                continue
            if index < count - 1:
                kept[size] = kept[index]
                size += 1
                index += 1
        kept[size] = kept[count - 1]
        count = size + 1
    return count


@inner
def _is_near(points: Any, first: int, last: int, tolerance: float) -> bool:
    """True when all original points between two of an arc are within `tolerance` of the line between them."""
    ax, ay = float(points[first, 0]), float(points[first, 1])
    dx, dy = points[last, 0] - ax, points[last, 1] - ay
    length2 = dx * dx + dy * dy
    limit = tolerance * tolerance
    for index in range(first + 1, last):
        x, y = points[index, 0] - ax, points[index, 1] - ay
        share = (x * dx + y * dy) / length2 if length2 > 0 else 0.0
        share = min(max(share, 0.0), 1.0)
        x, y = x - share * dx, y - share * dy
        if x * x + y * y > limit:
            return False
    return True


@inner
def _is_free(points: Any, corners: Any, top: int, before: int, point: int, after: int) -> bool:
    """True when the triangle of three points of an arc, its rim included, holds no vertex but the arc's own between."""
    xs = (float(points[before, 0]), float(points[point, 0]), float(points[after, 0]))
    ys = (float(points[before, 1]), float(points[point, 1]), float(points[after, 1]))
    for y in range(int(min(ys)), int(max(ys)) + 1):
        west, east = span(xs, ys, float(y))
        # A hair more than the triangle: being too careful costs one bend, the opposite a crossing.
        for x in range(int(np.ceil(west - 1e-6)), int(np.floor(east + 1e-6)) + 1):
            vertex = corners[y - top, x]
            if vertex == EMPTY or before <= vertex <= after:
                continue
            at_start = x == points[before, 0] and y == points[before, 1]
            at_end = x == points[after, 0] and y == points[after, 1]
            if not at_start and not at_end:
                return False
    return True


@inner
def span(xs: Any, ys: Any, y: float) -> tuple[float, float]:
    """Where a triangle begins and ends on the line at `y`."""
    west, east = np.inf, -np.inf
    for corner in range(3):
        x0, y0, x1, y1 = xs[corner], ys[corner], xs[(corner + 1) % 3], ys[(corner + 1) % 3]
        if y < min(y0, y1) or y > max(y0, y1):
            continue
        if y0 == y1:
            west, east = min(west, x0, x1), max(east, x0, x1)
        else:
            x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            west, east = min(west, x), max(east, x)
    return west, east
