"""Whether a map is right as often as it is sure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.assessment.scores import Bin, Calibration
from geoseg.assessment.sight import Sight
from geoseg.legend import IGNORE
from geoseg.reliability import Reliability
from geoseg.shares import Shares

_LEAST = 1e-12
"""A probability of 0 for the true class counts as this much, or as half a step of stored bytes."""


@dataclass(slots=True, eq=False)
class CalibrationTally:
    """Counts how often a map is right at which confidence.

    With probabilities, confidence is that of the mapped class (the largest, but where a map was smoothed).

    Attributes:
        shares: one band of confidence, or a band of probability per class.
        classes: K.
        of_classes: True for probabilities.
        bins: of the reliability diagram.
        top: reliability of the mapped class.
        each: reliability of each class's probability.
        squares, logs: sums of squared errors and of -ln p of the true class.
    """

    shares: Shares
    classes: int
    of_classes: bool
    bins: int = 15
    top: Reliability = field(init=False)
    each: list[Reliability] = field(init=False)
    squares: float = 0.0
    logs: float = 0.0

    def __post_init__(self) -> None:
        self.top = Reliability.empty(self.bins)
        self.each = [Reliability.empty(self.bins) for _ in range(self.classes if self.of_classes else 0)]

    @property
    def margin(self) -> int:
        """None is needed."""
        return 0

    def add(self, sight: Sight) -> None:
        """Count one window."""
        height, width = sight.grid.shape
        values = self.shares.read(Window(sight.col, sight.row, width, height))
        known = sight.inside & (sight.mapped != IGNORE) & (sight.reference != IGNORE) & np.isfinite(values).all(0)
        mapped, reference = sight.mapped[known], sight.reference[known]
        if not mapped.size:
            return
        flat = np.clip(values[:, known], 0, 1)
        right = mapped == reference
        if not self.of_classes:
            self.top += Reliability.of(flat[0], right, self.bins)
            self.squares += float(((flat[0] - right) ** 2).sum(dtype=np.float64))
            return
        place = np.arange(mapped.size)
        self.top += Reliability.of(flat[mapped, place], right, self.bins)
        truth = flat[reference, place].astype(np.float64)
        self.squares += float((flat**2).sum(dtype=np.float64) - 2 * truth.sum() + mapped.size)
        self.logs -= float(np.log(np.maximum(truth, max(self.shares.step / 2, _LEAST))).sum())
        for index in range(self.classes):
            self.each[index] += Reliability.of(flat[index], reference == index, self.bins)


def calibration(tallies: list[CalibrationTally]) -> Calibration:
    """What the counts of one or several scenes say."""
    top = sum((one.top for one in tallies[1:]), start=tallies[0].top)
    each = [sum(parts[1:], start=parts[0]) for parts in zip(*(one.each for one in tallies), strict=True)]
    pixels, with_classes = top.pixels, tallies[0].of_classes
    squares, logs = sum(one.squares for one in tallies), sum(one.logs for one in tallies)
    return Calibration(
        source=", ".join(str(one.shares.path) for one in tallies),
        pixels=pixels,
        ece=_score(top.expected_error),
        mce=_score(top.largest_error),
        brier=squares / pixels if pixels else None,
        of_classes=with_classes,
        log_loss=logs / pixels if pixels and with_classes else None,
        class_ece=tuple(_score(one.expected_error) for one in each) if with_classes else None,
        bins=_bins(top),
    )


def _bins(top: Reliability) -> tuple[Bin, ...]:
    edges = np.linspace(0, 1, len(top.counts) + 1)
    return tuple(
        Bin(
            lower=float(lower),
            upper=float(upper),
            pixels=int(count),
            accuracy=float(correct / count) if count else None,
            confidence=float(confidence / count) if count else None,
        )
        for lower, upper, count, confidence, correct in zip(
            edges[:-1], edges[1:], top.counts, top.confidence, top.correct, strict=True
        )
    )


def _score(value: npt.NDArray[np.float64] | float) -> float | None:
    return None if np.isnan(value) else float(value)
