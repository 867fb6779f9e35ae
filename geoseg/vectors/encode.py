"""From rings to WKB, without a Python object for a polygon."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner
from geoseg.connected import Floats, Int32s, Int64s
from geoseg.vectors.link import Rings

Bytes = npt.NDArray[np.uint8]
Reproject = Callable[[Floats], Floats]


class Shapes(NamedTuple):
    """P shapes, ready to be written.

    Attributes:
        wkb: bytes of all shapes, little-endian WKB.
        offsets: (P + 1,) where each shape starts in `wkb`.
        bounds: (P, 4) least x, least y, greatest x, greatest y.
        vertices: (P,) points of the rings of each, the repeated last ones included.
    """

    wkb: Bytes
    offsets: Int64s
    bounds: Floats
    vertices: Int64s


def encode(rings: Rings, count: int, transform: Floats, reproject: Reproject | None) -> Shapes:
    """Make polygons of rings.

    Args:
        rings: the rings of `count` polygons; `face` numbers the polygons.
        count: how many polygons.
        transform: (6,) a, b, c, d, e, f of the affine transform from the rings' units to map coordinates.
        reproject: from (N, 2) map coordinates to those to be written.
    """
    order = np.argsort(rings.face, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rings.face, minlength=count))])
    sort_outlines_first(rings.points, rings.offsets, starts, order)
    # With the y axis pointing up a ring's sense is the one seen on the image; rows may run the other way.
    mirrored = bool(transform[0] * transform[4] - transform[1] * transform[3] > 0)
    xy, offsets = place(rings.points, rings.offsets, order, transform, mirrored)
    if reproject is not None:
        xy = np.ascontiguousarray(reproject(xy))
    wkb, places, bounds = write_wkb(xy, offsets, starts)
    return Shapes(wkb, places, bounds, np.diff(offsets[starts]))


@compiled
def sort_outlines_first(points: Int32s, offsets: Int64s, starts: Int64s, order: Int64s) -> None:
    """Of the rings of a polygon put the one around all others first: the only one that runs counter-clockwise."""
    for polygon in range(len(starts) - 1):
        if starts[polygon + 1] - starts[polygon] < 2:
            continue
        best, found = -np.inf, starts[polygon]
        for place in range(starts[polygon], starts[polygon + 1]):
            twice = 0.0
            begin, end = offsets[order[place]], offsets[order[place] + 1]
            for index in range(begin, end):
                after = index + 1 if index + 1 < end else begin
                x = float(points[index, 0]) + float(points[after, 0])
                twice -= x * (points[after, 1] - points[index, 1])
            if twice > best:
                best, found = twice, place
        outline = order[found]
        for place in range(found, starts[polygon], -1):
            order[place] = order[place - 1]
        order[starts[polygon]] = outline


def place(points: Int32s, offsets: Int64s, order: Int64s, transform: Floats, mirrored: bool) -> tuple[Floats, Int64s]:
    """(N, 2) map coordinates of rings in the given order, each closed, and (R + 1,) where each starts."""
    starts = np.concatenate([[0], np.cumsum(np.diff(offsets)[order] + 1)])
    xy = np.empty((starts[-1], 2))
    _place(points, offsets, order, transform, mirrored, starts, xy)
    return xy, starts


@compiled
def _place(
    points: Int32s, offsets: Int64s, order: Int64s, transform: Floats, mirrored: bool, starts: Int64s, xy: Floats
) -> None:
    for ring in range(len(order)):
        begin, size = offsets[order[ring]], offsets[order[ring] + 1] - offsets[order[ring]]
        for index in range(size + 1):
            source = begin + index % size
            x, y = float(points[source, 0]), float(points[source, 1])
            target = starts[ring] + (size - index if mirrored else index)
            xy[target, 0] = transform[0] * x + transform[1] * y + transform[2]
            xy[target, 1] = transform[3] * x + transform[4] * y + transform[5]


def write_wkb(xy: Floats, offsets: Int64s, starts: Int64s) -> tuple[Bytes, Int64s, Floats]:
    """WKB of polygons, where each starts, and their (P, 4) bounds, from closed rings with the outline first."""
    # Five bytes of header and four for the number of rings; four and the points for each ring.
    places = 9 * np.arange(len(starts)) + 4 * starts + 16 * offsets[starts]
    wkb, bounds = np.empty(places[-1], np.uint8), np.empty((len(starts) - 1, 4))
    _write_polygons(xy, xy.reshape(-1).view(np.uint8), offsets, starts, places, wkb, bounds)
    return wkb, places, bounds


@compiled
def _write_polygons(
    xy: Floats, raw: Bytes, offsets: Int64s, starts: Int64s, places: Int64s, wkb: Bytes, bounds: Floats
) -> None:
    for polygon in range(len(bounds)):
        at = places[polygon]
        wkb[at] = 1
        _put_number(wkb, at + 1, 3)
        _put_number(wkb, at + 5, starts[polygon + 1] - starts[polygon])
        at += 9
        least_x, least_y, most_x, most_y = np.inf, np.inf, -np.inf, -np.inf
        for ring in range(starts[polygon], starts[polygon + 1]):
            _put_number(wkb, at, offsets[ring + 1] - offsets[ring])
            begin, end = 16 * offsets[ring], 16 * offsets[ring + 1]
            at += 4
            for byte in range(end - begin):  # a slice would take a second longer to compile
                wkb[at + byte] = raw[begin + byte]
            at += end - begin
            for index in range(offsets[ring], offsets[ring + 1]):
                least_x, most_x = min(least_x, xy[index, 0]), max(most_x, xy[index, 0])
                least_y, most_y = min(least_y, xy[index, 1]), max(most_y, xy[index, 1])
        bounds[polygon, 0], bounds[polygon, 1] = least_x, least_y
        bounds[polygon, 2], bounds[polygon, 3] = most_x, most_y


@inner
def _put_number(wkb: Bytes, at: int, value: int) -> None:
    for byte in range(4):
        wkb[at + byte] = value >> 8 * byte & 255
