"""Scores of pixels: frozen plain values, in the order in which they are told.

Shares and scores are from 0 to 1. `None` stands for a score that does not exist (0/0, or nothing to take it from); why
is said in `missing` of a class or in the notes of a map.
"""

from __future__ import annotations

from dataclasses import dataclass

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
