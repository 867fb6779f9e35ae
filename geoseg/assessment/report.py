"""The report of an assessment: one HTML page that needs nothing else, numbers as JSON and CSV, figures as PNG."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import geoseg
from geoseg.assessment import figures
from geoseg.assessment.compare import Comparison, Counts
from geoseg.assessment.figures import Curves
from geoseg.assessment.scores import EvaluateResult, plain
from geoseg.class_raster import LEGEND_TAG
from geoseg.confusion import Accuracy, confusion_rows
from geoseg.legend import Legend
from geoseg.raster import open_raster
from geoseg.viewing.composite import Image

FEW_PIXELS = 100
MOST_PICTURES = 6
"""Of how many maps there are pictures in one report."""

_LONGEST_TAG = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One map that was compared with its reference.

    Attributes:
        map_path, reference, scene: the files, as they were named.
        regions: what the regions are called, None when all pixels count.
        comparison: what was found.
        picture: colour composite of the scene on the grid of the comparison's preview.
    """

    map_path: Path
    reference: Path
    scene: str | Path | None
    regions: str | None
    comparison: Comparison
    picture: Image | None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything a report tells.

    Attributes:
        legend: the classes.
        judged: the maps, at least one.
        rivals: accuracies of baselines, by name.
        curves: the training's metrics.
        result: all that was found, for metrics.json and the page.
    """

    legend: Legend
    judged: tuple[Judged, ...]
    rivals: Mapping[str, Accuracy]
    curves: Curves | None
    result: EvaluateResult

    @property
    def counts(self) -> Counts:
        """What was counted in all maps."""
        first, *others = (one.comparison.counts for one in self.judged)
        return sum(others, start=first)

    @property
    def accuracy(self) -> Accuracy:
        """The scores of all maps together."""
        return Accuracy(self.counts.matrix)

    @property
    def title(self) -> str:
        """What was judged, in a few words."""
        return self.judged[0].map_path.name if len(self.judged) == 1 else f"{len(self.judged)} maps"


def write_report(folder: Path, report: Report) -> None:
    """Write report.html, metrics.json, confusion.csv and the figures into a new folder."""
    folder.mkdir()
    images = dict(_figures(report))
    for name, data in images.items():
        (folder / f"{name}.png").write_bytes(data)
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(confusion_rows(report.counts.matrix, report.legend))
    provenance = _provenance(report.judged[0].map_path)
    (folder / "metrics.json").write_text(json.dumps(_metrics(report, provenance), indent=2) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(_html(report, images, provenance), encoding="utf-8")


def _figures(report: Report) -> Iterator[tuple[str, bytes]]:
    names = report.legend.names
    yield "confusion", figures.png(figures.confusion_figure(report.accuracy, names))
    yield "scores", figures.png(figures.bars_figure(report.accuracy, names, report.rivals))
    for name, one in zip(_picture_names(), report.judged, strict=False):
        yield name, figures.png(figures.maps_figure(one.comparison.preview, report.legend, one.picture))
    if report.curves is not None:
        yield "curves", figures.png(figures.curves_figure(report.curves))


def _picture_names() -> list[str]:
    return ["map_and_reference", *(f"map_and_reference_{number}" for number in range(2, MOST_PICTURES + 1))]


def _provenance(map_path: Path) -> dict[str, str]:
    """What the map's own tags say of how it was made."""
    with open_raster(map_path) as dataset:
        tags = dataset.tags()
    told: dict[str, str] = {}
    for tag in sorted(tags):
        if tag.startswith("GEOSEG_") and tag != LEGEND_TAG:
            told |= _entries(tag.removeprefix("GEOSEG_").lower().replace("_", " "), tags[tag])
    return told


def _entries(name: str, text: str) -> dict[str, str]:
    """A tag's text; one that holds a JSON object becomes an entry per key."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if not isinstance(value, dict):
        value = {"": value if isinstance(value, str) else text}
    pairs = {f"{name}: {key}" if key else name: item for key, item in value.items()}
    texts = {key: item if isinstance(item, str) else json.dumps(item) for key, item in pairs.items()}
    return {key: item if len(item) <= _LONGEST_TAG else item[:_LONGEST_TAG] + "…" for key, item in texts.items()}


def _metrics(report: Report, provenance: Mapping[str, str]) -> dict[str, Any]:
    found = plain(report.result)
    del found["output"]  # where it lies is known, and may change
    return {"geoseg": geoseg.__version__, **found, "map_tags": dict(provenance)}


def _areas(report: Report) -> list[dict[str, Any]]:
    """Pixels, hectares and share of each class in the whole map."""
    counted = report.counts
    hectares = [None] * len(report.legend) if counted.hectares is None else counted.hectares.tolist()
    weights = counted.map_pixels if counted.hectares is None else np.nan_to_num(counted.hectares)
    total = float(weights.sum()) or 1.0
    return [
        {
            "id": item.id,
            "name": item.name,
            "color": item.color,
            "pixels": int(pixels),
            "hectares": None if area is None or math.isnan(area) else area,
            "percent": 100 * float(weight) / total,
        }
        for item, pixels, area, weight in zip(report.legend, counted.map_pixels, hectares, weights, strict=True)
    ]


def notes(report: Report) -> list[str]:
    """What a reader must know before believing the numbers."""
    counted, accuracy = report.counts, report.accuracy
    reference, predicted = accuracy.reference, accuracy.predicted
    groups = (
        (
            (reference == 0) & (predicted == 0),
            "absent from both the compared map and the reference: no score, left out of means",
        ),
        (
            (reference == 0) & (predicted > 0),
            "not in the reference but mapped there: IoU is 0 and counts in the mean, producer's accuracy is undefined",
        ),
        (
            (reference > 0) & (predicted == 0),
            "in the reference but never mapped there: IoU is 0, user's accuracy is undefined",
        ),
        (
            (reference > 0) & (reference < FEW_PIXELS),
            f"fewer than {FEW_PIXELS} reference pixels: scores may change much with a few more",
        ),
    )
    told = [f"{_listing(report.legend, where)}: {text}." for where, text in groups if where.any()]
    if counted.unmapped:
        told.append(f"{spaced(counted.unmapped)} labelled pixels have no class in the map and were not compared.")
    step = max(one.comparison.preview.step for one in report.judged[:MOST_PICTURES])
    if step > 1:
        told.append(f"The pictures show one pixel in {step} along rows and columns; all pixels were counted.")
    if len(report.judged) > MOST_PICTURES:
        told.append(f"There are pictures of the first {MOST_PICTURES} of {len(report.judged)} maps; all were counted.")
    if any(one.regions is None for one in report.judged):
        told.append("All labelled pixels were compared. Any that the model was trained on make the scores too good.")
    told.append(
        "Neighbouring pixels are alike, so the pixel count says little about the certainty of a score; no confidence "
        "interval is given. Areas are counts of mapped pixels and carry the map's errors."
    )
    return told


def _listing(legend: Legend, where: Any) -> str:
    return ", ".join(name for name, chosen in zip(legend.names, where, strict=True) if chosen)


def _html(report: Report, images: Mapping[str, bytes], provenance: Mapping[str, str]) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"score": score, "percent": percent, "spaced": spaced, "hectares": hectares}
    template = environment.from_string(
        files("geoseg.assessment").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        report=report,
        accuracy=report.accuracy,
        rows=_score_rows(report),
        compared=report.counts,
        pictures=[(one, name) for one, name in zip(report.judged, _picture_names(), strict=False)],
        areas=_areas(report),
        images={name: "data:image/png;base64," + base64.b64encode(data).decode() for name, data in images.items()},
        provenance=provenance,
        notes=notes(report),
        version=geoseg.__version__,
    )


def _score_rows(report: Report) -> list[dict[str, Any]]:
    accuracy = report.accuracy
    return [
        {
            "name": item.name,
            "color": item.color,
            "iou": accuracy.iou[index],
            "f1": accuracy.f1[index],
            "users": accuracy.users[index],
            "producers": accuracy.producers[index],
            "pixels": int(accuracy.reference[index]),
            "rivals": [rival.iou[index] for rival in report.rivals.values()],
        }
        for index, item in enumerate(report.legend)
    ]


def score(value: float) -> str:
    """A score between 0 and 1 with three decimals, a dash where there is none."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"


def percent(value: float) -> str:
    """A percentage with one decimal.

    >>> percent(0.01), percent(12.34)
    ('< 0.1 %', '12.3 %')
    """
    return "< 0.1 %" if 0 < value < 0.05 else f"{value:.1f} %"


def spaced(value: int) -> str:
    """A whole number in groups of three, kept on one line.

    >>> spaced(1234567).split()
    ['1', '234', '567']
    """
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def hectares(value: float | None) -> str:
    """An area with as many decimals as it bears."""
    if value is None:
        return "\N{EN DASH}"
    return spaced(round(value)) if value >= 100 else f"{value:.2f}"
