"""Polygons of the map against polygons of the reference.

Sources: A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollar, Panoptic Segmentation, CVPR 2019 (quality, and what is
left out as void); N. Clinton, A. Holt, J. Scarborough, L. Yan, P. Gong, Accuracy assessment measures for object-based
image segmentation goodness, Photogrammetric Engineering & Remote Sensing 76 (2010) (over- and under-segmentation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.assessment.polygon_scores import PolygonScore, PolygonScores
from geoseg.assessment.sight import Sight
from geoseg.compiled import compiled
from geoseg.connected import NONE, join, label_faces, number_roots
from geoseg.legend import IGNORE, Legend

Int64s = npt.NDArray[np.int64]

HALF = 0.5
"""Of the union: two polygons that share more are the same, and no polygon can have two such partners."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Polygons: connected areas of one class.

    Attributes:
        classes: (n,) class index.
        pixels: (n,) all pixels.
        counted: (n,) those that count and have a class on the other side.
        cut: (n,) True where it touches the edge of the map.
    """

    classes: Int64s
    pixels: Int64s
    counted: Int64s
    cut: npt.NDArray[np.bool_]


class _Side:
    """Numbers the connected areas of one raster, window by window, and joins them across the windows' edges."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._parts: list[tuple[Int64s, Int64s, Int64s, npt.NDArray[np.bool_]]] = []
        self._joins: list[Int64s] = []
        self._above: tuple[npt.NDArray[Any], Int64s] = (np.full(shape[1], NONE), np.full(shape[1], -1))
        self._left: tuple[npt.NDArray[Any], Int64s] | None = None
        self._count = 0

    def add(self, sight: Sight, values: npt.NDArray[np.uint8], counted: npt.NDArray[np.bool_]) -> Int64s:
        """Provisional numbers (rows, cols) of the areas of a window, -1 where there is no class."""
        rows, cols = values.shape
        codes = np.full((rows + 1, cols + 2), NONE, np.int32)
        codes[1:, 1:-1] = np.where(values == IGNORE, NONE, values.astype(np.int32))
        labels = np.full(codes.shape, -1, np.int32)
        _, kinds = label_faces(codes, labels, 0, False)
        own = labels[1:, 1:-1]
        known = own >= 0
        pixels = np.bincount(own[known], minlength=len(kinds))
        inside = np.bincount(own[known & counted], minlength=len(kinds))
        cut = np.zeros(len(kinds), bool)
        height, width = self._shape
        frame = [(sight.row == 0, own[0]), (sight.row + rows == height, own[-1]),
                 (sight.col == 0, own[:, 0]), (sight.col + cols == width, own[:, -1])]  # fmt: skip
        for is_edge, line in frame:
            if is_edge:
                cut[line[line >= 0]] = True
        self._parts.append((kinds.astype(np.int64), pixels, inside, cut))
        numbers = np.where(known, own.astype(np.int64) + self._count, -1)
        self._count += len(kinds)
        self._sew(sight, codes[1:, 1:-1], numbers)
        return numbers

    def _sew(self, sight: Sight, codes: npt.NDArray[Any], numbers: Int64s) -> None:
        place = slice(sight.col, sight.col + codes.shape[1])
        kinds, above = self._above
        self._join(kinds[place], above[place], codes[0], numbers[0])
        if sight.col and self._left is not None:
            self._join(*self._left, codes[:, 0], numbers[:, 0])
        kinds[place], above[place] = codes[-1], numbers[-1]
        self._left = codes[:, -1].copy(), numbers[:, -1].copy()

    def _join(self, kinds: Any, numbers: Any, other_kinds: Any, others: Any) -> None:
        same = (kinds == other_kinds) & (numbers >= 0)
        if same.any():
            self._joins.append(np.stack([numbers[same], others[same]], axis=1))

    def finish(self) -> tuple[Objects, Int64s]:
        """The areas, and the final number of each provisional one."""
        joins = np.concatenate([np.empty((0, 2), np.int64), *self._joins])
        final, count = _united(np.arange(self._count), joins)
        kinds, pixels, counted, cut = (
            np.concatenate([part[place] for part in self._parts]) if self._parts else np.empty(0, np.int64)
            for place in range(4)
        )
        classes = np.zeros(count, np.int64)
        classes[final] = kinds
        sums = [np.bincount(final, weights=values, minlength=count) for values in (pixels, counted, cut)]
        return Objects(classes, sums[0].astype(np.int64), sums[1].astype(np.int64), sums[2] > 0), final


@compiled
def _united(parent: Any, joins: Any) -> Any:
    for place in range(joins.shape[0]):
        join(parent, joins[place, 0], joins[place, 1])
    count = number_roots(parent, len(parent))
    return parent, count


@dataclass(slots=True, eq=False)
class ObjectTally:
    """Finds the polygons of a map and its reference, and how many pixels they share.

    Memory grows with the number of polygons, not of pixels. Pixels that touch in a corner only are of two polygons.

    Attributes:
        shape: (rows, cols) of the map.
    """

    shape: tuple[int, int]
    _mapped: _Side = field(init=False)
    _reference: _Side = field(init=False)
    _pairs: list[Int64s] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._mapped, self._reference = _Side(self.shape), _Side(self.shape)

    @property
    def margin(self) -> int:
        """None is needed."""
        return 0

    def add(self, sight: Sight) -> None:
        """Look at one window."""
        has_map, has_reference = sight.mapped != IGNORE, sight.reference != IGNORE
        mapped = self._mapped.add(sight, sight.mapped, sight.inside & has_reference)
        reference = self._reference.add(sight, sight.reference, sight.inside & has_map)
        same = sight.inside & has_map & (sight.mapped == sight.reference)
        if same.any():
            self._pairs.append(_overlaps(mapped[same], reference[same]))

    def finish(self) -> tuple[Objects, Objects, Int64s]:
        """Polygons of the map, of the reference, and (3, n) pairs of one class: map, reference, shared pixels."""
        mapped, final = self._mapped.finish()
        reference, other = self._reference.finish()
        pairs = np.concatenate([np.empty((3, 0), np.int64), *self._pairs], axis=1)
        keys = final[pairs[0]] * max(len(reference.classes), 1) + other[pairs[1]]
        unique, place = np.unique(keys, return_inverse=True)
        shared = np.bincount(place, weights=pairs[2], minlength=len(unique)).astype(np.int64)
        return mapped, reference, np.stack([*np.divmod(unique, max(len(reference.classes), 1)), shared])


def _overlaps(one: Int64s, other: Int64s) -> Int64s:
    """(3, n) pairs of numbers that occur at the same places, and at how many."""
    # Along a row most pairs are that of the pixel before: runs are few, and only they are sorted.
    starts = np.flatnonzero(np.concatenate([[True], (one[1:] != one[:-1]) | (other[1:] != other[:-1])]))
    lengths = np.diff(np.append(starts, len(one)))
    base, factor = int(other.min()), int(other.max() - other.min()) + 1
    keys, place = np.unique(one[starts] * factor + (other[starts] - base), return_inverse=True)
    shared = np.bincount(place, weights=lengths, minlength=len(keys)).astype(np.int64)
    return np.stack([keys // factor, keys % factor + base, shared])


def polygon_scores(tallies: list[ObjectTally], legend: Legend, least: Sequence[float]) -> PolygonScores:
    """Match the polygons of one or several scenes, and score them.

    IoU is of the pixels that count. Left out are polygons of fewer pixels than `least` of the scene and those that the
    edge cuts; of the rest, those of which half or more do not count, unless they have a partner.
    """
    rows: list[npt.NDArray[np.float64]] = [np.zeros((len(legend), _COLUMNS))]
    excluded = np.zeros(2, np.int64)
    for tally, min_pixels in zip(tallies, least, strict=True):
        sums, left_out = _scene(*tally.finish(), len(legend), min_pixels)
        rows.append(sums)
        excluded += left_out
    total = np.sum(rows, axis=0)
    classes = tuple(_score(item.name, row) for item, row in zip(legend, total, strict=True))
    return PolygonScores(least[0], int(excluded[0]), int(excluded[1]), _score("all", total.sum(0)), classes)


# Sums per class: reference and mapped polygons, matched, their IoU, over- and under-segmentation and how many, areas.
_COLUMNS = 9


def _scene(
    mapped: Objects, reference: Objects, pairs: Int64s, classes: int, min_pixels: float
) -> tuple[npt.NDArray[np.float64], Int64s]:
    sizeable = [~side.cut & (side.pixels >= max(min_pixels, 1)) for side in (mapped, reference)]
    one, other, shared = pairs[:, sizeable[0][pairs[0]] & sizeable[1][pairs[1]]]
    iou = shared / np.maximum(mapped.counted[one] + reference.counted[other] - shared, 1)
    best = np.flatnonzero(iou > HALF)
    used = []
    for side, keep, partners in ((mapped, sizeable[0], one[best]), (reference, sizeable[1], other[best])):
        seen = keep & (side.counted * 2 > side.pixels)
        seen[partners] = True
        used.append(seen)
    kinds = mapped.classes, reference.classes
    sums = np.zeros((classes, _COLUMNS))
    sums[:, 0] = np.bincount(kinds[1][used[1]], minlength=classes)
    sums[:, 1] = np.bincount(kinds[0][used[0]], minlength=classes)
    sums[:, 2] = np.bincount(kinds[0][one[best]], minlength=classes)
    sums[:, 3] = np.bincount(kinds[0][one[best]], weights=iou[best], minlength=classes)
    largest = _largest(other, shared, mapped.counted[one], used[1])
    sums[:, 4] = _sum(kinds[1][other[largest]], 1 - shared[largest] / reference.counted[other[largest]], classes)
    sums[:, 5] = _sum(kinds[1][other[largest]], 1 - shared[largest] / mapped.counted[one[largest]], classes)
    sums[:, 6] = np.bincount(kinds[1][other[largest]], minlength=classes)
    sums[:, 7] = _sum(kinds[1][used[1]], reference.counted[used[1]], classes)
    sums[:, 8] = _sum(kinds[0][used[0]], mapped.counted[used[0]], classes)
    return sums, np.array([(~used[1]).sum(), (~used[0]).sum()])


def _largest(other: Int64s, shared: Int64s, mapped: Int64s, used: npt.NDArray[np.bool_]) -> Int64s:
    """Places of the pair with the largest overlap of each reference polygon that is used; of equals the tighter one."""
    order = np.lexsort((mapped, -shared))
    order = order[used[other[order]]]
    return np.asarray(order[np.unique(other[order], return_index=True)[1]])


def _sum(kinds: Int64s, values: Any, classes: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.bincount(kinds, weights=values, minlength=classes), float)


def _score(name: str, sums: npt.NDArray[np.float64]) -> PolygonScore:
    reference, mapped, matched, iou, over, under, overlapped, area, mapped_area = (float(value) for value in sums)
    return PolygonScore(
        name=name,
        reference=int(reference),
        mapped=int(mapped),
        matched=int(matched),
        precision=_over(matched, mapped),
        recall=_over(matched, reference),
        f1=_over(2 * matched, mapped + reference),
        panoptic_quality=_over(2 * iou, mapped + reference),
        matched_iou=_over(iou, matched),
        over_segmentation=_over(over, overlapped),
        under_segmentation=_over(under, overlapped),
        area_bias=None if area == 0 else mapped_area / area - 1,
    )


def _over(above: float, below: float) -> float | None:
    return above / below if below else None
