"""Which of two maps is better, and whether that is more than chance.

Sources: Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
Psychometrika 12 (1947); G. M. Foody, Thematic map comparison, Photogrammetric Engineering & Remote Sensing 70 (2004).
The test takes its pairs to be independent, and neighbouring pixels are not: only pixels of a lattice are used, so wide
that the difference between the maps is no longer alike from one to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from geoseg.assessment.matching import MatchedMap
from geoseg.assessment.results import McNemar
from geoseg.assessment.sight import Sight
from geoseg.errors import OptionError
from geoseg.legend import IGNORE

SPACINGS = tuple(2**power for power in range(9))
"""Pixels between the pairs that are tried; all are counted at once."""

ALIKE = 0.1
"""Correlation of the difference between two maps below which pixels are taken as independent."""

FEW = 25
"""With fewer pixels on which the maps differ, the binomial test is exact and cheap."""


def mcnemar(only_first: int, only_second: int) -> tuple[float | None, float | None]:
    """Statistic and two-sided p-value of McNemar's test.

    With `FEW` discordant pairs or more, chi-square of one degree of freedom with Edwards' continuity correction,
    (|b - c| - 1)^2 / (b + c); with fewer the exact binomial test, which has no statistic.

    Args:
        only_first, only_second: b and c, pairs that only the one or only the other has right.

    >>> mcnemar(5, 15)[1]
    0.0413...
    """
    discordant = only_first + only_second
    if discordant == 0:
        return None, None
    if discordant < FEW:
        tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
        return None, min(1.0, 2 * tail / 2**discordant)
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / discordant
    return statistic, math.erfc(math.sqrt(statistic / 2))


@dataclass(slots=True, eq=False)
class PairTally:
    """Counts which of two maps is right, at the pixels of lattices of all `SPACINGS`.

    Attributes:
        other: the second map, in the classes of the first.
        spacing: pixels between pairs, None to find out.
    """

    other: MatchedMap
    spacing: int | None = None
    _counts: npt.NDArray[np.int64] = field(init=False)
    _products: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        if self.spacing is not None and self.spacing < 1:
            raise OptionError(f"a spacing of {self.spacing} pixels cannot be; it must be 1 or more")
        self._counts = np.zeros((len(self._spacings), 2, 2), np.int64)
        self._products = np.zeros((len(self._spacings), 2))

    @property
    def margin(self) -> int:
        """None is needed: of pairs of pixels those that lie in one window are enough."""
        return 0

    @property
    def _spacings(self) -> tuple[int, ...]:
        return SPACINGS if self.spacing is None else (self.spacing,)

    def add(self, sight: Sight) -> None:
        """Count one window."""
        second = self.other.read_on(sight.grid)
        known = sight.inside & (sight.reference != IGNORE) & (sight.mapped != IGNORE) & (second != IGNORE)
        if not known.any():
            return
        right = sight.mapped == sight.reference, second == sight.reference
        codes = np.where(known, right[0] * np.uint8(2) + right[1], np.uint8(IGNORE))
        difference = np.where(known, right[0].astype(np.int8) - right[1], np.int8(0))
        for place, step in enumerate(self._spacings):
            first_row, first_col = (step // 2 - sight.row) % step, (step // 2 - sight.col) % step
            picked = codes[first_row::step, first_col::step]
            self._counts[place] += np.bincount(picked[picked != IGNORE], minlength=4)[:4].reshape(2, 2)
            if self.spacing is None:
                self._products[place] += _products(difference, known, step)

    def result(self, first: str, second: str) -> McNemar:
        """What the counts say of two maps of these names."""
        place = 0 if self.spacing is not None else self._independent()
        (neither, only_second), (only_first, both) = self._counts[place].tolist()
        statistic, p_value = mcnemar(only_first, only_second)
        correlation = None if self.spacing is not None else self._correlations()[place]
        return McNemar(
            first=first,
            second=second,
            pixels=neither + only_second + only_first + both,
            both_right=both,
            only_first=only_first,
            only_second=only_second,
            both_wrong=neither,
            statistic=statistic,
            p_value=p_value,
            spacing=self._spacings[place],
            correlation=correlation,
        )

    def _correlations(self) -> list[float | None]:
        """Of the difference between the maps, at each spacing; None where it cannot be told."""
        (_, only_second), (only_first, _) = self._counts[0].tolist()
        pixels = int(self._counts[0].sum())
        mean = (only_first - only_second) / pixels if pixels else 0.0
        variance = (only_first + only_second) / pixels - mean**2 if pixels else 0.0
        return [
            (total / pairs - mean**2) / variance if pairs and variance > 0 else None for total, pairs in self._products
        ]

    def _independent(self) -> int:
        """The place of the least spacing at which the difference is no longer alike, else of the largest with pairs."""
        known = [place for place, value in enumerate(self._correlations()) if value is not None]
        return next((place for place in known if self._correlations()[place] < ALIKE), known[-1] if known else 0)  # type: ignore[operator]


def _products(difference: npt.NDArray[np.int8], known: npt.NDArray[np.bool_], step: int) -> tuple[float, float]:
    """Sum of the products of differences `step` pixels apart, along rows and columns, and how many there are."""
    total = pairs = 0
    for one, two in (((slice(None, -step),), (slice(step, None),)),
                     ((slice(None), slice(None, -step)), (slice(None), slice(step, None)))):  # fmt: skip
        total += int((difference[one] * difference[two]).sum(dtype=np.int64))
        pairs += int((known[one] & known[two]).sum())
    return float(total), float(pairs)
