"""Results as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from geoseg.assessment.estimates import Estimate, Interval
from geoseg.assessment.polygon_scores import PolygonScores
from geoseg.assessment.results import EvaluateResult, McNemar
from geoseg.assessment.scores import Calibration, GroupScores, Scores

_LONGEST = 32


def told(result: EvaluateResult) -> str:
    """What an evaluation found, the first map in full and what else there is below it."""
    first = result.maps[0]
    parts = [] if first.estimate is None else [_estimate(first.estimate)]
    parts += [_classes(result), list(_summary(result))]
    parts += [_groups("scene", first.scenes), _groups("region", first.by_region)]
    if first.polygons is not None:
        parts.append(_polygons(first.polygons))
    if first.calibration is not None:
        parts.append([_calibration(first.calibration)])
    parts.append([_mcnemar(pair) for pair in result.comparisons])
    parts.append(list(first.left_out))
    text = "\n\n".join("\n".join(part) for part in parts if part)
    return text if result.output is None else f"{text}\nreport: {result.output}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned lines: the first column to the left, numbers to the right."""
    shown = [[printable(row[0]), *row[1:]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in shown
    ]


def printable(name: str, longest: int = _LONGEST) -> str:
    """A name that cannot break the table or the terminal."""
    text = "".join(character if character.isprintable() else " " for character in name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _classes(result: EvaluateResult) -> list[str]:
    """The first map class by class, beside it the IoU of whatever else there is."""
    first, rivals = result.maps[0], _rivals(result)
    with_boundary = first.boundary is not None
    titles = ["class", "IoU", "F1", "user's", "producer's", *(["boundary F1"] if with_boundary else []), "pixels"]
    rows = [[*titles, *(f"IoU {printable(name)}" for name, _ in rivals)]]
    for index, item in enumerate(first.scores.classes):
        numbers = [item.iou, item.f1, item.precision, item.recall, *([item.boundary_f1] if with_boundary else [])]
        others = [_in(other, item.name, index) for _, other in rivals]
        rows.append([item.name, *map(_number, numbers), _whole(item.reference_pixels), *map(_number, others)])
    return table(rows)


def _rivals(result: EvaluateResult) -> list[tuple[str, Scores]]:
    maps = [(one.name, one.scores) for one in result.maps[1:]]
    return maps + [(one.name, one.scores) for one in result.baseline]


def _in(other: Scores, name: str, index: int) -> float | None:
    """The IoU of a class in other scores, whose legend may be another."""
    same = other.classes[index : index + 1]
    found = same if same and same[0].name == name else [one for one in other.classes if one.name == name]
    return found[0].iou if found else None


def _summary(result: EvaluateResult) -> Iterator[str]:
    first, rivals = result.maps[0], _rivals(result)
    figures = [
        ("overall accuracy", "overall_accuracy"),
        ("mean IoU", "mean_iou"),
        ("weighted IoU", "weighted_iou"),
        ("mean accuracy", "mean_accuracy"),
        ("kappa", "kappa"),
        ("MCC", "mcc"),
        ("quantity disagreement", "quantity_disagreement"),
        ("allocation disagreement", "allocation_disagreement"),
        ("boundary F1", "boundary_f1"),
    ]
    longest = max(len(title) for title, _ in figures)
    for title, key in figures:
        own = getattr(first.scores, key)
        if own is None and key == "boundary_f1":
            continue
        line = [f"{title.ljust(longest)} {_number(own, 4)}"]
        line += [f"{printable(name)} {_number(getattr(other, key), 4)}" for name, other in rivals]
        yield ", ".join(line)
    if first.boundary is not None:
        metres = "" if first.boundary.metres is None else f" ({first.boundary.metres:.4g} m)"
        yield f"borders may lie {first.boundary.pixels:.3g} pixels{metres} apart"


def _estimate(found: Estimate) -> list[str]:
    with_hectares = any(one.hectares is not None for one in found.classes)
    unit = "ha" if with_hectares else "%"
    rows = [["estimated from samples", f"mapped {unit}", f"area {unit}", "+-", "user's", "+-", "producer's", "+-"]]
    for one in found.classes:
        if one.hectares is not None:
            areas = [_area(one.mapped_hectares), _area(one.hectares.value), _area(one.hectares.half_width)]
        else:
            shares = (one.mapped_share, one.area_share.value, one.area_share.half_width)
            areas = [_number(None if share is None else 100 * share, 2) for share in shares]
        rows.append([one.name, *areas, *_interval(one.users), *_interval(one.producers)])
    value, half = _interval(found.overall)
    how = f"{found.method}, {found.samples} samples in {len(found.strata)} strata, 95 % intervals"
    return [*table(rows), f"overall accuracy {value} +- {half} ({how})", *found.notes]


def _interval(one: Interval) -> tuple[str, str]:
    return _number(one.value), _number(one.half_width)


def _groups(what: str, groups: tuple[GroupScores, ...]) -> list[str]:
    if not groups:
        return []
    rows = [[what, "overall accuracy", "mean IoU", "pixels"]]
    for one in groups:
        numbers = (None, None, 0) if one.scores is None else (
            one.scores.overall_accuracy, one.scores.mean_iou, one.scores.pixels
        )  # fmt: skip
        rows.append([one.name, _number(numbers[0]), _number(numbers[1]), _whole(numbers[2])])
    return table(rows)


def _polygons(found: PolygonScores) -> list[str]:
    titles = ["polygons", "reference", "mapped", "matched", "precision", "recall", "F1", "PQ", "over-", "under-seg."]
    rows = [titles]
    for one in (*found.classes, found.total):
        numbers = (
            one.precision, one.recall, one.f1, one.panoptic_quality, one.over_segmentation, one.under_segmentation
        )  # fmt: skip
        counts = (one.reference, one.mapped, one.matched)
        rows.append([one.name, *map(_whole, counts), *map(_number, numbers)])
    left_out = (
        f"left out, small, cut by the edge or mostly unlabelled: {found.excluded_reference} polygons of the reference, "
        f"{found.excluded_mapped} of the map"
    )
    return [*table(rows), left_out]


def _calibration(found: Calibration) -> str:
    parts = [("expected calibration error", found.ece), ("maximum", found.mce), ("Brier", found.brier)]
    parts += [("log loss", found.log_loss)] if found.log_loss is not None else []
    return ", ".join(f"{title} {_number(value, 4)}" for title, value in parts)


def _mcnemar(pair: McNemar) -> str:
    counts = f"{pair.only_first} pixels only the one right, {pair.only_second} only the other"
    distance = f"of {pair.pixels} pixels {pair.spacing} apart"
    if pair.p_value is None:
        return f"{pair.first} and {pair.second} are right and wrong at the same pixels, {distance}"
    test = "exact binomial" if pair.statistic is None else f"chi-square {pair.statistic:.2f}"
    return f"{pair.first} and {pair.second}, McNemar: {counts}, {distance}: p = {pair.p_value:.3g} ({test})"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _whole(value: float) -> str:
    return f"{value:,}".replace(",", " ")


def _area(value: float | None) -> str:
    return "-" if value is None else _whole(round(value)) if value >= 100 else f"{value:.2f}"
