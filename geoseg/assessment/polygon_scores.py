"""Scores of polygons: frozen plain values, in the order in which they are told."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.assessment.scores import Score


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
        min_pixels: smaller polygons were left out of both; of the first scene, where several differ in their pixels.
        excluded_reference, excluded_mapped: polygons left out: too small, cut by the edge, more than half unlabelled.
        total: of all classes.
        classes: in the order of the legend.
    """

    min_pixels: float
    excluded_reference: int
    excluded_mapped: int
    total: PolygonScore
    classes: tuple[PolygonScore, ...]
