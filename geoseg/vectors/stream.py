"""Drive the tracer down a raster, band of rows by band of rows.

Between two bands only this is kept: the last row of pixels, the faces that reach into it, and the arcs of those faces.
A face is made into a polygon as soon as its last row has passed, so memory follows what is open, not what is done.
(A face that spans the raster keeps its arcs to the end: a background with a million islands takes about 1 GB.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from geoseg.legend import IGNORE
from geoseg.vectors.area import PixelArea, measure
from geoseg.vectors.assemble import Arcs, Polygons, assemble, take_arcs
from geoseg.vectors.label import OUTSIDE, Int32s, label_faces
from geoseg.vectors.simplify import simplify_arcs
from geoseg.vectors.trace import Traced, trace_arcs

Classes = npt.NDArray[np.uint8]

BAND_PIXELS = 2_000_000
"""Pixels of a band: some 25 MB of labels, corners and vertices, whatever the raster's size."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How polygons are made.

    Attributes:
        transform: from pixels to map coordinates.
        simplify: how far borders may move, in pixels; 0 keeps every bend.
        wanted: (256,) whether polygons of each class index are made.
        pixel_area: square metres per pixel, or None.
        guarded: False switches off the check that keeps simplified borders apart, to show what it is for.
    """

    transform: Affine
    simplify: float
    wanted: npt.NDArray[np.bool_]
    pixel_area: PixelArea | None = None
    guarded: bool = True


def band_rows(width: int) -> int:
    """Rows of a band.

    >>> band_rows(8192)
    244
    """
    return max(BAND_PIXELS // width, 64)


def polygons(
    bands: Iterable[Classes], shape: tuple[int, int], settings: Settings
) -> Iterator[tuple[Classes, Polygons]]:
    """Turn class indices into polygons of 4-connected faces.

    Args:
        bands: (rows, cols) class indices, top to bottom, of any heights.
        shape: rows and columns of the raster.
        settings: how.

    Yields:
        After each band that ended some: the class index of each finished polygon, and the polygons.
    """
    frontier = _Frontier.at_top(shape[1])
    top = 0
    for indices in bands:
        last = top + len(indices) == shape[0]
        classes = _framed(frontier.classes, indices, last)
        yield from _advance(frontier, classes, top, last, settings)
        top += len(indices)


@dataclass(slots=True)
class _Frontier:
    """What is open below the last band.

    Attributes:
        classes, labels: (cols + 2,) the last row, framed by nodata; labels run from 0 to the number of open faces - 1.
        class_of: class index of each open face.
        arcs: arcs with an open face on one side at least; a closed face's label is `OUTSIDE`.
    """

    classes: Classes
    labels: Int32s
    class_of: Classes
    arcs: Arcs

    @classmethod
    def at_top(cls, width: int) -> _Frontier:
        return cls(np.full(width + 2, IGNORE, np.uint8), np.full(width + 2, OUTSIDE), np.empty(0, np.uint8), _no_arcs())


def _advance(
    frontier: _Frontier, classes: Classes, top: int, last: bool, settings: Settings
) -> Iterator[tuple[Classes, Polygons]]:
    labels = np.full(classes.shape, OUTSIDE)
    labels[0] = frontier.labels
    renamed, class_of = label_faces(classes, labels, len(frontier.class_of))
    new = _traced(classes, labels, top, settings)
    arcs = _joined(_renamed(frontier.arcs, renamed), new)

    is_open = np.zeros(len(class_of) + 1, bool)  # one more at the end, where OUTSIDE points to
    if not last:
        is_open[labels[-1]] = True
        is_open[OUTSIDE] = False
    done = np.flatnonzero(~is_open[:-1] & settings.wanted[class_of])
    if len(done):
        slots = np.full(len(is_open), -1, np.int32)
        slots[done] = np.arange(len(done))
        transform = np.array(settings.transform[:6], float)
        yield class_of[done], assemble(arcs, slots, len(done), transform)
    kept = np.flatnonzero(is_open)
    remaining = np.full(len(is_open) - 1, OUTSIDE)
    remaining[kept] = np.arange(len(kept))
    frontier.arcs = _renamed(take_arcs(arcs, is_open[arcs.left] | is_open[arcs.right]), remaining)
    frontier.classes, frontier.class_of = classes[-1].copy(), class_of[kept]
    frontier.labels = np.append(remaining, OUTSIDE)[labels[-1]]


def _framed(above: Classes, indices: Classes, last: bool) -> Classes:
    """A band with the row above it, nodata on both sides, and on the last band nodata below."""
    rows, cols = indices.shape
    classes = np.full((rows + (2 if last else 1), cols + 2), IGNORE, np.uint8)
    classes[0] = above
    classes[1 : rows + 1, 1:-1] = indices
    return classes


def _traced(classes: Classes, labels: Int32s, top: int, settings: Settings) -> Arcs:
    traced = trace_arcs(classes, labels, top)
    if settings.simplify > 0:
        rows, cols = classes.shape[0] - 1, classes.shape[1] - 2
        traced = simplify_arcs(traced, top, rows, cols, float(settings.simplify), settings.guarded)
    # Built anew: numba hands back a named tuple of its own making.
    traced = Traced(*traced)
    return Arcs(*traced, *measure(traced, settings.pixel_area))


def _joined(one: Arcs, other: Arcs) -> Arcs:
    def both(name: str) -> Any:
        return np.concatenate([getattr(one, name), getattr(other, name)])

    offsets = np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]])
    return Arcs(both("points"), offsets, *(both(name) for name in Arcs._fields[2:]))


def _renamed(arcs: Arcs, names: Int32s) -> Arcs:
    """The arcs with new labels for their faces; `OUTSIDE` stays what it is."""
    table = np.append(names, OUTSIDE)
    return arcs._replace(left=table[arcs.left], right=table[arcs.right])


def _no_arcs() -> Arcs:
    none, empty = np.empty(0, np.int32), np.empty(0)
    points, offsets = np.empty((0, 2), np.int32), np.zeros(1, np.int64)
    return Arcs(points, offsets, none, none, np.empty(0, np.uint8), empty, empty)
