"""From counts to scores, and to the sentences that go with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geoseg.assessment.compare import Counts
from geoseg.assessment.scores import ClassScore, MapArea, Scores
from geoseg.confusion import Accuracy
from geoseg.legend import Legend

FEW_PIXELS = 100


def scores(matrix: npt.NDArray[np.int64], legend: Legend, boundaries: Sequence[npt.NDArray[np.float64]] = ()) -> Scores:
    """The scores of a confusion matrix.

    Args:
        matrix: (K, K) pixels, rows reference and columns map.
        legend: of K classes.
        boundaries: (K,) boundary F1 of each scene.
    """
    accuracy = Accuracy(matrix)
    # The mean over scenes of their means over classes, as Csurka et al. and MATLAB have it.
    by_scene = [_mean(scene) for scene in boundaries]
    by_class = [_mean(np.array([scene[index] for scene in boundaries])) for index in range(len(legend))]
    return Scores(
        pixels=int(matrix.sum()),
        overall_accuracy=number(accuracy.overall),
        mean_accuracy=number(accuracy.mean_accuracy),
        mean_iou=number(accuracy.mean_iou),
        weighted_iou=number(accuracy.weighted_iou),
        mean_f1=number(accuracy.mean_f1),
        kappa=number(accuracy.kappa),
        mcc=number(accuracy.mcc),
        quantity_disagreement=number(accuracy.quantity_disagreement),
        allocation_disagreement=number(accuracy.allocation_disagreement),
        boundary_f1=number(_mean(np.array(by_scene))),
        classes=tuple(
            ClassScore(
                id=item.id,
                name=item.name,
                color=item.color,
                iou=number(accuracy.iou[index]),
                f1=number(accuracy.f1[index]),
                precision=number(accuracy.users[index]),
                recall=number(accuracy.producers[index]),
                boundary_f1=number(by_class[index]),
                reference_pixels=int(accuracy.reference[index]),
                mapped_pixels=int(accuracy.predicted[index]),
                missing=_missing(accuracy, index),
            )
            for index, item in enumerate(legend)
        ),
        confusion=tuple(map(tuple, matrix.tolist())),
    )


def _missing(accuracy: Accuracy, index: int) -> str | None:
    if accuracy.reference[index] == 0 == accuracy.predicted[index]:
        return "absent from both the compared map and the reference: no score, left out of means"
    if accuracy.reference[index] == 0:
        return (
            "not in the reference but mapped there: IoU is 0 and counts in the mean, producer's accuracy is undefined"
        )
    if accuracy.predicted[index] == 0:
        return "in the reference but never mapped there: IoU is 0, user's accuracy is undefined"
    return None


def areas(counts: Counts, legend: Legend) -> tuple[MapArea, ...]:
    """How much of the whole map each class takes."""
    hectares = counts.hectares
    weights = counts.map_pixels.astype(float) if hectares is None else np.nan_to_num(hectares)
    total = float(weights.sum()) or 1.0
    return tuple(
        MapArea(
            id=item.id,
            name=item.name,
            color=item.color,
            pixels=int(counts.map_pixels[index]),
            hectares=None if hectares is None else number(hectares[index]),
            share=float(weights[index]) / total,
        )
        for index, item in enumerate(legend)
    )


def notes(found: Scores, counts: Counts, *, everywhere: bool, boundary: bool, with_confidence: bool) -> list[str]:
    """What a reader must know before believing the numbers.

    Args:
        found: the scores.
        counts: what they are of.
        everywhere: pixels were not restricted to regions.
        boundary: boundaries were scored.
        with_confidence: there was a confidence raster.
    """
    told = [
        f"{', '.join(one.name for one in found.classes if one.missing == reason)}: {reason}."
        for reason in dict.fromkeys(one.missing for one in found.classes if one.missing)
    ]
    few = [one.name for one in found.classes if 0 < one.reference_pixels < FEW_PIXELS]
    if few:
        told.append(
            f"{', '.join(few)}: fewer than {FEW_PIXELS} reference pixels: scores may change much with a few more."
        )
    if found.kappa is None:
        told.append("Map and reference hold one and the same class only, so kappa and MCC do not exist.")
    elif found.mcc is None:
        told.append("Map or reference holds one class only, so MCC does not exist.")
    if boundary and found.boundary_f1 is None:
        told.append("No two classes meet inside the labelled ground, so there is no boundary score.")
    if not with_confidence:
        told.append("No confidence was given, so nothing is said of calibration; name it with --confidence.")
    if counts.strangers:
        told.append(f"{counts.strangers:,} labelled pixels are of classes that the map's legend lacks, left out.")
    if counts.unmapped:
        told.append(f"{counts.unmapped:,} labelled pixels have no class in the map and were not compared.")
    if everywhere:
        told.append("All labelled pixels were compared. Any that the model was trained on make the scores too good.")
    told.append(
        "Neighbouring pixels are alike, so the pixel count says little about the certainty of a score; no confidence "
        "interval comes from it. Mapped areas are counts of pixels and carry the map's errors; samples give both."
    )
    return told


def number(value: float) -> float | None:
    """A score, None for NaN."""
    return None if np.isnan(value) else float(value)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
