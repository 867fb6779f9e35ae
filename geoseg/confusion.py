"""The confusion matrix, and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.legend import Legend

Matrix = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

_PIECE = 1 << 16


def joint(reference: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], classes: int) -> Matrix:
    """Count pixels by (reference, predicted) class, those without a class too.

    Args:
        reference, predicted: class indices of equal shape, each below `classes` or `IGNORE`.
        classes: K, the number of classes.

    Returns:
        (K + 1, K + 1) counts, rows reference and columns prediction; the last row and column are of `IGNORE`.
    """
    step = classes + 1
    first, second = reference.reshape(-1), predicted.reshape(-1)
    counts = np.zeros(step * step, np.int64)
    # Pieces that stay in the processor's cache: twice as fast as all at once, and no copy in wide integers.
    for start in range(0, first.size, _PIECE):
        part = slice(start, start + _PIECE)
        codes = np.minimum(first[part], classes).astype(np.uint16) * np.uint16(step)
        codes += np.minimum(second[part], classes)
        counts += np.bincount(codes, minlength=step * step)
    return counts.reshape(step, step)


def confusion(reference: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], classes: int) -> Matrix:
    """Count pixels by (reference, predicted) class.

    Args:
        reference, predicted: class indices of equal shape; pixels with `IGNORE` in either are left out.
        classes: K, the number of classes.

    Returns:
        (K, K) counts, rows reference and columns prediction. Matrices of disjoint pixels add up.
    """
    return joint(reference, predicted, classes)[:classes, :classes]


def confusion_rows(matrix: Matrix, legend: Legend) -> Iterator[list[str | int]]:
    """The rows of a table of a confusion matrix, with a head."""
    yield ["reference / map", *legend.names]
    for name, row in zip(legend.names, matrix.tolist(), strict=True):
        yield [name, *row]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of a confusion matrix; a score of 0/0 is NaN, and NaN is left out of means.

    A class that is absent from the reference but predicted somewhere has IoU 0 and counts in the mean; one that is
    absent from both has none.

    Attributes:
        matrix: (K, K) counts or shares, rows reference, columns prediction.
    """

    matrix: npt.NDArray[Any]

    @property
    def correct(self) -> Scores:
        """Pixels per class on which both agree."""
        return np.asarray(np.diag(self.matrix), float)

    @property
    def reference(self) -> Scores:
        """Pixels per class in the reference."""
        return np.asarray(self.matrix.sum(1), float)

    @property
    def predicted(self) -> Scores:
        """Pixels per class in the prediction."""
        return np.asarray(self.matrix.sum(0), float)

    @property
    def overall(self) -> float:
        """Overall accuracy: the share of pixels on which both agree."""
        return float(_ratio(self.correct.sum(), self.matrix.sum()))

    @property
    def iou(self) -> Scores:
        """Intersection over union per class."""
        return _ratio(self.correct, self.reference + self.predicted - self.correct)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes that have one."""
        return _mean(self.iou)

    @property
    def weighted_iou(self) -> float:
        """Mean of `iou` weighted by the classes' shares of the reference."""
        weights = self.reference
        present = weights > 0
        return float(_ratio((weights[present] * self.iou[present]).sum(), weights.sum()))

    @property
    def f1(self) -> Scores:
        """F1 score (Dice) per class."""
        return _ratio(2 * self.correct, self.reference + self.predicted)

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the classes that have one."""
        return _mean(self.f1)

    @property
    def producers(self) -> Scores:
        """Producer's accuracy (recall) per class: the share of the reference that was found."""
        return _ratio(self.correct, self.reference)

    @property
    def mean_accuracy(self) -> float:
        """Mean of `producers` over the classes in the reference (balanced accuracy)."""
        return _mean(self.producers)

    @property
    def users(self) -> Scores:
        """User's accuracy (precision) per class: the share of the prediction that is right."""
        return _ratio(self.correct, self.predicted)

    @property
    def kappa(self) -> float:
        """Cohen's kappa, (po - pe) / (1 - pe) with pe the agreement of independent classes (Cohen 1960).

        NaN where chance alone agrees everywhere, as with one class. Quantity and allocation disagreement tell more
        (Pontius and Millones 2011).
        """
        chance = float(_ratio((self.reference * self.predicted).sum(), self.matrix.sum() ** 2.0))
        return float(_ratio(self.overall - chance, 1 - chance))

    @property
    def mcc(self) -> float:
        """Matthews' correlation coefficient of several classes (Gorodkin 2004); NaN where either has one class only."""
        total = float(self.matrix.sum())
        above = self.correct.sum() * total - (self.reference * self.predicted).sum()
        spread = [total**2 - (side**2).sum() for side in (self.reference, self.predicted)]
        return float(_ratio(above, np.sqrt(spread[0]) * np.sqrt(spread[1])))

    @property
    def quantity_disagreement(self) -> float:
        """Share of pixels wrong because the map has too much of one class and too little of another."""
        return float(_ratio(np.abs(self.reference - self.predicted).sum() / 2, self.matrix.sum()))

    @property
    def allocation_disagreement(self) -> float:
        """Share of pixels wrong because classes are in the wrong place (Pontius and Millones 2011)."""
        swapped = np.minimum(self.reference - self.correct, self.predicted - self.correct)
        return float(_ratio(swapped.sum(), self.matrix.sum()))

    @property
    def normalized(self) -> Scores:
        """(K, K) shares of each reference class, rows that sum to 1; NaN in the row of an absent class."""
        return _ratio(self.matrix, np.broadcast_to(self.reference[:, None], self.matrix.shape))

    def to_dict(self, legend: Legend) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        columns = {
            "iou": self.iou,
            "f1": self.f1,
            "users_accuracy": self.users,
            "producers_accuracy": self.producers,
            "reference_pixels": self.reference,
            "predicted_pixels": self.predicted,
        }
        return {
            "overall_accuracy": _plain(self.overall),
            "mean_iou": _plain(self.mean_iou),
            "pixels": int(self.matrix.sum()),
            "classes": [
                {"id": item.id, "name": item.name} | {key: _plain(values[index]) for key, values in columns.items()}
                for index, item in enumerate(legend)
            ],
            "confusion": self.matrix.tolist(),
        }


def _ratio(above: Any, below: Any) -> Scores:
    below = np.asarray(below, float)
    ratio: Scores = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return ratio


def _mean(values: Scores) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(value: float) -> float | int | None:
    if np.isnan(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) > 1 else float(value)
