"""From arcs to polygons: link the arcs of each face to rings, tell holes from outlines, write WKB.

Rings are walked with their face on the left, so that outlines run counter-clockwise on the image and holes clockwise.
Where a face meets itself in one corner (a pinch), the rightmost way on is taken: rings then touch there and none of
them meets itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.vectors.compiled import compiled
from geoseg.vectors.label import Int32s
from geoseg.vectors.trace import END_THROUGH, START_THROUGH

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class Arcs(NamedTuple):
    """Traced arcs (see `Traced`) with their integrals (see `measure`)."""

    points: Int32s
    offsets: Int64s
    left: Int32s
    right: Int32s
    ends: npt.NDArray[np.uint8]
    pixels: Floats
    metres: Floats


class Polygons(NamedTuple):
    """F polygons, ready to be written.

    Attributes:
        wkb: bytes of all polygons, little-endian WKB.
        offsets: (F + 1,) where each polygon starts in `wkb`.
        pixels: (F,) area in pixels.
        metres: (F,) area in square metres, or NaN.
        bounds: (F, 4) least x, least y, greatest x, greatest y.
        vertices: points of all rings, the repeated last one of each included.
    """

    wkb: npt.NDArray[np.uint8]
    offsets: Int64s
    pixels: Floats
    metres: Floats
    bounds: Floats
    vertices: int


@compiled
def assemble(arcs: Arcs, slots: Int32s, count: int, transform: Floats) -> Polygons:
    """Make polygons of faces all of whose arcs are there.

    An arc walked along its direction is half 2 * arc, against it half 2 * arc + 1.

    Args:
        arcs: arcs, whose `left` and `right` index `slots`.
        slots: for each face the number of its polygon, -1 for those not wanted; the last entry stands for `OUTSIDE`.
        count: how many polygons.
        transform: (6,) a, b, c, d, e, f of the affine transform from pixels to map coordinates.
    """
    starts, halves = _halves_by_face(arcs, slots, count)
    following = _link(arcs, starts, halves)
    points, ring_offsets, ring_halves = _rings(arcs, halves, following)
    # With the y axis pointing up a ring's sense is the one seen on the image; rows may run the other way.
    mirrored = transform[0] * transform[4] - transform[1] * transform[3] > 0
    return _encode(arcs, starts, halves, points, ring_offsets, ring_halves, transform, mirrored)


@compiled
def take_arcs(arcs: Arcs, keep: npt.NDArray[np.bool_]) -> Arcs:
    """The arcs for which `keep` is true."""
    points = np.empty((np.sum((arcs.offsets[1:] - arcs.offsets[:-1])[keep]), 2), np.int32)
    offsets = np.zeros(np.sum(keep) + 1, np.int64)
    count = 0
    for arc in range(len(keep)):
        if keep[arc]:
            piece = arcs.points[arcs.offsets[arc] : arcs.offsets[arc + 1]]
            offsets[count + 1] = offsets[count] + len(piece)
            points[offsets[count] : offsets[count + 1]] = piece
            count += 1
    return Arcs(
        points, offsets, arcs.left[keep], arcs.right[keep], arcs.ends[keep], arcs.pixels[keep], arcs.metres[keep]
    )


@compiled
def _halves_by_face(arcs: Arcs, slots: Int32s, count: int) -> tuple[Int64s, Int64s]:
    """The halves that bound each polygon: (count + 1,) starts and the halves in one array."""
    starts = np.zeros(count + 2, np.int64)
    for arc in range(len(arcs.left)):
        starts[slots[arcs.left[arc]] + 2] += 1
        starts[slots[arcs.right[arc]] + 2] += 1
    # Slot -1 was counted first; the polygons come after it.
    unwanted = starts[1]
    starts[1] = 0
    for slot in range(count):
        starts[slot + 2] += starts[slot + 1]
    halves = np.empty(2 * len(arcs.left) - unwanted, np.int64)
    fill = starts[1:].copy()
    for arc in range(len(arcs.left)):
        for side in range(2):
            slot = slots[arcs.left[arc] if side == 0 else arcs.right[arc]]
            if slot >= 0:
                halves[fill[slot]] = 2 * arc + side
                fill[slot] += 1
    return starts[1:].copy(), halves


@compiled
def _node(arcs: Arcs, half: int, at_end: bool) -> int:
    """A number for the corner at which a half starts or ends."""
    first = (half & 1 == 1) == at_end
    index = arcs.offsets[half >> 1] if first else arcs.offsets[(half >> 1) + 1] - 1
    return int(arcs.points[index, 1]) << 32 | int(arcs.points[index, 0])


@compiled
def _direction(arcs: Arcs, half: int, at_end: bool) -> int:
    """The direction in which a half starts or ends."""
    ends = int(arcs.ends[half >> 1])
    if half & 1 == 0:
        return ends >> 2 & 3 if at_end else ends & 3
    return (ends & 3 if at_end else ends >> 2 & 3) ^ 2


@compiled
def _link(arcs: Arcs, starts: Int64s, halves: Int64s) -> Int64s:
    """For each position in `halves` the position of the half that comes next in its ring."""
    following = np.empty(len(halves), np.int64)
    for face in range(len(starts) - 1):
        begin, size = starts[face], starts[face + 1] - starts[face]
        keys = np.empty(size, np.int64)
        for index in range(size):
            keys[index] = _node(arcs, halves[begin + index], False)
        order = np.argsort(keys)
        ordered = keys[order]
        for index in range(size):
            half = halves[begin + index]
            key = _node(arcs, half, True)
            place = np.searchsorted(ordered, key)
            following[begin + index] = begin + order[place]
            if place + 1 < size and ordered[place + 1] == key:
                right = _direction(arcs, half, True) + 1 & 3
                if _direction(arcs, halves[begin + order[place]], False) != right:
                    following[begin + index] = begin + order[place + 1]
    return following


@compiled
def _rings(arcs: Arcs, halves: Int64s, following: Int64s) -> tuple[Int32s, Int64s, Int64s]:
    """Points of all rings (not closed), where each ring starts in them, and where it starts in `halves`."""
    size = 0
    for half in halves:
        size += arcs.offsets[(half >> 1) + 1] - arcs.offsets[half >> 1] - 1
    points = np.empty((size, 2), np.int32)
    through = np.zeros(size, np.uint8)
    offsets = np.zeros(len(halves) + 1, np.int64)
    ring_halves = np.empty(len(halves), np.int64)
    seen = np.zeros(len(halves), np.uint8)
    rings = 0
    for first in range(len(halves)):
        if seen[first]:
            continue
        end, position, crossing = offsets[rings], first, False
        while not seen[position]:
            seen[position] = 1
            # Of the two arcs that meet on a band line, only the lower one knows that it is a mere crossing.
            through[end] = crossing or _is_through(arcs, halves[position], False)
            end = _append(arcs, halves[position], points, end)
            crossing = _is_through(arcs, halves[position], True)
            position = following[position]
        through[offsets[rings]] |= crossing
        ring_halves[rings] = first
        offsets[rings + 1] = _drop_straight(points, through, offsets[rings], end)
        rings += 1
    return points, offsets[: rings + 1].copy(), ring_halves[:rings].copy()


@compiled
def _append(arcs: Arcs, half: int, points: Int32s, end: int) -> int:
    """Append the points of a half but its last, and return the new end."""
    first, last = arcs.offsets[half >> 1], arcs.offsets[(half >> 1) + 1] - 1
    for index in range(last - first):
        points[end + index] = arcs.points[first + index] if half & 1 == 0 else arcs.points[last - index]
    return int(end + last - first)


@compiled
def _is_through(arcs: Arcs, half: int, at_end: bool) -> bool:
    """True when a half is known to start or end at a mere crossing of a band line."""
    flag = END_THROUGH if (half & 1 == 0) == at_end else START_THROUGH
    return bool(arcs.ends[half >> 1] & flag)


@compiled
def _drop_straight(points: Int32s, through: npt.NDArray[np.uint8], begin: int, end: int) -> int:
    """Take crossings of band lines out of a ring where it runs straight on; returns the ring's new end."""
    size = begin
    last_x, last_y = points[end - 1]
    for index in range(begin, end):
        x, y = points[index]
        after = index + 1 if index + 1 < end else begin
        dx, dy = np.int64(x) - last_x, np.int64(y) - last_y
        straight = dx * (np.int64(points[after, 1]) - y) == dy * (np.int64(points[after, 0]) - x)
        dropped = through[index] and straight
        through[index] = 0
        if not dropped:
            points[size, 0], points[size, 1] = x, y
            last_x, last_y = x, y
            size += 1
    return size


@compiled
def _encode(
    arcs: Arcs,
    starts: Int64s,
    halves: Int64s,
    points: Int32s,
    ring_offsets: Int64s,
    ring_halves: Int64s,
    transform: Floats,
    mirrored: bool,
) -> Polygons:
    count = len(starts) - 1
    rings = _rings_by_face(starts, ring_halves)
    offsets = np.zeros(count + 1, np.int64)
    for face in range(count):
        first, last = rings[face], rings[face + 1]
        # Five bytes of header and four for the number of rings; four and one repeated point for each ring.
        size = 9 + 20 * (last - first) + 16 * (ring_offsets[last] - ring_offsets[first])
        offsets[face + 1] = offsets[face] + size
    wkb = np.empty(offsets[-1], np.uint8)
    pixels, metres = _areas(arcs, starts, halves)
    bounds = np.empty((count, 4))
    for face in range(count):
        first, last = rings[face], rings[face + 1]
        outline = _outline(points, ring_offsets, first, last)
        at = offsets[face]
        wkb[at] = 1
        _put_number(wkb, at + 1, 3)
        _put_number(wkb, at + 5, last - first)
        at += 9
        xy = _map_ring(points, ring_offsets[outline], ring_offsets[outline + 1], transform, mirrored)
        bounds[face] = xy[:, 0].min(), xy[:, 1].min(), xy[:, 0].max(), xy[:, 1].max()
        at = _put_ring(wkb, at, xy)
        for ring in range(first, last):
            if ring != outline:
                xy = _map_ring(points, ring_offsets[ring], ring_offsets[ring + 1], transform, mirrored)
                at = _put_ring(wkb, at, xy)
    return Polygons(wkb, offsets, pixels, metres, bounds, ring_offsets[-1] + len(ring_halves))


@compiled
def _rings_by_face(starts: Int64s, ring_halves: Int64s) -> Int64s:
    """Rings come face by face; (faces + 1,) where those of each face start."""
    rings = np.zeros(len(starts), np.int64)
    ring = 0
    for face in range(len(starts) - 1):
        while ring < len(ring_halves) and ring_halves[ring] < starts[face + 1]:
            ring += 1
        rings[face + 1] = ring
    return rings


@compiled
def _areas(arcs: Arcs, starts: Int64s, halves: Int64s) -> tuple[Floats, Floats]:
    pixels, metres = np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    for face in range(len(pixels)):
        for position in range(starts[face], starts[face + 1]):
            arc, sign = halves[position] >> 1, -1 if halves[position] & 1 == 0 else 1
            pixels[face] += sign * arcs.pixels[arc]
            metres[face] += sign * arcs.metres[arc]
    return pixels, metres


@compiled
def _outline(points: Int32s, ring_offsets: Int64s, first: int, last: int) -> int:
    """Of the rings of a face the one around all others, which is the only one that runs counter-clockwise."""
    best, found = -np.inf, first
    for ring in range(first, last):
        twice = 0.0
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        for index in range(begin, end):
            after = index + 1 if index + 1 < end else begin
            x = float(points[index, 0]) + float(points[after, 0])
            twice -= x * (points[after, 1] - points[index, 1])
        if twice > best:
            best, found = twice, ring
    return found


@compiled
def _map_ring(points: Int32s, begin: int, end: int, transform: Floats, mirrored: bool) -> Floats:
    """(n + 1, 2) map coordinates of a ring, closed."""
    size = end - begin
    xy = np.empty((size + 1, 2))
    for index in range(size + 1):
        place = begin + index % size
        x, y = float(points[place, 0]), float(points[place, 1])
        target = size - index if mirrored else index
        xy[target, 0] = transform[0] * x + transform[1] * y + transform[2]
        xy[target, 1] = transform[3] * x + transform[4] * y + transform[5]
    return xy


@compiled
def _put_ring(wkb: npt.NDArray[np.uint8], at: int, xy: Floats) -> int:
    _put_number(wkb, at, len(xy))
    data = xy.reshape(-1).view(np.uint8)
    wkb[at + 4 : at + 4 + len(data)] = data
    return at + 4 + len(data)


@compiled
def _put_number(wkb: npt.NDArray[np.uint8], at: int, value: int) -> None:
    for byte in range(4):
        wkb[at + byte] = value >> 8 * byte & 255
