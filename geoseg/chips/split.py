"""Training, validation and test, or folds: spatial blocks of a scene with a gap between them, or whole scenes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoseg.errors import ChipError, OptionError
from geoseg.grid import offsets

SPLITS = ("train", "val", "test")
FEW = 6
"""Up to this many units with a class, chance alone would often leave a split without it."""

Windows = npt.NDArray[np.int64]
"""Windows of chips (n, 5): number of the split, row, col, height, width."""


class Division(Protocol):
    """Into what the labels are divided."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the parts are called."""

    @property
    def values(self) -> tuple[float, ...]:
        """Their shares, which sum to 1."""

    @property
    def order(self) -> tuple[int, ...]:
        """Which part comes first where all lack alike."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the labels each split gets; the three sum to 1."""

    train: float = 0.7
    val: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        values = self.values
        if any(not 0 <= value <= 1 for value in values) or not math.isclose(sum(values), 1, abs_tol=1e-6):
            raise OptionError(f"split shares are {', '.join(map(str, values))}; they must be 0 to 1 and sum to 1")
        if self.train == 0:
            raise OptionError("the training share is 0; leave something to learn from")

    @classmethod
    def of(cls, values: Sequence[float]) -> Shares:
        """Shares from three numbers in the order of `SPLITS`."""
        if len(values) != len(SPLITS):
            raise OptionError(f"split has {len(values)} shares; it needs three, of training, validation and test")
        return cls(*values)

    @property
    def names(self) -> tuple[str, ...]:
        """`SPLITS`."""
        return SPLITS

    @property
    def values(self) -> tuple[float, float, float]:
        """Shares in the order of `SPLITS`."""
        return self.train, self.val, self.test

    @property
    def order(self) -> tuple[int, ...]:
        """Training before test before validation."""
        return 0, 2, 1


MOST_FOLDS = 1000
"""More than anybody trains a model for."""


@dataclass(frozen=True, slots=True)
class Folds:
    """Equal parts, each of which is held out once."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 2:
            raise OptionError(f"folds is {self.count}; it takes 2 or more to hold one out")
        if self.count > MOST_FOLDS:
            raise OptionError(f"folds is {self.count}; it must be {MOST_FOLDS} or less")

    @property
    def names(self) -> tuple[str, ...]:
        """Names that count the folds from 0."""
        return tuple(f"fold_{number}" for number in self.order)

    @property
    def values(self) -> tuple[float, ...]:
        """The same share for each."""
        return (1 / self.count,) * self.count

    @property
    def order(self) -> tuple[int, ...]:
        """As they are counted."""
        return tuple(range(self.count))


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """A scene cut into rows and columns of blocks, each at least `size` pixels wide unless the scene is smaller."""

    height: int
    width: int
    size: int

    @property
    def row_edges(self) -> npt.NDArray[np.int64]:
        """First row of each row of blocks, and the scene's height."""
        return _edges(self.height, self.size)

    @property
    def col_edges(self) -> npt.NDArray[np.int64]:
        """First column of each column of blocks, and the scene's width."""
        return _edges(self.width, self.size)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return len(self.row_edges) - 1, len(self.col_edges) - 1


def _edges(length: int, size: int) -> npt.NDArray[np.int64]:
    parts = max(1, length // size)
    return np.linspace(0, length, parts + 1).astype(np.int64)


def assign(
    counts: npt.NDArray[np.int64], shares: Division, seed: int | list[int], name: str = "labels"
) -> npt.NDArray[np.int64]:
    """Give units (blocks or scenes) to splits, so that each split has each class in about its share.

    Greedy stratification, rarest class first (after Sechidis et al. 2011, On the stratification of multi-label data):
    a unit goes to the split that is furthest below its share of the class.

    Args:
        counts: labelled pixels (units, classes).
        shares: the share of each split or fold.
        seed: order of units that are otherwise equal.
        name: what to call the labels in the error.

    Returns:
        Index into the names of the shares per unit; unlabelled units go to the first, training.

    Raises:
        ChipError: fewer labelled units than splits that want any.
    """
    labelled = np.flatnonzero(counts.sum(1))
    wanted = [split for split in shares.order if shares.values[split] > 0]
    if len(labelled) < len(wanted):
        where = "one block" if len(labelled) == 1 else f"only {len(labelled)} blocks"
        raise ChipError(
            f"{name}: labels lie in {where}, too few for {len(wanted)} splits with a gap between them; "
            "label more places, use smaller chips or a smaller --block-size, or give one split everything"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(labelled)
    splits = np.zeros(len(counts), np.int64)
    free = set(order.tolist())
    target = np.outer(shares.values, counts.sum(0)).astype(float)
    given = np.zeros_like(target)
    for unit, rare in _rarest_first(counts, order):
        if unit not in free:
            continue
        free.discard(unit)
        split = _neediest(wanted, given, target, rare)
        splits[unit] = split
        given[split] += counts[unit]
    _fill_empty(splits, labelled, wanted, counts)
    return splits


def _rarest_first(counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of unit and class: classes by the number of units that have them, units in random order.

    Only where a class is in few units do those with most of it come first, so that training is not left without.
    Elsewhere that would hand the purest, easiest ground to validation and test.
    """
    present = (counts > 0).sum(0)
    for rare in np.argsort(present, kind="stable"):
        units = [int(unit) for unit in order if counts[unit, rare] > 0]
        if len(units) <= FEW:
            units.sort(key=lambda unit: -counts[unit, rare])
        yield from ((unit, int(rare)) for unit in units)


def _neediest(wanted: list[int], given: npt.NDArray[np.float64], target: npt.NDArray[np.float64], rare: int) -> int:
    """The split furthest below its share of the class; the first of `wanted` where all lack alike."""
    return max(wanted, key=lambda split: 1 - given[split, rare] / target[split, rare])


def _fill_empty(
    splits: npt.NDArray[np.int64], labelled: npt.NDArray[np.int64], wanted: list[int], counts: npt.NDArray[np.int64]
) -> None:
    """No split that wants labels stays without a unit; it takes the smallest of the split with the most units."""
    for split in wanted:
        if not (splits[labelled] == split).any():
            donor = np.bincount(splits[labelled]).argmax()
            candidates = labelled[splits[labelled] == donor]
            splits[candidates[counts[candidates].sum(1).argmin()]] = split


def chip_windows(layout: BlockLayout, splits: npt.NDArray[np.int64], *, chip: int, overlap: int, gap: int) -> Windows:
    """Windows of chips that each lie in one split, at least `gap` pixels from every window of another.

    Chips cross from a block into the next of the same split; where the next is another's, half of the gap is left on
    either side.

    Args:
        layout: the blocks.
        splits: number of the split (rows, cols) per block.
        chip: side of a chip in pixels; chips are smaller only where the scene is.
        overlap: pixels that neighbouring chips of one split share.
        gap: pixels between chips of different splits.

    Returns:
        Windows (n, 5: split, row, col, height, width) in pixels, from block row to block row.
    """
    before, after, stride = gap // 2, gap - gap // 2, max(1, chip - overlap)
    rows, cols = layout.row_edges, layout.col_edges
    found: list[Windows] = []
    for i in range(len(rows) - 1):
        split, left, width = np.array(list(_columns(cols, splits[i], chip, stride, before, after))).T
        near = _touched(cols, left - gap, left + width + gap)
        tops, bottoms = np.full(len(left), rows[i]), np.full(len(left), rows[i + 1])
        if i > 0:
            tops += before * _any_other(splits[i - 1], *near, split)
        if i < len(rows) - 2:
            bottoms -= after * _any_other(splits[i + 1], *near, split)
        reaches = list(zip(tops.tolist(), bottoms.tolist(), strict=True))
        piles = {reach: _pile(*reach, chip, stride) for reach in set(reaches)}
        number = np.repeat(np.arange(len(left)), [len(piles[reach]) for reach in reaches])
        pile = np.concatenate([piles[reach] for reach in reaches])
        found.append(np.column_stack([split[number], pile[:, 0], left[number], pile[:, 1], width[number]]))
    return np.concatenate(found)


def _columns(
    edges: npt.NDArray[np.int64], splits: npt.NDArray[np.int64], chip: int, stride: int, before: int, after: int
) -> Iterator[tuple[int, int, int]]:
    """Split, left and width of the columns of chips in a row of blocks."""
    for start, stop in _runs(splits):
        left = int(edges[start]) + before * (start > 0)
        right = int(edges[stop]) - after * (stop < len(splits))
        width = min(chip, right - left)
        yield from ((int(splits[start]), left + offset, width) for offset in offsets(right - left, width, stride))


def _pile(top: int, bottom: int, chip: int, stride: int) -> npt.NDArray[np.int64]:
    """Rows and heights (n, 2) of chips that lie under each other from `top` to `bottom`."""
    height = min(chip, bottom - top)
    return np.array([(top + offset, height) for offset in offsets(bottom - top, height, stride)])


def _runs(row: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
    yield from itertools.pairwise(edges)


def _touched(
    edges: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First of the blocks that the pixels from a start to a stop touch, and the one after the last, of each pair."""
    first = np.searchsorted(edges, starts, side="right") - 1
    last = np.searchsorted(edges, stops, side="left")
    return first.clip(0), last.clip(max=len(edges) - 1)


def _any_other(
    splits: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    split: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Whether any of `splits[first:last]` is another than `split`, for each of `first`, `last` and `split`."""
    number = np.arange(max(splits.max(), split.max()) + 1)
    sums = np.pad((splits[:, None] == number).cumsum(0), ((1, 0), (0, 0)))
    return np.asarray(sums[last, split] - sums[first, split] < last - first)
