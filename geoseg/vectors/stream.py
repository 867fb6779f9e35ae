"""Drive the tracer down a raster, band of rows by band of rows.

Between two bands only this is kept: the last row of pixels, the faces that reach into it, the arcs of those faces that
do not close to a ring yet, and their finished holes. A face is made into a polygon as soon as its last row has passed,
so memory follows what is open, not what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from affine import Affine

from geoseg.connected import NONE, OUTSIDE, Int32s, label_faces, tally_pixels, tally_values
from geoseg.vectors.cut import bare, cut_cells, cut_row
from geoseg.vectors.encode import Reproject, Shapes, encode
from geoseg.vectors.faces import Faces
from geoseg.vectors.link import Arcs, Bools, Rings, link_rings, sum_halves
from geoseg.vectors.measure import Measure, measure
from geoseg.vectors.simplify import simplify_arcs
from geoseg.vectors.smooth import smooth_arcs, subpixels
from geoseg.vectors.trace import Traced, trace_arcs

BAND_PIXELS = 1_000_000
"""Pixels of a band: some 20 MB of codes, labels, corners and vertices, whatever the raster's size."""

OPEN_ARCS = 50_000
"""With more arcs than this of open faces, and twice as many as after the last time, those that close are made rings."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Settings:
    """How polygons are made.

    Attributes:
        transform: from pixels to map coordinates.
        simplify: how far borders may move, in pixels; 0 keeps every bend.
        smooth: how far borders may move when their bends are rounded, in pixels; 0 leaves them.
        wanted: whether polygons of each of some codes are made; None for all.
        measure: the way to metres.
        reproject: from (N, 2) map coordinates to those to be written, or None.
        max_vertices: polygons with about more are cut; None for none.
        guarded: False switches off the check that keeps simplified borders apart, to show what it is for.
    """

    transform: Affine
    simplify: float = 0.0
    smooth: float = 0.0
    wanted: Callable[[Int32s], Bools] | None = None
    measure: Measure = field(default_factory=Measure)
    reproject: Reproject | None = None
    max_vertices: int | None = None
    guarded: bool = True


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a map.

    Attributes:
        codes: (rows, cols) what each pixel holds; equal codes are one class, `NONE` is none.
        confidence: (rows, cols) of each pixel, NaN where there is none; or None.
    """

    codes: Int32s
    confidence: Values | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a band finished.

    Attributes:
        faces: P faces, with plain codes.
        shapes: their P polygons.
        labels: (P,) their labels in that band.
        pieces: how many of them were cut off larger faces.
    """

    faces: Faces
    shapes: Shapes
    labels: npt.NDArray[np.int64]
    pieces: int


def band_rows(width: int) -> int:
    """Rows of a band.

    >>> band_rows(8192)
    122
    """
    return max(BAND_PIXELS // width, 64)


@dataclass(slots=True)
class Frontier:
    """What is open below the last band.

    Attributes:
        codes, labels: (cols + 2,) the last row, framed by nodata; labels run from 0 to the number of open faces - 1.
        faces: the open faces.
        arcs: arcs with an open face on one side at least; what is done with on the other is `OUTSIDE`.
        holes: finished rings of open faces, `face` being their label.
        limit: arcs at which rings are looked for next.
        top: rows that have passed.
    """

    codes: Int32s
    labels: Int32s
    faces: Faces
    arcs: Arcs
    holes: list[Rings]
    limit: int
    top: int = 0

    @classmethod
    def above(cls, width: int) -> Frontier:
        """Nothing, above a raster."""
        outside = np.full(width + 2, OUTSIDE)
        return cls(np.full(width + 2, NONE), outside, Faces.of(np.empty(0, np.int32)), Arcs.none(), [], OPEN_ARCS)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A band with the row above it, its faces numbered.

    Attributes:
        codes, labels: (rows + 1, cols + 2), on the last band (rows + 2, cols + 2), framed by nodata.
        faces: all faces of the band, with what was known of those that were open above.
        renamed: the new label of each of these.
        is_open: (F + 1,) whether a face may go on below; the last entry stands for `OUTSIDE`.
    """

    codes: Int32s
    labels: Int32s
    faces: Faces
    renamed: Int32s
    is_open: Bools


Watch = Callable[[Labelled], None]


def polygons(
    bands: Iterable[Band], shape: tuple[int, int], settings: Settings, watch: Watch | None = None
) -> Iterator[Finished]:
    """Turn codes into polygons of 4-connected faces.

    Args:
        bands: top to bottom, of any heights.
        shape: rows and columns of the raster.
        settings: how.
        watch: is shown each band before what it finished is yielded.

    Yields:
        After each band that ended some, the faces and their polygons.
    """
    frontier = Frontier.above(shape[1])
    for band in bands:
        last = frontier.top + len(band.codes) == shape[0]
        labelled, arcs = _traced(frontier, band, last, settings, shape)
        if watch is not None:
            watch(labelled)
        yield from _advance(frontier, labelled, arcs, settings, shape)
        frontier.top += len(band.codes)


def _traced(
    frontier: Frontier, band: Band, last: bool, settings: Settings, shape: tuple[int, int]
) -> tuple[Labelled, Arcs]:
    """The faces of a band and the arcs it adds, with faces cut that have too many vertices."""
    codes = _framed(frontier.codes, band.codes, last)
    limit = settings.max_vertices
    columns = shape[1]
    while True:
        labels = np.full(codes.shape, OUTSIDE)
        labels[0] = frontier.labels
        renamed, code_of = label_faces(codes, labels, len(frontier.faces.code), False)
        arcs = _drawn(trace_arcs(codes, labels, frontier.top), codes, frontier.top, settings, shape)
        vertices = _vertices(arcs, len(code_of))
        if limit is None or columns <= 8 or vertices.max(initial=0) <= limit // 2:
            break
        columns = max(columns // 2, 8)
        large = (vertices > limit // 2) & _wanted(settings, code_of)
        if not large.any():
            break
        cut_cells(codes, labels, large, columns)
    faces = Faces.of(code_of)
    tally_pixels(labels, frontier.top, faces.pixels, faces.first)
    if band.confidence is not None:
        tally_values(labels, band.confidence, faces.rated, faces.total, faces.least)
    faces.vertices[:] = vertices
    faces.add(frontier.faces, renamed)
    is_open = np.zeros(len(code_of) + 1, bool)
    if not last:
        is_open[labels[-1]] = True
        is_open[OUTSIDE] = False
        if limit is not None:
            cut_row(codes, labels, faces, limit // 2)
    return Labelled(codes, labels, faces, renamed, is_open), arcs


def _advance(
    frontier: Frontier, band: Labelled, new: Arcs, settings: Settings, shape: tuple[int, int]
) -> Iterator[Finished]:
    arcs = frontier.arcs.renamed(band.renamed).joined(new)
    holes = [part._replace(face=band.renamed[part.face]) for part in frontier.holes]
    frontier.arcs, frontier.holes = Arcs.none(), []  # what is done is let go while it is written
    is_open, faces = band.is_open, band.faces
    wanted = np.append(_wanted(settings, faces.code), False)
    done, still = np.flatnonzero(~is_open & wanted), np.flatnonzero(is_open & wanted)
    # Rings of open faces are looked for now and then only: most arcs of most of them wait for the next band.
    complete = len(arcs.left) > frontier.limit
    slots = np.full(len(is_open), -1, np.int32)
    slots[done] = np.arange(len(done))
    if complete:
        slots[still] = np.arange(len(done), len(done) + len(still))
    numbered = np.concatenate([done, still]) if complete else done
    if len(numbered):
        rings, used = _linked(arcs, slots, faces, numbered)
        yield from _finish(rings, holes, done, faces, settings, shape)
        kept = rings.take(rings.face >= len(done))
        holes.append(kept._replace(face=numbered[kept.face].astype(np.int32)))
        arcs = arcs._replace(
            left=np.where(used[0::2], OUTSIDE, arcs.left), right=np.where(used[1::2], OUTSIDE, arcs.right)
        )
    goes_on = is_open & wanted
    arcs = arcs.take(goes_on[arcs.left] | goes_on[arcs.right])
    if complete:
        frontier.limit = max(OPEN_ARCS, 2 * len(arcs.left))
    _keep(frontier, band, arcs, holes)


def _linked(arcs: Arcs, slots: Int32s, faces: Faces, numbered: npt.NDArray[np.int64]) -> tuple[Rings, Bools]:
    """Rings of the numbered faces and the halves they use, whose areas and lengths go to the faces."""
    rings, used = link_rings(arcs, slots, len(numbered))
    sums = np.zeros((3, len(numbered)))
    sum_halves(arcs, slots, used, sums)
    for column, values in zip((faces.area, faces.metres, faces.length), sums, strict=True):
        column[numbered] += values
    return rings, used


def _finish(
    rings: Rings,
    holes: list[Rings],
    done: npt.NDArray[np.int64],
    faces: Faces,
    settings: Settings,
    shape: tuple[int, int],
) -> Iterator[Finished]:
    """Make polygons of the faces that are done, and take their holes out of those that are kept."""
    if not len(done):
        return
    numbers = np.full(len(faces.code), -1, np.int32)
    numbers[done] = np.arange(len(done))
    parts = [rings.take(rings.face < len(done)), *_taken(holes, numbers)]
    scale = _scale(settings, shape)
    transform = np.array((settings.transform @ Affine.scale(1 / scale))[:6], float)
    whole = Rings.joined(parts)
    parts.clear()  # a face with a million holes is large, and there need not be two of it
    shapes = encode(whole, len(done), transform, settings.reproject)
    del whole
    ended_faces = faces.take(done)
    plain = bare(ended_faces.code)
    pieces = int(np.count_nonzero(plain != ended_faces.code))
    yield Finished(ended_faces._replace(code=plain), shapes, done, pieces)


def _taken(holes: list[Rings], numbers: Int32s) -> Iterator[Rings]:
    """Take the rings of faces that have a number out of a list, with the number as their face."""
    for index in range(len(holes)):
        part = holes[index]
        found = numbers[part.face] >= 0
        if found.any():
            holes[index] = part.take(~found)
            part = part if found.all() else part.take(found)
            yield part._replace(face=numbers[part.face])


def _keep(frontier: Frontier, band: Labelled, arcs: Arcs, holes: list[Rings]) -> None:
    """Put what is open into the frontier, with labels that count it."""
    kept = np.flatnonzero(band.is_open[:-1])
    names = np.full(len(band.faces.code), OUTSIDE)
    names[kept] = np.arange(len(kept))
    frontier.arcs = arcs.renamed(names)
    holes = [part._replace(face=names[part.face]) for part in holes if len(part.face)]
    # Few parts, so that a band does not walk through many.
    frontier.holes = [Rings.joined(holes)] if len(holes) > 16 else holes
    frontier.codes, frontier.faces = band.codes[-1].copy(), band.faces.take(kept)
    frontier.labels = np.append(names, OUTSIDE)[band.labels[-1]]


def _framed(above: Int32s, indices: Int32s, last: bool) -> Int32s:
    """A band with the row above it, nodata on both sides, and on the last band nodata below."""
    rows, cols = indices.shape
    codes = np.full((rows + (2 if last else 1), cols + 2), NONE)
    codes[0] = above
    codes[1 : rows + 1, 1:-1] = indices
    return codes


def _drawn(arcs: Traced, codes: Int32s, top: int, settings: Settings, shape: tuple[int, int]) -> Arcs:
    """Traced arcs, simplified, smoothed and measured; points are in units of 1 / scale pixels."""
    rows, cols = codes.shape[0] - 1, codes.shape[1] - 2
    if settings.simplify > 0:
        arcs = simplify_arcs(arcs, top, rows, cols, float(settings.simplify), settings.guarded)
    scale = _scale(settings, shape)
    if settings.smooth > 0:
        arcs = smooth_arcs(arcs, top, rows, cols, float(settings.smooth), scale)
    return Arcs(*arcs, *measure(arcs.points, arcs.offsets, float(scale), settings.measure))


def _scale(settings: Settings, shape: tuple[int, int]) -> int:
    return subpixels(*shape) if settings.smooth > 0 else 1


def _vertices(arcs: Arcs, count: int) -> npt.NDArray[np.int64]:
    """(count,) points of the arcs beside each face."""
    sizes = np.diff(arcs.offsets) - 1
    both = [np.bincount(side[side >= 0], sizes[side >= 0], count) for side in (arcs.left, arcs.right)]
    return (both[0] + both[1]).astype(np.int64)


def _wanted(settings: Settings, codes: Int32s) -> Bools:
    if settings.wanted is None:
        return np.ones(len(codes), bool)
    return settings.wanted(bare(codes))
