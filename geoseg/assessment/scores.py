"""What an evaluation found: frozen plain values, in the order in which they are told.

Shares and scores are from 0 to 1. `None` stands for a score that does not exist (0/0, or nothing to take it from); why
is said in `missing` of a class or in `notes`. `plain` makes of any of them what JSON can hold.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Score = float | None


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class.

    Attributes:
        id, name, color: of the class.
        iou: intersection over union.
        f1: F1 score (Dice).
        precision: user's accuracy, the share of the compared map pixels of this class that is right.
        recall: producer's accuracy, the share of the compared reference pixels of this class that was found.
        boundary_f1: F1 score of the class's borders, see `Boundary`.
        reference_pixels, mapped_pixels: compared pixels of the class in the reference and in the map.
        missing: why some of the scores are None, in words; None when all are there.
    """

    id: int
    name: str
    color: str
    iou: Score
    f1: Score
    precision: Score
    recall: Score
    boundary_f1: Score
    reference_pixels: int
    mapped_pixels: int
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one confusion matrix.

    Means are over the classes that have the score. A class absent from the reference but mapped somewhere has IoU 0 and
    counts; one absent from both has none.

    Attributes:
        pixels: pixels compared.
        overall_accuracy: share of them that is right.
        mean_accuracy: mean recall of the classes in the reference.
        mean_iou: mean IoU.
        weighted_iou: IoU weighted by the classes' shares of the reference.
        mean_f1: mean F1 score.
        kappa: Cohen's kappa.
        mcc: Matthews' correlation coefficient of several classes.
        quantity_disagreement, allocation_disagreement: the two parts of 1 - overall accuracy (Pontius and Millones
            2011).
        boundary_f1: mean boundary F1 score; of several scenes the mean of theirs.
        classes: in the order of the legend.
        confusion: (K, K) pixel counts, rows reference and columns map.
    """

    pixels: int
    overall_accuracy: Score
    mean_accuracy: Score
    mean_iou: Score
    weighted_iou: Score
    mean_f1: Score
    kappa: Score
    mcc: Score
    quantity_disagreement: Score
    allocation_disagreement: Score
    boundary_f1: Score
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class GroupScores:
    """The scores of a part: a scene of several, or a region.

    Attributes:
        name: of the scene's map or of the region.
        scores: None where not a single pixel could be compared.
    """

    name: str
    scores: Scores | None


@dataclass(frozen=True, slots=True)
class MapArea:
    """How much of the whole map a class takes: counted pixels, with the map's errors in them.

    Attributes:
        id, name, color: of the class.
        pixels: of the whole map.
        hectares: on the ground, None for a map without a CRS.
        share: of all mapped ground.
    """

    id: int
    name: str
    color: str
    pixels: int
    hectares: float | None
    share: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """What `boundary_f1` was measured with.

    Attributes:
        pixels: how far borders may lie apart and still agree, in pixels of the map.
        metres: the same on the ground, None for a map without a CRS.
    """

    pixels: float
    metres: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram.

    Attributes:
        lower, upper: confidence, the upper one included.
        pixels: how many fall between.
        accuracy: share of them that is right, None in an empty bin.
        confidence: their mean confidence, None in an empty bin.
    """

    lower: float
    upper: float
    pixels: int
    accuracy: Score
    confidence: Score


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the map's confidence can be believed.

    Attributes:
        source: the raster it was read from.
        pixels: compared pixels with a confidence.
        ece, mce: expected and maximum calibration error over the bins.
        brier: mean over the pixels: of probabilities the sum over the classes of (p - truth)^2, 0 to 2; of a confidence
            alone (confidence - right)^2, 0 to 1.
        of_classes: True when `brier` is that of all classes' probabilities.
        log_loss: mean of -ln p of the true class; None without probabilities.
        class_ece: ECE of each class's probability, in the order of the legend; None without probabilities.
        bins: the reliability diagram.
    """

    source: str
    pixels: int
    ece: Score
    mce: Score
    brier: Score
    of_classes: bool
    log_loss: Score
    class_ece: tuple[Score, ...] | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class PolygonScore:
    """Polygons of the map against those of the reference, of one class or of all.

    Attributes:
        name: of the class, "all" for all.
        reference, mapped: how many polygons there are in each.
        matched: pairs of one class with IoU above one half; no polygon is in two of them.
        precision, recall, f1: matched / mapped, matched / reference, and their harmonic mean.
        panoptic_quality: sum of the IoU of the pairs / (matched + half of all that have no partner).
        matched_iou: mean IoU of the pairs.
        over_segmentation, under_segmentation: 1 - |overlap| / |reference| and 1 - |overlap| / |mapped|, mean over the
            reference polygons, each with the map polygon of its class that covers most of it (Clinton et al. 2010).
        area_bias: mapped area / reference area - 1.
    """

    name: str
    reference: int
    mapped: int
    matched: int
    precision: Score
    recall: Score
    f1: Score
    panoptic_quality: Score
    matched_iou: Score
    over_segmentation: Score
    under_segmentation: Score
    area_bias: Score


@dataclass(frozen=True, slots=True)
class PolygonScores:
    """Polygon level.

    Attributes:
        min_pixels: smaller polygons were left out of both.
        excluded_reference, excluded_mapped: polygons left out: too small, cut by the edge, more than half unlabelled.
        total: of all classes.
        classes: in the order of the legend.
    """

    min_pixels: float
    excluded_reference: int
    excluded_mapped: int
    total: PolygonScore
    classes: tuple[PolygonScore, ...]


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
        """1.96 standard errors."""
        return None if self.standard_error is None else 1.96 * self.standard_error

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


@dataclass(frozen=True, slots=True)
class McNemar:
    """Whether two maps differ in accuracy by more than chance (McNemar 1947), on thinned pairs of pixels.

    Attributes:
        first, second: names of the two maps.
        pixels: pairs used.
        both_right, only_first, only_second, both_wrong: how many of them are of each kind.
        statistic: chi-square with continuity correction; None where the exact binomial test was used.
        p_value: two-sided; None where the maps are right and wrong in the same places.
        spacing: pixels between the pairs used.
        correlation: of the difference between the maps at that spacing; None where the spacing was given.
    """

    first: str
    second: str
    pixels: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    statistic: float | None
    p_value: float | None
    spacing: int
    correlation: float | None


@dataclass(frozen=True, slots=True)
class RivalScore:
    """A baseline on the same pixels.

    Attributes:
        name: what it is called.
        scores: its own.
    """

    name: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class MapScores:
    """All that is known of one map, or of several scenes counted together.

    Attributes:
        name: of the map, or how many scenes.
        maps, references: the files, in pairs.
        regions: what pixels had to lie in, None for anywhere.
        scores: of the pixels; where samples are the only reference, of the pixels under them.
        inside: pixels that count, with or without a class.
        unlabelled: of these, pixels with a class in the map and none in the reference.
        unmapped: of these, pixels with a class in the reference and none in the map.
        areas: how much of the map each class takes.
        scenes: scene by scene, where there are several.
        by_region: region by region, where asked for.
        boundary: tolerance of the boundary scores, None where they were not asked for.
        calibration: None where there is no confidence.
        polygons: None where not asked for.
        estimate: from samples, None where there are none.
        left_out: classes of only one of the two legends, as sentences.
        notes: what a reader must know before believing the numbers.
    """

    name: str
    maps: tuple[str, ...]
    references: tuple[str, ...]
    regions: str | None
    scores: Scores
    inside: int
    unlabelled: int
    unmapped: int
    areas: tuple[MapArea, ...]
    scenes: tuple[GroupScores, ...] = ()
    by_region: tuple[GroupScores, ...] = ()
    boundary: Boundary | None = None
    calibration: Calibration | None = None
    polygons: PolygonScores | None = None
    estimate: Estimate | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """What an evaluation found.

    Attributes:
        output: the report's folder, None where none was asked for.
        maps: the maps side by side, in the order given; the first is the one that `scores` is of.
        comparisons: every two maps side by side.
        baseline: rivals of the first map.
    """

    output: Path | None
    maps: tuple[MapScores, ...]
    comparisons: tuple[McNemar, ...] = ()
    baseline: tuple[RivalScore, ...] = ()

    @property
    def scores(self) -> Scores:
        """Those of the first map."""
        return self.maps[0].scores

    @property
    def overall_accuracy(self) -> float:
        """Share of the compared pixels of the first map that is right; there is at least one."""
        return self.scores.overall_accuracy or 0.0

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the first map."""
        return self.scores.mean_iou or 0.0

    def __str__(self) -> str:
        from geoseg.assessment.tables import told

        return told(self)


def plain(value: Any) -> Any:
    """What JSON can hold of a result: dataclasses as objects, paths as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return own | ({"half_width": value.half_width} if isinstance(value, Interval) else {})
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
