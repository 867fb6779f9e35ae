"""From arcs to rings: link the arcs of each face where they meet.

Rings are walked with their face on the left, so that outlines run counter-clockwise on the image and holes clockwise.
Where a face meets itself in one corner (a pinch), the rightmost way on is taken: rings then touch there and none of
them meets itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner
from geoseg.connected import OUTSIDE, Floats, Int32s, Int64s
from geoseg.vectors.trace import END_THROUGH, START_THROUGH

Bools = npt.NDArray[np.bool_]


class Arcs(NamedTuple):
    """Traced arcs (see `Traced`) with their integrals and lengths (see `measure`)."""

    points: Int32s
    offsets: Int64s
    left: Int32s
    right: Int32s
    ends: npt.NDArray[np.uint8]
    pixels: Floats
    metres: Floats
    length: Floats

    @classmethod
    def none(cls) -> Arcs:
        """No arcs."""
        none, empty = np.empty(0, np.int32), np.empty(0)
        points, offsets = np.empty((0, 2), np.int32), np.zeros(1, np.int64)
        return cls(points, offsets, none, none, np.empty(0, np.uint8), empty, empty, empty)

    def joined(self, other: Arcs) -> Arcs:
        """These arcs and others."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]])
        pairs: Iterator[tuple[Any, Any]] = zip(self[2:], other[2:], strict=True)
        columns: Any = (np.concatenate(pair) for pair in pairs)
        return Arcs(np.concatenate([self.points, other.points]), offsets, *columns)

    def take(self, keep: Bools) -> Arcs:
        """The arcs for which `keep` is true."""
        sizes = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(sizes[keep])])
        columns: Any = (column[keep] for column in self[2:])
        return Arcs(self.points[np.repeat(keep, sizes)], offsets, *columns)

    def renamed(self, names: Int32s) -> Arcs:
        """The arcs with new labels for their faces; `OUTSIDE` stays what it is."""
        table = np.append(names, OUTSIDE)
        return self._replace(left=table[self.left], right=table[self.right])


class Rings(NamedTuple):
    """R rings.

    Attributes:
        points: (N, 2) corners, ring after ring; the first of a ring is not repeated at its end.
        offsets: (R + 1,) where each ring starts in `points`.
        face: (R,) what the ring belongs to: a slot as it comes from `link_rings`, a label while it is kept.
    """

    points: Int32s
    offsets: Int64s
    face: Int32s

    @classmethod
    def joined(cls, parts: list[Rings]) -> Rings:
        """The rings of all parts, at least one."""
        if len(parts) == 1:
            return parts[0]
        points = np.concatenate([part.points for part in parts])
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(points, np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([part.face for part in parts]))

    def take(self, keep: Bools) -> Rings:
        """The rings for which `keep` is true."""
        sizes = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(sizes[keep])])
        return Rings(self.points[np.repeat(keep, sizes)], offsets, self.face[keep])


def link_rings(arcs: Arcs, slots: Int32s, count: int) -> tuple[Rings, Bools]:
    """Link arcs to rings.

    An arc walked along its direction is half 2 * arc, against it half 2 * arc + 1.

    Args:
        arcs: arcs, whose `left` and `right` index `slots`.
        slots: for each face its number, -1 for those not wanted; the last entry stands for `OUTSIDE`.
        count: how many faces have a number.

    Returns:
        Rings in the order of the numbers, and (2 A,) the halves that are in a ring. A chain that does not close,
        because it goes on below the last band, is in none.
    """
    starts, halves = np.zeros(count + 1, np.int64), np.empty(2 * len(arcs.left), np.int64)
    size = _halves_by_face(arcs, slots, starts, halves)
    halves = halves[: starts[-1]]
    longest = np.diff(starts).max(initial=0)
    following = np.empty(len(halves), np.int64)
    _follow(arcs, starts, halves, np.empty(longest, np.int64), np.empty(longest, np.int64), following)
    points, offsets = np.empty((size, 2), np.int32), np.zeros(len(halves) + 1, np.int64)
    face, used = np.empty(len(halves), np.int32), np.zeros(2 * len(arcs.left), bool)
    rings = _walk_rings(arcs, slots, halves, following, Rings(points, offsets, face), used)
    return Rings(points[: offsets[rings]], offsets[: rings + 1], face[:rings]), used


@compiled
def sum_halves(arcs: Arcs, slots: Int32s, used: Bools, sums: Floats) -> None:
    """Add the area in pixels, in square metres and the length of the used halves to (3, count) `sums` by face."""
    for half in range(len(used)):
        if used[half]:
            arc = half >> 1
            slot = slots[arcs.left[arc] if half & 1 == 0 else arcs.right[arc]]
            sign = -1 if half & 1 == 0 else 1
            sums[0, slot] += sign * arcs.pixels[arc]
            sums[1, slot] += sign * arcs.metres[arc]
            sums[2, slot] += arcs.length[arc]


@compiled
def _halves_by_face(arcs: Arcs, slots: Int32s, starts: Int64s, halves: Int64s) -> int:
    """Put the halves that bound each face into one array.

    Args:
        arcs, slots: see `link_rings`.
        starts: (count + 1,) zeros; becomes where the halves of each face start.
        halves: (2 A,) written as far as there are halves that bound a face.

    Returns:
        How many points all these halves have, not counting the last one of each.
    """
    left, right, size = arcs.left, arcs.right, 0
    for arc in range(len(left)):
        points = arcs.offsets[arc + 1] - arcs.offsets[arc] - 1
        for slot in (slots[left[arc]], slots[right[arc]]):
            if slot >= 0:
                starts[slot] += 1
                size += points
    for slot in range(1, len(starts)):
        starts[slot] += starts[slot - 1]
    # From the last half to the first: a face's end moves down to its start, and its halves are in order.
    for half in range(2 * len(left) - 1, -1, -1):
        slot = slots[left[half >> 1] if half & 1 == 0 else right[half >> 1]]
        if slot >= 0:
            starts[slot] -= 1
            halves[starts[slot]] = half
    return size


@inner
def _node(arcs: Arcs, half: int) -> int:
    """A number for the corner at which a half starts; it ends where `half ^ 1` starts."""
    index = arcs.offsets[half >> 1] if half & 1 == 0 else arcs.offsets[(half >> 1) + 1] - 1
    return int(arcs.points[index, 1]) << 32 | int(arcs.points[index, 0])


@inner
def _direction(arcs: Arcs, half: int) -> int:
    """The direction in which a half starts."""
    ends = int(arcs.ends[half >> 1])
    return ends & 3 if half & 1 == 0 else (ends >> 2 & 3) ^ 2


@inner
def _sort(keys: Int64s, order: Int64s, size: int) -> None:
    """Shell's sort of the first `size` keys, and of `order` with them: quick on the few keys that most faces have."""
    gap = 1
    while gap < size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for index in range(gap, size):
            key, item, place = keys[index], order[index], index
            while place >= gap and keys[place - gap] > key:
                keys[place], order[place] = keys[place - gap], order[place - gap]
                place -= gap
            keys[place], order[place] = key, item
        gap //= 3


@inner
def _find(keys: Int64s, size: int, key: int) -> int:
    """Where a key stands, or would stand, among the first `size` sorted ones."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _follow(arcs: Arcs, starts: Int64s, halves: Int64s, keys: Int64s, order: Int64s, following: Int64s) -> None:
    """For each position in `halves` the position of the half that comes next in its ring, -1 if it is not here yet.

    `keys` and `order` have room for the halves of any face.
    """
    for face in range(len(starts) - 1):
        begin, size = starts[face], starts[face + 1] - starts[face]
        for index in range(size):
            keys[index], order[index] = _node(arcs, halves[begin + index]), index
        _sort(keys, order, size)
        for index in range(size):
            half = halves[begin + index]
            key = _node(arcs, half ^ 1)
            place = _find(keys, size, key)
            if place == size or keys[place] != key:
                following[begin + index] = -1
                continue
            following[begin + index] = begin + order[place]
            if place + 1 < size and keys[place + 1] == key:
                right = _direction(arcs, half ^ 1) + 3 & 3
                if _direction(arcs, halves[begin + order[place]]) != right:
                    following[begin + index] = begin + order[place + 1]


@compiled
def _walk_rings(arcs: Arcs, slots: Int32s, halves: Int64s, following: Int64s, into: Rings, used: Bools) -> int:
    """Write the rings and mark the halves they use; returns how many rings there are."""
    points, offsets = into.points, into.offsets
    through, seen = np.zeros(len(points), np.bool_), np.zeros(len(halves), np.bool_)
    rings = 0
    for first in range(len(halves)):
        if seen[first]:
            continue
        end, position, crossing = offsets[rings], first, False
        while position >= 0 and not seen[position]:
            seen[position] = True
            # Of the two arcs that meet on a band line, only the lower one knows that it is a mere crossing.
            through[end] = crossing or _is_through(arcs, halves[position])
            end = _append(arcs, halves[position], points, end)
            crossing = _is_through(arcs, halves[position] ^ 1)
            position = following[position]
        if position != first:
            through[offsets[rings] : end] = False
            continue
        while not used[halves[position]]:
            used[halves[position]] = True
            position = following[position]
        through[offsets[rings]] |= crossing
        half = halves[first]
        into.face[rings] = slots[arcs.left[half >> 1] if half & 1 == 0 else arcs.right[half >> 1]]
        offsets[rings + 1] = _drop_straight(points, through, offsets[rings], end)
        rings += 1
    return rings


@inner
def _append(arcs: Arcs, half: int, points: Int32s, end: int) -> int:
    """Append the points of a half but its last, and return the new end."""
    first, last = arcs.offsets[half >> 1], arcs.offsets[(half >> 1) + 1] - 1
    for index in range(last - first):
        source = first + index if half & 1 == 0 else last - index
        points[end + index, 0], points[end + index, 1] = arcs.points[source, 0], arcs.points[source, 1]
    return int(end + last - first)


@inner
def _is_through(arcs: Arcs, half: int) -> bool:
    """True when a half is known to start at a mere crossing of a band line."""
    flag = START_THROUGH if half & 1 == 0 else END_THROUGH
    return bool(arcs.ends[half >> 1] & flag)


@inner
def _drop_straight(points: Int32s, through: Bools, begin: int, end: int) -> int:
    """Take crossings of band lines out of a ring where it runs straight on; returns the ring's new end."""
    size = begin
    last_x, last_y = points[end - 1, 0], points[end - 1, 1]
    for index in range(begin, end):
        x, y = points[index, 0], points[index, 1]
        after = index + 1 if index + 1 < end else begin
        dx, dy = np.int64(x) - last_x, np.int64(y) - last_y
        straight = dx * (np.int64(points[after, 1]) - y) == dy * (np.int64(points[after, 0]) - x)
        dropped = through[index] and straight
        through[index] = False
        if not dropped:
            points[size, 0], points[size, 1] = x, y
            last_x, last_y = x, y
            size += 1
    return size
