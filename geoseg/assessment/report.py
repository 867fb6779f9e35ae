"""The report of an assessment: one HTML page that needs nothing else, numbers as JSON and CSV, figures as pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image as Pillow

import geoseg
from geoseg.assessment import figures, words
from geoseg.assessment.compare import Comparison
from geoseg.assessment.figures import Curves
from geoseg.assessment.overlay import overlay
from geoseg.assessment.preview import LONGEST
from geoseg.assessment.provenance import Provenance
from geoseg.assessment.results import EvaluateResult, MapScores, plain
from geoseg.assessment.worst import Spot
from geoseg.confusion import Accuracy, confusion_rows
from geoseg.legend import Legend
from geoseg.table import write_table
from geoseg.viewing.composite import Image
from geoseg.viewing.page import document, template, text
from geoseg.viewing.viewer import Viewer, behaviour

MOST_PICTURES = 6
"""Of how many maps there are pictures in one report."""

_FURTHER = 500
"""Longest side of the pictures of all maps but the first, in pixels: a page must stay small enough to send."""

_READING = 118
"""Pixels of the page for an inch of a figure."""

_FILTERS = (
    words.score,
    words.percent,
    words.spaced,
    words.hectares,
    words.share_interval,
    words.area_interval,
    words.p_value,
)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One map that was compared with its reference.

    Attributes:
        map_path, reference, scene: the files, as they were named.
        regions: what the regions are called, None when all pixels count.
        comparison: what was found.
        picture: colour composite of the scene on the grid of the comparison's preview.
        spots: the places with most errors.
    """

    map_path: Path
    reference: Path
    scene: str | Path | None
    regions: str | None
    comparison: Comparison
    picture: Image | None
    spots: tuple[Spot, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything a report tells.

    Attributes:
        legend: the classes.
        judged: the scenes of the first map, at least one.
        rivals: accuracies of baselines, by name.
        curves: the training's metrics.
        result: all that was found.
        provenance: how the first map was made.
    """

    legend: Legend
    judged: tuple[Judged, ...]
    rivals: Mapping[str, Accuracy]
    curves: Curves | None
    result: EvaluateResult
    provenance: Provenance

    @property
    def first(self) -> MapScores:
        """What was found of the first map."""
        return self.result.maps[0]

    @property
    def accuracy(self) -> Accuracy:
        """The scores of its scenes together."""
        one, *others = (judged.comparison.counts for judged in self.judged)
        return Accuracy(sum(others, start=one).matrix)

    @property
    def pictured(self) -> tuple[Judged, ...]:
        """Those of which there are pictures."""
        return self.judged[:MOST_PICTURES]

    @property
    def spots(self) -> list[tuple[Judged, Spot]]:
        """The worst places of all scenes, the worst first."""
        every = [(one, spot) for one in self.pictured for spot in one.spots]
        return sorted(every, key=lambda pair: -pair[1].wrong)[:MOST_PICTURES]

    @property
    def title(self) -> str:
        """What was judged, in a few words."""
        return self.judged[0].map_path.name if len(self.judged) == 1 else f"{len(self.judged)} maps"


def write_report(folder: Path, report: Report) -> None:
    """Write report.html, metrics.json, confusion.csv and the figures into a new folder."""
    folder.mkdir()
    images = {}
    for name, figure in _figures(report):
        images[name] = figures.png(figure)
        (folder / f"{name}.png").write_bytes(images[name])
        (folder / f"{name}.svg").write_bytes(figures.svg(figure))
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        write_table(file, confusion_rows(report.accuracy.matrix, report.legend))
    (folder / "metrics.json").write_text(json.dumps(_metrics(report), indent=2) + "\n", encoding="utf-8")
    page = _html(report, images)
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")  # file names may be no text


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    names, first = report.legend.names, report.first
    yield "confusion", figures.confusion_figure(report.accuracy, names)
    yield "scores", figures.bars_figure(report.accuracy, names, report.rivals)
    for number, one in enumerate(report.pictured):
        yield _picture_name(number), figures.maps_figure(one.comparison.preview, report.legend, one.picture)
    if first.estimate is not None:
        yield "areas", figures.areas_figure(first.estimate)
    if first.calibration is not None:
        yield "reliability", figures.reliability_figure(first.calibration)
    if report.spots:
        yield "worst_places", figures.worst_figure([spot for _, spot in report.spots], report.legend)
    if report.curves is not None:
        yield "curves", figures.curves_figure(report.curves)


def _picture_name(number: int) -> str:
    return f"map_and_reference_{number + 1}" if number else "map_and_reference"


def _metrics(report: Report) -> dict[str, Any]:
    found = plain(report.result)
    del found["output"]  # where it lies is known, and may change
    told = report.provenance
    return {"geoseg": geoseg.__version__, **found, "map_tags": dict(told.tags), "seams": told.seams}


def _html(report: Report, images: Mapping[str, bytes]) -> str:
    viewers = [
        overlay(one.comparison.preview, report.legend, one.picture, f"map-{number}", _FURTHER if number else LONGEST)
        for number, one in enumerate(report.pictured)
    ]
    body = template("geoseg.assessment", "report.html.j2", _FILTERS).render(
        report=report,
        first=report.first,
        scores=report.first.scores,
        result=report.result,
        told=report.provenance,
        pictures=_pictures(report, viewers),
        spots=[_spot(one, spot, report.legend) for one, spot in report.spots],
        images={name: _sized(data) for name, data in images.items()},
        errors={"agree": figures.AGREE, "differ": figures.DIFFER},
        further=further_notes(report),
    )
    return document(
        f"Accuracy of {report.title}",
        Markup(body),  # noqa: S704 - an escaping template's
        style=text("geoseg.assessment", "report.css"),
        scripts=[*(made.script for made in viewers), behaviour()],
    )


def _pictures(report: Report, viewers: list[Viewer]) -> list[dict[str, Any]]:
    return [
        {"name": one.map_path.name, "viewer": made.body, "image": _picture_name(number)}
        for number, (one, made) in enumerate(zip(report.pictured, viewers, strict=True))
    ]


def _spot(one: Judged, spot: Spot, legend: Legend) -> dict[str, Any]:
    """A place for the page: its pictures, and words on it."""
    reference, mapped = (legend.names[index] for index in spot.mistake)
    x, y = spot.middle
    return {
        "images": {name: as_url(_small_png(image)) for name, image in figures.spot_images(spot, legend).items()},
        "where": words.degrees(spot),
        "own": f"{x:.6g}, {y:.6g}" if spot.grid.crs is not None else "",
        "of": one.map_path.name,
        "share": spot.share,
        "wrong": spot.wrong,
        "compared": int(spot.compared.sum()),
        "reference": reference,
        "mapped": mapped,
        "size": f"{int(spot.window.width)} x {int(spot.window.height)} pixels",
    }


def _sized(data: bytes) -> dict[str, Any]:
    """A figure for the page, as wide as it is meant to be read."""
    with Pillow.open(io.BytesIO(data)) as image:
        return {"url": as_url(data), "width": round(image.width * _READING / figures.DPI)}


def _small_png(image: Image) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def as_url(data: bytes) -> str:
    """A PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def further_notes(report: Report) -> list[str]:
    """What a reader must know of the pictures."""
    told = []
    step = max(one.comparison.preview.step for one in report.pictured)
    if step > 1:
        told.append(f"The pictures show one pixel in {step} along rows and columns; all pixels were counted.")
    if len(report.judged) > MOST_PICTURES:
        told.append(f"There are pictures of the first {MOST_PICTURES} of {len(report.judged)} maps; all were counted.")
    return told
