"""The ground that the chips of one split cover together, and windows of it at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geoseg.chips.index import ChipRow

Slices = tuple[slice, slice]
"""Rows and columns."""

KEPT_BYTES = 64_000_000
"""Memory for what is known of the surroundings of chips."""


class _Around(NamedTuple):
    """The surroundings of a chip.

    Attributes:
        numbers: of the chips (n,) that a window touches which touches the chip.
        spans: of these (n, 4): first row, first column, and the row and the column after the last.
        places: where windows of the chip's size may begin (2 height + 1, 2 width + 1), from one size above and left of
            the chip to one below and right of it, so that chips hold all of their pixels.
    """

    numbers: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    places: npt.NDArray[np.bool_]


class Ground:
    """Where the chips of a split lie.

    A window is of this ground when chips of the split hold all of its pixels: what lies between the splits, and what is
    validation or test, is never part of one.
    """

    def __init__(self, chips: Sequence[ChipRow]) -> None:
        """Take the chips of one split."""
        self._chips = chips
        size = max((max(chip.height, chip.width) for chip in chips), default=1)
        self._side = 2 * size
        self._near: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for number, chip in enumerate(chips):
            self._near[chip.scene, chip.row // self._side, chip.col // self._side].append(number)
        self._kept: dict[int, _Around] = {}
        self._room = KEPT_BYTES

    def window(self, number: int, row: int, col: int, rng: np.random.Generator, *, centred: bool) -> ChipRow:
        """A window of this ground with the size of a chip; all that show a pixel are as likely.

        Args:
            number: of the chip.
            row, col: of a pixel of the chip, in pixels of its scene, that the window shows.
            rng: source of chance.
            centred: show the pixel in the middle half, where there is such a window.
        """
        chip = self._chips[number]
        # Rows and columns of the pixel in `places`: a window that begins there has it as its first pixel.
        down, right = row - chip.row + chip.height, col - chip.col + chip.width
        edges = (chip.height // 4, chip.width // 4), (0, 0)
        for above, left in edges if centred else edges[1:]:
            top, side = down - chip.height + 1 + above, right - chip.width + 1 + left
            places = self._around(number).places[top : down + 1 - above, side : right + 1 - left]
            free = np.flatnonzero(places)
            if len(free):
                first, second = divmod(int(free[rng.integers(len(free))]), places.shape[1])
                begin = chip.row - chip.height + top + first, chip.col - chip.width + side + second
                return chip._replace(row=begin[0], col=begin[1])
        return chip

    def pieces(self, number: int, window: ChipRow) -> list[tuple[int, Slices, Slices]]:
        """Chips that make up a window drawn for a chip: number of each, place of its part in it, and in the window."""
        around = self._around(number)
        frame = np.array([window.row, window.col, window.row + window.height, window.col + window.width])
        parts = np.concatenate([np.maximum(around.spans, frame)[:, :2], np.minimum(around.spans, frame)[:, 2:]], axis=1)
        areas = (parts[:, 2:] - parts[:, :2]).clip(0).prod(1)
        missing = np.ones((window.height, window.width), bool)
        left, found = missing.size, []
        for place in np.argsort(-areas, kind="stable").tolist():
            part = parts[place].tolist()
            own = _inside(part, window.row, window.col)
            new = int(np.count_nonzero(missing[own]))
            if new:
                top, side = around.spans[place, :2].tolist()
                found.append((int(around.numbers[place]), _inside(part, top, side), own))
                missing[own] = False
                left -= new
            if not left:
                break
        return found

    def _around(self, number: int) -> _Around:
        if number in self._kept:
            return self._kept[number]
        around = self._look_around(number)
        size = sum(array.nbytes for array in around)
        if size <= self._room:
            self._room -= size
            self._kept[number] = around
        return around

    def _look_around(self, number: int) -> _Around:
        chip, side = self._chips[number], self._side
        cells = [
            (chip.scene, row, col)
            for row in range(chip.row // side - 1, chip.row // side + 2)
            for col in range(chip.col // side - 1, chip.col // side + 2)
        ]
        numbers = np.array(sorted(number for cell in cells for number in self._near.get(cell, ())), np.int64)
        windows = np.array([self._chips[other][4:] for other in numbers], np.int64)
        spans = np.concatenate([windows[:, :2], windows[:, :2] + windows[:, 2:]], axis=1)
        held = np.zeros((3 * chip.height, 3 * chip.width), bool)
        top, left = chip.row - chip.height, chip.col - chip.width
        moved = spans - [top, left, top, left]
        near = (moved[:, 2:] > 0).all(1) & (moved[:, :2] < held.shape).all(1)
        for part in moved[near].clip(0).tolist():
            held[_inside(part, 0, 0)] = True
        return _Around(numbers[near], spans[near], _all_held(_all_held(held, chip.height).T, chip.width).T)


def _all_held(held: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Where `length` rows are held from a row on (rows - length + 1, cols)."""
    until = np.zeros((len(held) + 1, held.shape[1]), np.int32)
    np.cumsum(held, axis=0, out=until[1:])
    return np.asarray(until[length:] - until[:-length] == length)


def _inside(span: list[int], row: int, col: int) -> Slices:
    """A span of the scene as seen from a row and a column."""
    top, left, bottom, right = span
    return slice(top - row, bottom - row), slice(left - col, right - col)
