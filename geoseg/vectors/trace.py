"""Follow the borders between the faces of a band: nodes, and the arcs between them.

A *node* is a pixel corner where three or four borders meet, or where a border crosses the line between two bands. An
*arc* is the chain of borders between two nodes, or a ring that meets none. Directions are 0 east, 1 south, 2 west and
3 north, as seen on the image; an arc's left face is the one on the left of somebody who walks along it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner
from geoseg.connected import Int32s

EAST, SOUTH, WEST, NORTH = 1, 2, 4, 8
EDGES = 15
NODE = 16
THROUGH = 32

START_THROUGH = 16
END_THROUGH = 32
RING = 64


class Traced(NamedTuple):
    """Arcs in pixel coordinates.

    Attributes:
        points: (N, 2) corners (x, y), arc after arc: both ends and every bend.
        offsets: (A + 1,) where each arc starts in `points`.
        left, right: (A,) labels of the faces beside each arc, `OUTSIDE` for nodata and beyond the raster.
        ends: (A,) first direction (bits 0 and 1), last direction (bits 2 and 3), whether the first or last point is a
            mere crossing of a band line (`START_THROUGH`, `END_THROUGH`), whether the arc is a ring without a node
            (`RING`).
    """

    points: Int32s
    offsets: npt.NDArray[np.int64]
    left: Int32s
    right: Int32s
    ends: npt.NDArray[np.uint8]


def trace_arcs(codes: Int32s, labels: Int32s, top: int) -> Traced:
    """Trace the arcs of a band.

    The band owns the borders within its rows and along the line above them; of the line below it only knows where
    borders arrive from above.

    Args:
        codes, labels: (rows + 1, cols + 2) as `label_faces` left them.
        top: row of the raster at which the band starts.
    """
    rows, cols = codes.shape[0] - 1, codes.shape[1] - 2
    corners = np.zeros((rows + 1, cols + 1), np.uint8)
    bends, node_edges = mark_corners(codes, corners)
    arcs = node_edges // 2 + bends // 4 + 1
    traced = Traced(
        np.empty((bends + node_edges + bends // 4 + 2, 2), np.int32),
        np.zeros(arcs + 1, np.int64),
        np.empty(arcs, np.int32),
        np.empty(arcs, np.int32),
        np.empty(arcs, np.uint8),
    )
    count = _walk_arcs(corners, labels, traced)
    offsets = traced.offsets[: count + 1].copy()
    points = traced.points[: offsets[-1]].copy()
    points[:, 1] += top
    return Traced(
        points,
        offsets,
        traced.left[:count].copy(),
        traced.right[:count].copy(),
        traced.ends[:count].copy(),
    )


@compiled
def mark_corners(codes: Int32s, corners: Any) -> tuple[int, int]:
    """Mark borders and nodes in (rows + 1, cols + 1) corners of zeros.

    Returns:
        How many bends there are outside of nodes, and how many borders end at nodes.
    """
    _mark_borders(codes, corners)
    return _mark_nodes(corners)


@inner
def _mark_borders(codes: Any, corners: Any) -> None:
    """Set a bit for each direction in which a border leaves a corner."""
    rows, cols = codes.shape[0] - 1, codes.shape[1] - 2
    for x in range(cols + 1):
        if codes[0, x] != codes[0, x + 1]:
            corners[0, x] = NORTH
    for y in range(rows):
        for x in range(cols + 1):
            here = codes[y + 1, x + 1]
            if here != codes[y + 1, x]:
                corners[y, x] |= SOUTH
                corners[y + 1, x] |= NORTH
            if x < cols and here != codes[y, x + 1]:
                corners[y, x] |= EAST
                corners[y, x + 1] |= WEST


@inner
def _mark_nodes(corners: Any) -> tuple[int, int]:
    bends, node_edges = 0, 0
    last = corners.shape[0] - 1
    for y in range(corners.shape[0]):
        for x in range(corners.shape[1]):
            edges = corners[y, x]
            if edges == 0:
                continue
            degree = (edges & 1) + (edges >> 1 & 1) + (edges >> 2 & 1) + (edges >> 3 & 1)
            crossing = (y == 0 or y == last) and edges & NORTH
            if degree > 2 or crossing:
                corners[y, x] = edges | NODE | (THROUGH if degree == 2 else 0)
                node_edges += degree
            elif edges != EAST | WEST and edges != SOUTH | NORTH:
                bends += 1
    return bends, node_edges


@compiled
def _walk_arcs(corners: Any, labels: Int32s, traced: Traced) -> int:
    """Walk all arcs, those between nodes first; returns how many there are."""
    count = 0
    for y in range(corners.shape[0]):
        for x in range(corners.shape[1]):
            if corners[y, x] & NODE:
                for direction in range(4):
                    # What leaves the band upwards belongs to the band above.
                    inside = y > 0 or direction != 3
                    if inside and corners[y, x] & 1 << direction:
                        _walk(corners, labels, traced, count, x, y, direction)
                        count += 1
    # Of what is left, the first corner met of each ring is its upper left one.
    for y in range(corners.shape[0]):
        for x in range(corners.shape[1]):
            if not corners[y, x] & NODE and corners[y, x] & EDGES == EAST | SOUTH:
                _walk(corners, labels, traced, count, x, y, 0)
                traced.ends[count] |= RING
                count += 1
    return count


@inner
def _walk(corners: Any, labels: Any, traced: Traced, arc: int, x: int, y: int, direction: int) -> None:
    """Follow one arc from corner (x, y), rubbing out its borders on the way."""
    points, position = traced.points, traced.offsets[arc]
    traced.left[arc], traced.right[arc] = _faces_beside(labels, x, y, direction)
    ends = direction | (START_THROUGH if corners[y, x] & THROUGH else 0)
    start_x, start_y = x, y
    # Not `points[position] = x, y`: the message of its error would take seconds to compile.
    points[position, 0], points[position, 1] = x, y
    while True:
        corners[y, x] &= ~(1 << direction) & 255
        x += (direction == 0) - (direction == 2)
        y += (direction == 1) - (direction == 3)
        corners[y, x] &= ~(1 << (direction + 2) % 4) & 255
        if corners[y, x] & NODE or (x == start_x and y == start_y):
            break
        onward = _only_edge(corners[y, x])
        if onward != direction:
            position += 1
            points[position, 0], points[position, 1] = x, y
            direction = onward
    points[position + 1, 0], points[position + 1, 1] = x, y
    traced.offsets[arc + 1] = position + 2
    traced.ends[arc] = ends | direction << 2 | (END_THROUGH if corners[y, x] & THROUGH else 0)


@inner
def _only_edge(edges: int) -> int:
    """The direction of the one border left at a corner."""
    if edges & EAST:
        return 0
    if edges & SOUTH:
        return 1
    return 2 if edges & WEST else 3


@inner
def _faces_beside(labels: Any, x: int, y: int, direction: int) -> tuple[int, int]:
    """Labels on the left and right of the border that leaves corner (x, y)."""
    if direction == 0:
        return labels[y, x + 1], labels[y + 1, x + 1]
    if direction == 1:
        return labels[y + 1, x + 1], labels[y + 1, x]
    if direction == 2:
        return labels[y + 1, x], labels[y, x]
    return labels[y, x], labels[y, x + 1]
