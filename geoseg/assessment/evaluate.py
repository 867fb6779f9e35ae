"""How good a map is: scores against a reference, and a report to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import geopandas as gpd
import numpy as np

from geoseg.assessment.compare import Counts, Regions, compare
from geoseg.assessment.figures import read_curves
from geoseg.assessment.preview import LONGEST
from geoseg.assessment.report import MOST_PICTURES, Judged, Report, write_report
from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.confusion import Accuracy
from geoseg.errors import MapError, OptionError
from geoseg.labels import LabelOptions, Labels, open_labels
from geoseg.legend import Legend, read_legend
from geoseg.output import new_output
from geoseg.readers import Source, find_source
from geoseg.vector import read_vector
from geoseg.viewing.composite import composite


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A map and what to judge it by.

    Attributes:
        map_path: a class raster.
        reference: a class raster on any grid, or polygons.
        scene: the scene to show beside it.
        regions: polygons; only pixels whose centre is inside one count.
        field: column of the reference that holds the class.
    """

    map_path: Path
    reference: Path
    scene: Source | None = None
    regions: gpd.GeoDataFrame | Path | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class, 0 to 1; None where a score does not exist (0/0).

    Attributes:
        id, name: of the class.
        iou: intersection over union.
        f1: F1 score (Dice).
        users_accuracy: precision, the share of the map's pixels of this class that is right.
        producers_accuracy: recall, the share of the reference's pixels of this class that was found.
        pixels: pixels of the class in the reference, of those compared.
        map_pixels: pixels of the class in the whole map.
        hectares: their area on the ground, None for a map without a CRS.
    """

    id: int
    name: str
    iou: float | None
    f1: float | None
    users_accuracy: float | None
    producers_accuracy: float | None
    pixels: int
    map_pixels: int
    hectares: float | None


@dataclass(frozen=True, slots=True)
class RivalScore:
    """The scores of a baseline.

    Attributes:
        name: what it is called.
        overall_accuracy: share of pixels that are right.
        mean_iou: mean over the classes that have an IoU, None where none has.
        iou: per class, in the order of the legend; None where it does not exist.
    """

    name: str
    overall_accuracy: float | None
    mean_iou: float | None
    iou: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """What an evaluation found.

    Attributes:
        output: the report's folder.
        overall_accuracy: share of the compared pixels that are right, 0 to 1.
        mean_iou: mean IoU of the classes that occur in the map or in the reference, 0 to 1.
        pixels: pixels compared.
        unlabelled: mapped pixels without a label, not compared.
        unmapped: labelled pixels without a class in the map, not compared.
        worst: name of the class with the lowest IoU.
        classes: scores per class, in the order of the legend.
        baseline: scores of the rivals that were given.
    """

    output: Path
    overall_accuracy: float
    mean_iou: float
    pixels: int
    unlabelled: int
    unmapped: int
    worst: str
    classes: tuple[ClassScore, ...]
    baseline: tuple[RivalScore, ...] = ()

    def __str__(self) -> str:
        titles = ["class", "IoU", "F1", "user's", "producer's", "pixels", *(f"IoU {one.name}" for one in self.baseline)]
        rows = [
            [
                _shown(item.name),
                *map(_number, (item.iou, item.f1, item.users_accuracy, item.producers_accuracy)),
                f"{item.pixels:,}".replace(",", " "),
                *(_number(one.iou[index]) for one in self.baseline),
            ]
            for index, item in enumerate(self.classes)
        ]
        overall = [f"overall accuracy {self.overall_accuracy:.4f}", *_rivals(self.baseline, "overall_accuracy")]
        mean = [f"mean IoU         {self.mean_iou:.4f}", *_rivals(self.baseline, "mean_iou")]
        return "\n".join([*_table([titles, *rows]), "", ", ".join(overall), ", ".join(mean), f"report: {self.output}"])


def evaluate(
    map_path: str | Path,
    reference: str | Path,
    output: str | Path,
    *,
    class_field: str | None = None,
    legend: str | Path | None = None,
    scene: str | Path | None = None,
    bands: tuple[str, ...] | None = None,
    regions: gpd.GeoDataFrame | str | Path | None = None,
    baseline: Mapping[str, Accuracy] | None = None,
    curves: str | Path | None = None,
    overwrite: bool = False,
    **labelling: Unpack[LabelOptions],
) -> EvaluateResult:
    """Compare a map with a reference and write a report.

    Pixels count once each, in one confusion matrix over the whole map. Pixels without a class in either are left out.

    Args:
        map_path: a class raster, such as `predict` writes.
        reference: a class raster on any grid, or polygons; in any CRS.
        output: folder to make: report.html, metrics.json, confusion.csv and figures.
        class_field: column of the polygons that holds the class, as id or name.
        legend: legend.toml, for a map that does not name its classes itself.
        scene: the scene the map was made from, to show beside it.
        bands: the bands of the scene to choose red, green and blue from.
        regions: polygons; only pixels whose centre is inside one count. Test blocks, for instance.
        baseline: accuracies of rivals on the same pixels and classes, by name, to show side by side.
        curves: metrics.csv of the training, to draw its curves.
        overwrite: replace the report if it is there.
        **labelling: how the reference is read, see `geoseg.labels.LabelOptions`.

    Raises:
        MapError: the map is no class raster.
        LabelError: the reference cannot be used, or no pixel can be compared.
        SceneError: the scene cannot be shown.
        OptionError: a baseline of other classes, or curves that cannot be read.
        OutputError: the report exists already or cannot be written.
    """
    where = Path(regions) if isinstance(regions, str) else regions
    source = None if scene is None else find_source(scene)
    return evaluate_pairs(
        [Pair(Path(map_path), Path(reference), source, where, class_field)],
        output,
        legend=legend,
        bands=bands,
        baseline=baseline,
        curves=curves,
        overwrite=overwrite,
        **labelling,
    )


def evaluate_pairs(
    pairs: Sequence[Pair],
    output: str | Path,
    *,
    legend: str | Path | None = None,
    bands: tuple[str, ...] | None = None,
    baseline: Mapping[str, Accuracy] | None = None,
    curves: str | Path | None = None,
    overwrite: bool = False,
    **labelling: Unpack[LabelOptions],
) -> EvaluateResult:
    """Compare several maps of one legend with their references, in one confusion matrix and one report.

    The other arguments and the errors are those of `evaluate`.

    Raises:
        MapError: the maps have different legends.
        OptionError: there is no pair.
    """
    if not pairs:
        raise OptionError("there is no map to evaluate; give at least one with its reference")
    with new_output(Path(output), overwrite=overwrite) as workspace:
        names = None if legend is None else read_legend(Path(legend))
        maps = [open_class_raster(pair.map_path, legend=names) for pair in pairs]
        _refuse_other_legends(maps)
        rivals = _checked(baseline or {}, len(maps[0].legend))
        training = None if curves is None else read_curves(Path(curves))
        judged = tuple(
            _judged(
                pair,
                mapped,
                open_labels(pair.reference, field=pair.field, legend=mapped.legend, **labelling),
                bands,
                pictured=number < MOST_PICTURES,
            )
            for number, (pair, mapped) in enumerate(zip(pairs, maps, strict=True))
        )
        report = Report(maps[0].legend, judged, rivals, training)
        write_report(workspace.main, report)
        return _result(workspace.target, report)


def _refuse_other_legends(maps: list[ClassRaster]) -> None:
    first = maps[0]
    for other in maps[1:]:
        if (other.legend.ids, other.legend.names) != (first.legend.ids, first.legend.names):
            raise MapError(f"{other.path}: has another legend than {first.path}; evaluate them one by one")


def _judged(
    pair: Pair, mapped: ClassRaster, labels: Labels, bands: tuple[str, ...] | None, *, pictured: bool
) -> Judged:
    regions = _regions(pair.regions, mapped)
    comparison = compare(mapped, labels, regions, longest=LONGEST if pictured else 1)
    picture = None if pair.scene is None or not pictured else composite(pair.scene, comparison.preview.grid, bands)
    name = None if regions is None else regions.name
    scene = None if pair.scene is None else pair.scene.name
    return Judged(pair.map_path, pair.reference, scene, name, comparison, picture)


def _regions(regions: gpd.GeoDataFrame | Path | None, mapped: ClassRaster) -> Regions | None:
    if regions is None:
        return None
    if isinstance(regions, Path):
        return Regions.of(read_vector(regions), mapped.grid, str(regions))
    return Regions.of(regions, mapped.grid, "the regions")


def _checked(baseline: Mapping[str, Accuracy], classes: int) -> dict[str, Accuracy]:
    for name, accuracy in baseline.items():
        if accuracy.matrix.shape != (classes, classes):
            found = len(accuracy.matrix)
            raise OptionError(f"baseline '{name}' has {found} classes and the map has {classes}; use the same legend")
    return dict(baseline)


def _result(output: Path, report: Report) -> EvaluateResult:
    accuracy, counts = report.accuracy, report.counts
    return EvaluateResult(
        output=output,
        overall_accuracy=accuracy.overall,
        mean_iou=accuracy.mean_iou,
        pixels=counts.pixels,
        unlabelled=counts.unlabelled,
        unmapped=counts.unmapped,
        worst=report.legend.names[int(np.nanargmin(accuracy.iou))],
        classes=_class_scores(report.legend, counts, accuracy),
        baseline=tuple(
            RivalScore(name, _or_none(one.overall), _or_none(one.mean_iou), tuple(map(_or_none, one.iou)))
            for name, one in report.rivals.items()
        ),
    )


def _class_scores(legend: Legend, counts: Counts, accuracy: Accuracy) -> tuple[ClassScore, ...]:
    return tuple(
        ClassScore(
            id=item.id,
            name=item.name,
            iou=_or_none(accuracy.iou[index]),
            f1=_or_none(accuracy.f1[index]),
            users_accuracy=_or_none(accuracy.users[index]),
            producers_accuracy=_or_none(accuracy.producers[index]),
            pixels=int(accuracy.reference[index]),
            map_pixels=int(counts.map_pixels[index]),
            hectares=None if counts.hectares is None else _or_none(counts.hectares[index]),
        )
        for index, item in enumerate(legend)
    )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rivals(baseline: tuple[RivalScore, ...], score: str) -> list[str]:
    return [f"{one.name} {_number(getattr(one, score), 4)}" for one in baseline]


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _shown(name: str, longest: int = 32) -> str:
    """A name that cannot break the table or the terminal."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def _table(rows: list[list[str]]) -> list[str]:
    """Aligned lines: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
