"""Fade windows into each other where they meet, holding no more than the seams.

Each window is given full weight inside and a Hann cross-fade over its borders with its neighbours; further out in its
margin, where it knows least, it has none. The fades of two neighbours sum to one at every pixel, so nothing is divided,
and at the edges of the scene, where no neighbour is, there is no fade.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axis:
    """Windows along the rows or the columns of a scene.

    Attributes:
        edges: where the cores begin, and where the last ends, in pixels.
        halves: half of the fade's width at each edge, in pixels; none at the first and last.
    """

    edges: tuple[int, ...]
    halves: tuple[int, ...]

    @classmethod
    def of(cls, length: int, core: int, fade: int) -> Axis:
        """Cores of `core` pixels over `length`, the last as long as is left; fades of at most `fade` pixels."""
        edges = (*range(0, length, core), length)
        lengths = [after - before for before, after in itertools.pairwise(edges)]
        # Fades at both sides of a core must not meet.
        inner = [min(fade, *pair) // 2 for pair in itertools.pairwise(lengths)]
        return cls(edges, (0, *inner, 0))

    def __len__(self) -> int:
        return len(self.edges) - 1

    def extent(self, number: int) -> slice:
        """The pixels that a window has any weight in."""
        return slice(self.edges[number] - self.halves[number], self.edges[number + 1] + self.halves[number + 1])

    def complete(self, number: int) -> slice:
        """The pixels that no later window adds to, and an earlier did not complete."""
        return slice(self.edges[number] - self.halves[number], self.edges[number + 1] - self.halves[number + 1])

    def weights(self, number: int) -> Values:
        """Weight of each pixel of a window's extent, from 0 to 1."""
        extent = self.extent(number)
        weights = np.ones(extent.stop - extent.start, np.float32)
        before, after = 2 * self.halves[number], 2 * self.halves[number + 1]
        weights[:before] = _rise(before)
        weights[len(weights) - after :] = _rise(after)[::-1]
        return weights


def _rise(width: int) -> Values:
    """The rising half of a Hann window; it and its reverse sum to one."""
    return np.asarray(np.sin(np.pi * (np.arange(width) + 0.5) / (2 * max(width, 1))) ** 2, np.float32)


class Blender:
    """Adds up the weighted probabilities of windows that come row by row from the upper left.

    It keeps the fades to the right of the last window and below the current row, never a whole row of windows.
    """

    def __init__(self, rows: Axis, cols: Axis, classes: int, first_row: int = 0) -> None:
        """Begin at a row of windows; what it shares with the one before is then not all there."""
        self._rows, self._cols, self._classes = rows, cols, classes
        self._right = self._fresh(0, 0)
        self._above = self._below = self._fresh(2 * rows.halves[first_row], cols.edges[-1])

    def add(self, row: int, col: int, probabilities: Values) -> Values:
        """Add a window.

        Args:
            row, col: which window.
            probabilities: (classes, rows, cols) over its extent; taken over, and changed.

        Returns:
            The part that is complete now, (classes, rows, cols) over `complete(row)` and `complete(col)`.
        """
        if col == 0:
            width = self._cols.edges[-1]
            self._above, self._below = self._below, self._fresh(2 * self._rows.halves[row + 1], width)
        before, after = 2 * self._cols.halves[col], 2 * self._cols.halves[col + 1]
        above, below = 2 * self._rows.halves[row], 2 * self._rows.halves[row + 1]
        if before or after or above or below:
            probabilities *= self._rows.weights(row)[:, None] * self._cols.weights(col)
        if before:
            probabilities[:, :, :before] += self._right
        cut = probabilities.shape[2] - after
        self._right = probabilities[:, :, cut:].copy()
        span, done = self._cols.complete(col), probabilities[:, :, :cut]
        done[:, :above] += self._above[:, :, span]
        bottom = done.shape[1] - below
        self._below[:, :, span] = done[:, bottom:]
        return done[:, :bottom]

    def _fresh(self, height: int, width: int) -> Values:
        return np.zeros((self._classes, height, width), np.float32)
