"""Unite polygons that make one feature: faces that touch in corners (8-connected), or all of a class (dissolved).

Such features are MultiPolygons: their parts share no more than corners, so the coverage stays valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled
from geoseg.connected import Int32s, Int64s, join, number_roots
from geoseg.vectors.encode import Bytes, Shapes
from geoseg.vectors.faces import Faces
from geoseg.vectors.stream import Finished, Labelled

Feature = tuple[Faces, Shapes]


class Grouping(Protocol):
    """Collects finished faces, and gives features back when they are complete."""

    geometry_type: str

    def watch(self, band: Labelled) -> None:
        """See a band before what it finished is added."""

    def add(self, finished: Finished) -> Iterator[Feature]:
        """Take what a band finished; yield what is complete."""

    def end(self) -> Iterator[Feature]:
        """Yield the rest."""


class Single:
    """Each face is a feature."""

    geometry_type = "Polygon"

    def watch(self, band: Labelled) -> None:
        """Nothing to see."""

    def add(self, finished: Finished) -> Iterator[Feature]:
        """Every face is complete."""
        yield finished.faces, finished.shapes

    def end(self) -> Iterator[Feature]:
        """Nothing is left."""
        yield from ()


class Dissolved:
    """All faces of one code are one feature, so all of the layer is held in memory."""

    geometry_type = "MultiPolygon"

    def __init__(self) -> None:
        self._pending: list[_Part] = []

    def watch(self, band: Labelled) -> None:
        """Nothing to see."""

    def add(self, finished: Finished) -> Iterator[Feature]:
        """Nothing is complete before the end."""
        self._pending.append(_Part(finished.faces.code.astype(np.int64), finished.faces, finished.shapes))
        yield from ()

    def end(self) -> Iterator[Feature]:
        """Everything, code by code."""
        codes = np.unique(np.concatenate([part.group for part in self._pending] or [np.empty(0, np.int64)]))
        for code in codes:  # one at a time: each may be large
            yield _united([part.take(part.group == code) for part in self._pending])


class Diagonal:
    """Faces of one code that touch in a corner are one feature."""

    geometry_type = "MultiPolygon"

    def __init__(self) -> None:
        self._pending: list[_Part] = []
        self._count = 0
        self._of_open = self._of_label = np.empty(0, np.int32)

    def watch(self, band: Labelled) -> None:
        """Join the groups of faces that meet in this band."""
        faces = len(band.faces.code)
        parent = np.arange(self._count + faces, dtype=np.int32)
        join_groups(parent, self._of_open, band.renamed + np.int32(self._count))
        join_diagonals(band.codes, band.labels, parent, self._count)
        groups = number_roots(parent, len(parent))
        self._pending = [part._replace(group=parent[part.group]) for part in self._pending]
        self._of_label = parent[self._count :]
        self._of_open = self._of_label[band.is_open[:-1]]
        self._count = groups

    def add(self, finished: Finished) -> Iterator[Feature]:
        """Yield groups none of whose faces is open."""
        groups = self._of_label[finished.labels].astype(np.int64)
        self._pending.append(_Part(groups, finished.faces, finished.shapes))
        is_open = np.zeros(self._count, bool)
        is_open[self._of_open] = True
        complete = [part.take(~is_open[part.group]) for part in self._pending]
        waiting = [part.take(is_open[part.group]) for part in self._pending]
        self._pending = [part for part in waiting if len(part.group)]
        if any(len(part.group) for part in complete):
            yield _united(complete)

    def end(self) -> Iterator[Feature]:
        """Nothing is open after the last band."""
        yield from ()


def grouping(connectivity: int, dissolve: bool) -> Grouping:
    """How faces become features."""
    if dissolve:
        return Dissolved()
    return Diagonal() if connectivity == 8 else Single()


class _Part(NamedTuple):
    """Faces with their shapes and the number of the group each belongs to."""

    group: Any
    faces: Faces
    shapes: Shapes

    def take(self, keep: npt.NDArray[np.bool_]) -> _Part:
        if keep.all():
            return self
        which, shapes = np.flatnonzero(keep), self.shapes
        wkb, offsets = gather(shapes.wkb, shapes.offsets, which)
        taken = Shapes(wkb, offsets, shapes.bounds[which], shapes.vertices[which])
        return _Part(self.group[which], self.faces.take(which), taken)


def _united(parts: list[_Part]) -> Feature:
    """A feature for each group: its faces in the order of their first pixels."""
    group = np.concatenate([part.group for part in parts])
    faces = Faces.joined([part.faces for part in parts])
    shapes = [part.shapes for part in parts]
    sizes = np.concatenate([np.diff(one.offsets) for one in shapes])
    wkb = np.concatenate([one.wkb for one in shapes])
    bounds = np.concatenate([one.bounds for one in shapes])
    vertices = np.concatenate([one.vertices for one in shapes])
    order = np.lexsort((faces.first, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    of_face = np.empty(len(order), np.int64)
    of_face[order] = np.cumsum(np.diff(group[order], prepend=-1) != 0) - 1
    merged = Faces.of(faces.code[order[starts]])
    merged.add(faces, of_face)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    places, ends = write_multi(wkb, offsets, order, np.append(starts, len(order)))
    low = np.minimum.reduceat(bounds[order, :2], starts)
    high = np.maximum.reduceat(bounds[order, 2:], starts)
    return merged, Shapes(places, ends, np.hstack([low, high]), np.add.reduceat(vertices[order], starts))


@compiled
def gather(data: Bytes, offsets: Int64s, which: Int64s) -> tuple[Bytes, Int64s]:
    """Some pieces of an array of bytes, and where each starts."""
    starts = np.zeros(len(which) + 1, np.int64)
    for index in range(len(which)):
        starts[index + 1] = starts[index] + offsets[which[index] + 1] - offsets[which[index]]
    result = np.empty(starts[-1], np.uint8)
    for index in range(len(which)):
        begin, end = offsets[which[index]], offsets[which[index] + 1]
        result[starts[index] : starts[index + 1]] = data[begin:end]
    return result, starts


@compiled
def write_multi(wkb: Bytes, offsets: Int64s, order: Int64s, starts: Int64s) -> tuple[Bytes, Int64s]:
    """WKB of MultiPolygons: a header of nine bytes each, and their polygons as they are."""
    count = len(starts) - 1
    result = np.empty(9 * count + offsets[-1], np.uint8)
    places = np.zeros(count + 1, np.int64)
    for feature in range(count):
        at, members = places[feature], starts[feature + 1] - starts[feature]
        result[at] = 1
        for byte in range(4):
            result[at + 1 + byte] = 6 >> 8 * byte & 255
            result[at + 5 + byte] = members >> 8 * byte & 255
        at += 9
        for place in range(starts[feature], starts[feature + 1]):
            begin, end = offsets[order[place]], offsets[order[place] + 1]
            result[at : at + end - begin] = wkb[begin:end]
            at += end - begin
        places[feature + 1] = at
    return result, places


@compiled
def join_groups(parent: Int32s, of_open: Int32s, labels: Int32s) -> None:
    """Join the group of each face that was open with its new label."""
    for face in range(len(of_open)):
        join(parent, of_open[face], labels[face])


@compiled
def join_diagonals(codes: Int32s, labels: Int32s, parent: Int32s, first: int) -> None:
    """Join the labels, counted from `first` in the forest, of equal codes that meet in a corner."""
    for row in range(1, codes.shape[0]):
        for col in range(1, codes.shape[1] - 1):
            if labels[row, col] < 0:
                continue
            for side in (-1, 1):
                other = labels[row - 1, col + side]
                if other >= 0 and other != labels[row, col] and codes[row - 1, col + side] == codes[row, col]:
                    join(parent, first + other, first + labels[row, col])
