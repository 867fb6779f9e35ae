"""Give small areas to their neighbours, on the pixels, before borders are drawn.

Small faces that touch each other are a cluster. In a cluster the smallest face goes first, to the class with which it
shares the longest border; it is then one with all faces of that class beside it, and the next smallest follows. What
becomes of a cluster depends on nothing but the faces in it and the classes around it. So the map can go by in slabs of
rows: a cluster waits until it has passed whole, and the result does not depend on the slabs.

A cluster that does not end (all of a map may be speckle) is settled without waiting when too many rows have gathered:
its faces that still go on are then taken for large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.connected import NONE, OUTSIDE, Int32s, Int64s, label_faces, tally_pixels
from geoseg.vectors.merge import border_pairs, merge_faces, rewrite, spread, touch

SLAB_PIXELS = 4_000_000
MOST_SLABS = 4
"""Slabs of rows that wait for a cluster to end."""

HOLE = np.int32(1 << 28)
"""Code of nodata that may be filled."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Least = Callable[[Floats, Floats], Int64s]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is too small.

    Attributes:
        least: from columns and rows of first pixels to how many pixels a face needs.
        least_hole: the same for a face with one class around it, and for nodata to be filled.
        fill_nodata: nodata that does not reach the raster's edge is filled when it is small.
        diagonal: faces are 8-connected.
    """

    least: Least
    least_hole: Least
    fill_nodata: bool = False
    diagonal: bool = False


def sieved(
    bands: Iterable[Int32s], shape: tuple[int, int], rule: Rule, slab_pixels: int = SLAB_PIXELS
) -> Iterator[Int32s]:
    """The same map with small faces given to their neighbours.

    Args:
        bands: codes (rows, cols), top to bottom, of any heights.
        shape: rows and columns of the raster.
        rule: what is too small.
        slab_pixels: about how many pixels are looked at together.
    """
    height, width = shape
    slab = max(slab_pixels // width, 64)
    waiting = _Waiting(np.empty((0, width), np.int32), np.empty((0, width), bool), 0)
    gathered: list[Int32s] = []
    count = 0
    for band in bands:
        gathered.append(band)
        count += len(band)
        last = waiting.top + len(waiting.codes) + count == height
        if count >= slab or last:
            waiting = waiting.with_rows(np.concatenate(gathered))
            gathered, count = [], 0
            _settle(waiting, shape, rule, forced=len(waiting.codes) > MOST_SLABS * slab)
            ready = len(waiting.codes) if last else waiting.ready()
            yield waiting.codes[:ready]
            waiting = waiting.after(ready)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows that are not passed on yet.

    Attributes:
        codes: (rows, cols).
        settled: (rows, cols) whether a pixel has its final code.
        top: row of the raster at which they begin.
    """

    codes: Int32s
    settled: Bools
    top: int

    def with_rows(self, codes: Int32s) -> _Waiting:
        more = np.zeros(codes.shape, bool)
        return _Waiting(np.concatenate([self.codes, codes]), np.concatenate([self.settled, more]), self.top)

    def ready(self) -> int:
        """Rows that are settled, but for the last of them, which the faces below it need to see."""
        unsettled = np.flatnonzero(~np.all(self.settled, axis=1))
        first = int(unsettled[0]) if len(unsettled) else len(self.codes)
        return max(first - 1, 0)

    def after(self, rows: int) -> _Waiting:
        return _Waiting(self.codes[rows:].copy(), self.settled[rows:].copy(), self.top + rows)


def _settle(waiting: _Waiting, shape: tuple[int, int], rule: Rule, forced: bool) -> None:
    """Give the faces that are small and have passed to their neighbours."""
    codes, settled = waiting.codes, waiting.settled
    rows, cols = codes.shape
    last = waiting.top + rows == shape[0]
    framed = np.full((rows + 1, cols + 2), NONE)
    framed[1:, 1:-1] = np.where(codes == NONE, HOLE, codes) if rule.fill_nodata else codes
    labels = np.full(framed.shape, OUTSIDE)
    _, code_of = label_faces(framed, labels, 0, rule.diagonal)
    pixels, first = np.zeros(len(code_of), np.int64), np.full(len(code_of), np.iinfo(np.int64).max)
    tally_pixels(labels, waiting.top, pixels, first)
    x, y = first % cols + 0.5, first // cols + 0.5
    least, hole = rule.least(x, y), rule.least_hole(x, y)
    least[code_of == HOLE] = 0
    passed, rim = touch(labels, settled, len(code_of), waiting.top == 0, last)
    small = ~passed & (pixels < np.maximum(least, hole))
    going_on = np.zeros(len(code_of), bool)
    if not last:
        below = labels[-1, 1:-1]
        going_on[below[below != OUTSIDE]] = True
    going_on &= small
    if forced:
        small &= ~going_on
    one, other, length = _pairs(labels, small)
    unsure = spread(one, other, small, going_on & small)
    active = small & ~unsure
    keep = active[one]
    classes, places = np.unique(code_of, return_inverse=True)
    nodata = int(np.searchsorted(classes, HOLE)) if rule.fill_nodata and HOLE in classes else -1
    slots: Int32s = places.astype(np.int32)
    merge_faces(
        one[keep], other[keep], length[keep], slots, len(classes), pixels, first, least, hole, rim, active, nodata
    )
    final = classes[slots] if len(classes) else code_of
    final = np.where(final == HOLE, NONE, final).astype(np.int32)
    rewrite(codes, settled, labels, final, ~unsure & ~going_on)


def _pairs(labels: Int32s, small: Bools) -> tuple[Int64s, Int64s, Int64s]:
    """Each small face with each neighbour, and how many pixels long the border between them is."""
    keys, length = np.unique(border_pairs(labels, small), return_counts=True)
    return keys >> 32, keys & 0xFFFFFFFF, length
