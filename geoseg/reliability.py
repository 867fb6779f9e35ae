"""How far a network's confidence can be believed, and the expected calibration error that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 15
_ROUNDING = 1e-7

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Pixels in equal bins of confidence, the first from 0 to 1/bins, each with its upper edge.

    Those of disjoint pixels add up, so a whole scene can be gone through piece by piece.

    Attributes:
        counts: (bins,) pixels.
        confidence: (bins,) sum of their confidence.
        correct: (bins,) how many of them were classified rightly.
    """

    counts: npt.NDArray[np.int64]
    confidence: Values
    correct: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, bins: int = BINS) -> Reliability:
        """No pixel yet."""
        return cls(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64))

    @classmethod
    def of(cls, confidence: npt.NDArray[Any], correct: npt.NDArray[np.bool_], bins: int = BINS) -> Reliability:
        """Count pixels.

        Args:
            confidence: probability of the predicted class, 0 to 1, of any shape.
            correct: whether that class is the right one, of the same shape.
            bins: number of bins.
        """
        values, right = np.asarray(confidence, float).ravel(), correct.ravel()
        # A confidence of 0.4 in single precision lies a little above 0.4, and belongs below the edge all the same.
        place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1] + _ROUNDING, values, side="left")
        return cls(
            np.bincount(place, minlength=bins),
            np.asarray(np.bincount(place, weights=values, minlength=bins), float),
            np.bincount(place[right], minlength=bins),
        )

    def __add__(self, other: Reliability) -> Reliability:
        """Both sets of pixels taken together."""
        return Reliability(self.counts + other.counts, self.confidence + other.confidence, self.correct + other.correct)

    @property
    def pixels(self) -> int:
        """Pixels in all."""
        return int(self.counts.sum())

    @property
    def gaps(self) -> Values:
        """Share of right pixels less mean confidence (bins,), NaN in an empty bin; below 0 is overconfident."""
        gaps: Values = np.divide(
            self.correct - self.confidence, self.counts, out=np.full(len(self.counts), np.nan), where=self.counts > 0
        )
        return gaps

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap over all pixels (Guo et al. 2017, arXiv:1706.04599); NaN of none."""
        if not self.pixels:
            return float("nan")
        return float(np.abs(self.correct - self.confidence).sum() / self.pixels)

    @property
    def largest_error(self) -> float:
        """Maximum calibration error: the largest gap of any bin; NaN of no pixels."""
        return float(np.nanmax(np.abs(self.gaps))) if self.pixels else float("nan")
