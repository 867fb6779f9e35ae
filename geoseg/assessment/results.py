"""What an evaluation found, all together; `plain` makes of it what JSON can hold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.assessment.estimates import Estimate, Interval
from geoseg.assessment.polygon_scores import PolygonScores
from geoseg.assessment.scores import Boundary, Calibration, GroupScores, MapArea, Scores


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
