"""What a sample says of a map: frozen plain values, in the order in which they are told."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.assessment.scores import Score
from geoseg.assessment.stratified import CONFIDENT


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % confidence interval: `value` +- `half_width`.

    Attributes:
        value: the estimate; None where it does not exist.
        standard_error: its square-rooted variance; None where a stratum has fewer than two samples.
    """

    value: Score
    standard_error: Score

    @property
    def half_width(self) -> Score:
        """`CONFIDENT` standard errors."""
        return None if self.standard_error is None else CONFIDENT * self.standard_error

    @property
    def low(self) -> Score:
        """Where the interval begins."""
        return None if self.value is None or self.half_width is None else self.value - self.half_width

    @property
    def high(self) -> Score:
        """Where it ends."""
        return None if self.value is None or self.half_width is None else self.value + self.half_width


@dataclass(frozen=True, slots=True)
class Stratum:
    """Where samples were drawn.

    Attributes:
        name: of the stratum; that of the map class where strata are map classes.
        share: of all strata's area.
        samples: labelled samples in it.
    """

    name: str
    share: float
    samples: int


@dataclass(frozen=True, slots=True)
class ClassEstimate:
    """What the samples say of one class.

    Attributes:
        id, name, color: of the class.
        users, producers: user's and producer's accuracy.
        area_share: share of the ground that is of this class, errors of the map corrected.
        hectares: the same in hectares, None for a map without a CRS.
        mapped_share, mapped_hectares: what the map says, uncorrected.
    """

    id: int
    name: str
    color: str
    users: Interval
    producers: Interval
    area_share: Interval
    hectares: Interval | None
    mapped_share: float
    mapped_hectares: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Accuracy and areas estimated from a stratified sample, with confidence intervals.

    Attributes:
        method: "Olofsson et al. 2014" where strata are the map's classes, "Stehman 2014" where they are not.
        source: the file of the samples.
        samples: those used.
        unlabelled: samples that nobody has labelled yet, left out.
        outside: labelled samples outside of the map or on its nodata, left out.
        overall: overall accuracy.
        quantity_disagreement, allocation_disagreement: as in `Scores`, of the estimated proportions.
        classes: in the order of the legend.
        strata: where the samples were drawn.
        counts: (K, K) samples, rows map and columns reference, as the papers have it.
        proportions: (K, K) estimated shares of the ground, rows map and columns reference.
        notes: what a reader must know.
    """

    method: str
    source: str
    samples: int
    unlabelled: int
    outside: int
    overall: Interval
    quantity_disagreement: Score
    allocation_disagreement: Score
    classes: tuple[ClassEstimate, ...]
    strata: tuple[Stratum, ...]
    counts: tuple[tuple[int, ...], ...]
    proportions: tuple[tuple[Score, ...], ...]
    notes: tuple[str, ...] = ()
