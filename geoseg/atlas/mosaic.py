"""Where scenes overlap: one probability for each class at each pixel, made of those of the scenes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoseg import registry
from geoseg.errors import OptionError
from geoseg.prediction.engine import most_probable

Values = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

MODES = ("mean", "best", "first")

LEAST = 1e-3
"""Weight of a valid pixel at the edge of its scene, or sure to be cloud: it counts where there is nothing else."""


class Mosaic(Protocol):
    """Takes the scenes over a window one by one, in the order in which they count."""

    def add(self, probabilities: Values, valid: Flags, weights: Values) -> None:
        """Add a scene.

        Args:
            probabilities: (classes, rows, cols); may be kept and changed.
            valid: where the scene has data (rows, cols).
            weights: how much it counts (rows, cols), more than 0 where it is valid.
        """

    def result(self) -> tuple[Values, Flags]:
        """Probabilities (classes, rows, cols), 0 where no scene is valid, and where any is (rows, cols)."""


def open_mosaic(mode: str, classes: int, shape: tuple[int, int], clouds: tuple[int, ...] = ()) -> Mosaic:
    """An empty mosaic.

    Args:
        mode: "mean" for the weighted mean, "best" for the scene that is surest where it counts most, "first" for the
            first that is valid and no cloud.
        classes: how many.
        shape: rows and columns.
        clouds: classes that mean cloud; the other modes go by the weights, of which they take most (`clear`).

    Raises:
        OptionError: no such mode.
    """
    if mode not in MODES:
        raise OptionError(f"mosaic '{mode}' is unknown; {registry.suggestion(mode, MODES)}")
    kinds: dict[str, Callable[[Values, Flags], Mosaic]] = {
        "mean": _Mean,
        "best": _Best,
        "first": partial(_First, clouds),
    }
    return kinds[mode](np.zeros((classes, *shape), np.float32), np.zeros(shape, bool))


def feathered(valid: Flags, width: int) -> Values:
    """How much the pixels of a scene count: from 0 at its edge to 1 at `width` pixels from it.

    It is twice the share of valid pixels in the square of `width` pixels to each side, less one: 1 inside, 0 at a
    straight edge, and a dead pixel takes away next to nothing. Counted in whole numbers, so it is the same however a
    scene is cut into windows.

    Args:
        valid: (rows + 2 width, cols + 2 width).
        width: in pixels.

    Returns:
        (rows, cols), at least `LEAST`.
    """
    shape = (valid.shape[0] - 2 * width, valid.shape[1] - 2 * width)
    if width == 0:
        return np.ones(shape, np.float32)
    sums = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int32)
    sums[1:, 1:] = valid.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    side = 2 * width + 1
    counts = sums[side:, side:] - sums[side:, :-side] - sums[:-side, side:] + sums[:-side, :-side]
    share = counts.astype(np.float32) * np.float32(2 / side**2) - 1
    return np.asarray(np.maximum(share, np.float32(LEAST)))


def clear(probabilities: Values, clouds: tuple[int, ...]) -> Values:
    """How likely pixels are none of the classes that mean cloud (rows, cols), at least `LEAST`."""
    return np.asarray(np.maximum(1 - probabilities[list(clouds)].sum(0), np.float32(LEAST)))


class _First:
    def __init__(self, clouds: tuple[int, ...], found: Values, valid: Flags) -> None:
        self._clouds, self._found, self._valid = clouds, found, valid
        self._cloudy = np.zeros(valid.shape, bool)

    def add(self, probabilities: Values, valid: Flags, weights: Values) -> None:
        fresh = valid & ~self._valid
        if self._clouds:
            cloudy = np.isin(most_probable(probabilities), self._clouds)
            fresh |= valid & self._cloudy & ~cloudy
            np.copyto(self._cloudy, cloudy, where=fresh)
        np.copyto(self._found, probabilities, where=fresh)
        self._valid |= fresh

    def result(self) -> tuple[Values, Flags]:
        return self._found, self._valid


class _Best:
    def __init__(self, found: Values, valid: Flags) -> None:
        self._found, self._valid = found, valid
        self._score = np.zeros(valid.shape, np.float32)

    def add(self, probabilities: Values, valid: Flags, weights: Values) -> None:
        score = probabilities.max(0) * weights
        better = valid & (score > self._score)
        np.copyto(self._found, probabilities, where=better)
        np.copyto(self._score, score, where=better)
        self._valid |= valid

    def result(self) -> tuple[Values, Flags]:
        return self._found, self._valid


class _Mean:
    def __init__(self, found: Values, valid: Flags) -> None:
        self._sum, self._valid = found, valid
        self._alone: Values | None = None
        self._weight = np.zeros(valid.shape, np.float32)
        self._count = np.zeros(valid.shape, np.uint16)

    def add(self, probabilities: Values, valid: Flags, weights: Values) -> None:
        # Where one scene counts its probabilities stay as they are, whatever others there are around: multiplied and
        # divided by a weight they would round, and a map would depend on where its region ends.
        if self._alone is None:
            self._alone = np.zeros_like(self._sum)
        np.copyto(self._alone, probabilities, where=valid)
        share = np.where(valid, weights, np.float32(0))
        self._sum += probabilities * share
        self._weight += share
        self._count += valid
        self._valid |= valid

    def result(self) -> tuple[Values, Flags]:
        if self._alone is None:
            return self._sum, self._valid
        if (self._count <= 1).all():
            return self._alone, self._valid
        mean = self._sum / np.maximum(self._weight, np.float32(1e-30))
        return np.where(self._count > 1, mean, self._alone), self._valid
