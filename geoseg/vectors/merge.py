"""The loops of the sieve."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner
from geoseg.connected import Int32s, Int64s, join, root

Bools = npt.NDArray[np.bool_]


@compiled
def touch(labels: Int32s, settled: Bools, faces: int, at_top: bool, at_bottom: bool) -> tuple[Bools, Bools]:
    """Of each face, whether one of its pixels is settled, and whether it touches nodata or the raster's edge.

    Args:
        labels: (rows + 1, cols + 2) labels; row 0 and the outermost columns are a frame.
        settled: (rows, cols).
        faces: how many faces.
        at_top, at_bottom: the first and last row are those of the raster.
    """
    passed, rim = np.zeros(faces, np.bool_), np.zeros(faces, np.bool_)
    rows, cols = settled.shape
    for row in range(1, rows + 1):
        for col in range(1, cols + 1):
            face = labels[row, col]
            if face < 0:
                continue
            if settled[row - 1, col - 1]:
                passed[face] = True
            beside = labels[row, col - 1] < 0 or labels[row, col + 1] < 0
            above = labels[row - 1, col] < 0 if row > 1 else at_top
            below = labels[row + 1, col] < 0 if row < rows else at_bottom
            if beside or above or below:
                rim[face] = True
    return passed, rim


@compiled
def border_pairs(labels: Int32s, small: Bools) -> Int64s:
    """For each pixel of border of each small face, face * 2**32 + neighbour."""
    size = 0
    pairs = np.empty(0, np.int64)
    for fill in range(2):
        if fill:
            pairs = np.empty(size, np.int64)
            size = 0
        for row in range(1, labels.shape[0]):
            for col in range(1, labels.shape[1] - 1):
                here = labels[row, col]
                if here < 0:
                    continue
                for there in (labels[row - 1, col], labels[row, col - 1]):
                    if there < 0 or there == here:
                        continue
                    if small[here]:
                        if fill:
                            pairs[size] = np.int64(here) << 32 | np.int64(there)
                        size += 1
                    if small[there]:
                        if fill:
                            pairs[size] = np.int64(there) << 32 | np.int64(here)
                        size += 1
    return pairs


@compiled
def spread(one: Int64s, other: Int64s, small: Bools, marked: Bools) -> Bools:
    """The small faces in a cluster with a marked one; clusters are small faces that touch each other."""
    parent = np.arange(len(small)).astype(np.int32)
    for pair in range(len(one)):
        if small[one[pair]] and small[other[pair]]:
            join(parent, one[pair], other[pair])
    hit = np.zeros(len(small), np.bool_)
    for face in range(len(small)):
        if marked[face]:
            hit[root(parent, face)] = True
    result = np.zeros(len(small), np.bool_)
    for face in range(len(small)):
        result[face] = small[face] and hit[root(parent, face)]
    return result


@compiled
def merge_faces(
    one: Int64s,
    other: Int64s,
    length: Int64s,
    slots: Int32s,
    classes: int,
    pixels: Int64s,
    first: Int64s,
    least: Int64s,
    hole: Int64s,
    rim: Bools,
    active: Bools,
    nodata: int,
) -> None:
    """Give active faces to the class of their longest border, the smallest first; equal ones in order of place.

    Args:
        one, other, length: neighbours of active faces and their shared border, in pixels, in the order of `one`.
        slots: (F,) class of each face, from 0; changed.
        classes: how many classes.
        pixels, first: (F,) size and first pixel of each face; changed.
        least: (F,) pixels below which a face goes to a neighbour.
        hole: (F,) pixels below which a face goes to the only class around it, and nodata to any.
        rim: (F,) whether a face touches nodata or the raster's edge; changed.
        active: (F,) whether a face may go; changed.
        nodata: the class that stands for nodata to be filled, or -1.
    """
    count = len(slots)
    parent = np.arange(count).astype(np.int32)
    head, tail = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    after = np.full(len(one), -1, np.int64)
    for pair in range(len(one)):
        face = one[pair]
        if head[face] < 0:
            head[face] = pair
        else:
            after[tail[face]] = pair
        tail[face] = pair
    queue = [(np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for index in np.flatnonzero(active):
        queue.append((pixels[index], first[index], np.int64(index)))  # noqa: PERF401 - numba takes no generator
    heapq.heapify(queue)
    border = np.zeros(classes, np.int64)
    while len(queue):
        size, _, face = heapq.heappop(queue)
        if not active[face] or parent[face] != face or pixels[face] != size:
            continue
        target, around = _longest(other, length, after, head[face], parent, slots, border, face, nodata)
        small = size < least[face]
        enclosed = size < hole[face] and not rim[face] and (around == 1 or slots[face] == nodata)
        if target < 0 or not (small or enclosed):
            active[face] = False
            continue
        slots[face] = target
        pair = head[face]
        while pair >= 0:
            neighbour = root(parent, other[pair])
            if neighbour != face and slots[neighbour] == target:
                parent[neighbour] = face
                pixels[face] += pixels[neighbour]
                rim[face] |= rim[neighbour]
                if first[neighbour] < first[face]:
                    first[face] = first[neighbour]
                    least[face], hole[face] = least[neighbour], hole[neighbour]
                # What is large, or was found to stay, takes no further part.
                active[face] &= active[neighbour]
                if active[neighbour]:
                    after[tail[face]] = head[neighbour]
                    tail[face] = tail[neighbour]
            pair = after[pair]
        if active[face]:
            heapq.heappush(queue, (pixels[face], first[face], face))
    for one_face in range(count):
        slots[one_face] = slots[root(parent, one_face)]


@inner
def _longest(
    other: Int64s,
    length: Int64s,
    after: Int64s,
    start: int,
    parent: Int32s,
    slots: Int32s,
    border: Int64s,
    face: Any,
    nodata: int,
) -> tuple[int, int]:
    """The class with the longest border to a face (of equal ones the first), or -1, and how many are around it."""
    best, target, around = 0, -1, 0
    pair = start
    while pair >= 0:
        neighbour = root(parent, other[pair])
        if neighbour != face:
            slot = slots[neighbour]
            around += border[slot] == 0
            border[slot] += length[pair]
            longer = border[slot] > best or (border[slot] == best and slot < target)
            if slot != nodata and longer:
                best, target = int(border[slot]), int(slot)
        pair = int(after[pair])
    pair = start
    while pair >= 0:
        border[slots[root(parent, int(other[pair]))]] = 0
        pair = int(after[pair])
    return target, around


@compiled
def rewrite(codes: Int32s, settled: Bools, labels: Int32s, final: Int32s, done: Bools) -> None:
    """Give the pixels of faces that are done their final codes; nodata that is no face is settled too."""
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            face = labels[row + 1, col + 1]
            if face < 0:
                settled[row, col] = True
            elif done[face]:
                codes[row, col] = final[face]
                settled[row, col] = True
