"""The ground that the chips of one split cover together, and windows of it at random."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from geoseg.chips.index import ChipRow

Slices = tuple[slice, slice]
"""Rows and columns."""

Span = tuple[int, int, int, int]
"""First row and the row after the last, first column and the column after the last."""

TRIES = 12
"""Places tried for a window before the chip itself is taken."""


class Ground:
    """Where chips lie.

    A window counts as covered when chips of the split hold all of its pixels: what lies between the splits, and what is
    validation or test, is never part of one.
    """

    def __init__(self, chips: Sequence[ChipRow]) -> None:
        """Take the chips of one split."""
        self._chips = chips
        self._side = max((max(chip.height, chip.width) for chip in chips), default=1)
        self._near: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for number, chip in enumerate(chips):
            for cell in self._cells(chip):
                self._near[cell].append(number)

    def cover(self, window: ChipRow) -> list[int] | None:
        """Numbers of chips that together hold all pixels of a window, those with most of it first; None without."""
        near = {number for cell in self._cells(window) for number in self._near.get(cell, ())}
        parts = sorted((-_area(_overlap(window, self._chips[number])), number) for number in near)
        missing = np.ones((window.height, window.width), bool)
        taken = []
        for area, number in parts:
            place = _inside(_overlap(window, self._chips[number]), window)
            if area and missing[place].any():
                missing[place] = False
                taken.append(number)
                if not missing.any():
                    return taken
        return None

    def window(self, number: int, row: int, col: int, rng: np.random.Generator, *, centred: bool) -> ChipRow:
        """A covered window with the size of a chip at a random place.

        Args:
            number: of the chip.
            row, col: of a pixel of the chip, in pixels of its scene, that the window shows.
            rng: source of chance.
            centred: show the pixel in the middle, give or take a quarter of the window, where that is covered.
        """
        chip = self._chips[number]
        for attempt in range(TRIES):
            low, high = (0.25, 0.75) if centred and attempt < TRIES // 2 else (0.0, 1.0)
            up, left = (
                int(length * (low + (high - low) * chance))
                for length, chance in zip((chip.height, chip.width), rng.random(2), strict=True)
            )
            window = chip._replace(row=row - up, col=col - left)
            if self.cover(window) is not None:
                return window
        return chip

    def pieces(self, window: ChipRow) -> list[tuple[int, Slices, Slices]]:
        """Chips that make up a covered window: number of each, place of its part in the chip, and in the window."""
        found = []
        for number in reversed(self.cover(window) or []):
            chip = self._chips[number]
            part = _overlap(window, chip)
            found.append((number, _inside(part, chip), _inside(part, window)))
        return found

    def _cells(self, window: ChipRow) -> list[tuple[int, int, int]]:
        side = self._side
        rows = range(window.row // side, (window.row + window.height - 1) // side + 1)
        cols = range(window.col // side, (window.col + window.width - 1) // side + 1)
        return [(window.scene, row, col) for row, col in itertools.product(rows, cols)]


def _overlap(one: ChipRow, other: ChipRow) -> Span:
    top, left = max(one.row, other.row), max(one.col, other.col)
    bottom = max(top, min(one.row + one.height, other.row + other.height))
    return top, bottom, left, max(left, min(one.col + one.width, other.col + other.width))


def _area(span: Span) -> int:
    top, bottom, left, right = span
    return (bottom - top) * (right - left)


def _inside(span: Span, window: ChipRow) -> Slices:
    """The place of a span of the scene in a window."""
    top, bottom, left, right = span
    return slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col)
