"""How good a map is: scores against a reference, estimates from samples, and a report to show."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import geopandas as gpd

from geoseg.assessment import assemble
from geoseg.assessment.compare import Comparison, compare
from geoseg.assessment.figures import Curves, read_curves
from geoseg.assessment.judge import Judgement, Options, Pair, judge, refuse_other_legends, regions_of
from geoseg.assessment.matching import open_reference
from geoseg.assessment.provenance import Provenance, provenance
from geoseg.assessment.report import MOST_PICTURES, Judged, Report, write_report
from geoseg.assessment.results import EvaluateResult, RivalScore
from geoseg.assessment.rival import pixel_rival
from geoseg.assessment.samples import sample_field
from geoseg.assessment.worst import worst_places
from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.confusion import Accuracy
from geoseg.disk import Stamp, stamps_for
from geoseg.errors import OptionError
from geoseg.labels import LabelOptions, Labels
from geoseg.legend import Legend, read_legend
from geoseg.output import new_output
from geoseg.readers import find_source
from geoseg.viewing.composite import composite

logger = logging.getLogger(__name__)

__all__ = ["EvaluateResult", "Pair", "evaluate", "evaluate_pairs"]

BOUNDARY = "5.43px"
"""0.75 % of the diagonal of a picture of 512 x 512 pixels, whatever the size of the scene."""

Paths = str | Path | Sequence[str | Path]


def evaluate(
    maps: Paths,
    reference: str | Path | None,
    output: str | Path | None = None,
    *,
    samples: str | Path | None = None,
    together: bool = False,
    class_field: str | None = None,
    legend: str | Path | None = None,
    scene: str | Path | None = None,
    bands: tuple[str, ...] | None = None,
    regions: gpd.GeoDataFrame | str | Path | None = None,
    by: str | Path | None = None,
    by_field: str | None = None,
    boundary: str | float | None = BOUNDARY,
    confidence: Paths | None = None,
    probabilities: Paths | None = None,
    polygons: str | float | None = None,
    spacing: int | None = None,
    baseline: Mapping[str, Accuracy] | None = None,
    baseline_labels: str | Path | None = None,
    curves: str | Path | None = None,
    model: str | Path | None = None,
    overwrite: bool = False,
    **labelling: Unpack[LabelOptions],
) -> EvaluateResult:
    """Compare maps with a reference, and write a report where a folder for it is given.

    Pixels count once each, in one confusion matrix over the whole map. Pixels without a class in either are left out.

    Args:
        maps: one class raster, such as `predict` writes, or several to compare with each other.
        reference: a class raster on any grid, polygons or points; in any CRS. None where there are samples only.
        output: folder to make: report.html, metrics.json, confusion.csv and figures; None for the numbers alone.
        samples: points that were drawn with `geoseg.sample` and labelled, for areas and accuracies with intervals.
        together: the maps are scenes of one job: counted in one matrix, and scored one by one beside it.
        class_field: column of the reference (of the samples where there is none) that holds the class, as id or name.
        legend: legend.toml, for a map that does not name its classes itself.
        scene: the scene the first map was made from, to show beside it.
        bands: the bands of the scene to choose red, green and blue from.
        regions: polygons; only pixels whose centre is inside one count. Test blocks, for instance.
        by, by_field: polygons to score one by one, and the column of their names.
        boundary: how far borders of classes may lie apart, such as "30m" or "3px"; None for no boundary scores.
        confidence: raster of how sure each map is, on its grid.
        probabilities: raster of each map's class probabilities, in place of the confidence.
        polygons: smallest polygon that counts, such as "0.5ha" or "0"; None for no scores of polygons.
        spacing: pixels between the pairs by which two maps are tested; found from the maps when None.
        baseline: accuracies of rivals on the same pixels and classes, by name, to show side by side.
        baseline_labels: labels to train a Gaussian classifier on that sees one pixel of the scene at a time, and to
            compare it with the maps; not those that the maps are judged by.
        curves: metrics.csv of the training, to draw its curves; the one beside the model when not given.
        model: the model that made the map, to tell of it; the one beside the map when not given.
        overwrite: replace the report if it is there.
        **labelling: how the reference is read, see `geoseg.labels.LabelOptions`.

    Raises:
        MapError: a map is no class raster, or has a confidence that does not fit it.
        LabelError: the reference or the samples cannot be used, or no pixel can be compared.
        SceneError: the scene cannot be shown.
        OptionError: a setting that cannot be, a baseline of other classes, or curves that cannot be read.
        OutputError: the report exists already or cannot be written.
    """
    paths = _paths(maps)
    _check(paths, reference, samples, regions, together)
    truth = Path(reference if reference is not None else samples)  # type: ignore[arg-type]
    where = Path(regions) if isinstance(regions, str) else regions
    source = None if scene is None else find_source(scene)
    field = class_field if reference is not None else sample_field(truth, class_field, labelling.get("layer"))
    pairs = [
        Pair(path, truth, source if place == 0 else None, where, field, sure, shares)
        for place, (path, sure, shares) in enumerate(
            zip(paths, _each(confidence, paths, "confidence"), _each(probabilities, paths, "probability"), strict=True)
        )
    ]
    options = Options(
        boundary=boundary,
        polygons=polygons,
        by=None if by is None else Path(by),
        by_field=by_field,
        samples=None if samples is None else Path(samples),
        samples_field=field if reference is None else None,
        samples_layer=labelling.get("layer") if reference is None else None,
        labelling=labelling,
    )
    training = None if baseline_labels is None else Path(baseline_labels)
    if training is not None and source is None:
        raise OptionError("a per-pixel baseline is trained on the bands of a scene; name it with --scene")
    asked = _Asked(output, options, legend, bands, baseline or {}, curves, model, overwrite, spacing, training)
    return _evaluate([pairs] if together else [[pair] for pair in pairs], asked)


def evaluate_pairs(
    pairs: Sequence[Pair],
    output: str | Path,
    *,
    legend: str | Path | None = None,
    bands: tuple[str, ...] | None = None,
    baseline: Mapping[str, Accuracy] | None = None,
    curves: str | Path | None = None,
    model: str | Path | None = None,
    boundary: str | float | None = BOUNDARY,
    overwrite: bool = False,
    **labelling: Unpack[LabelOptions],
) -> EvaluateResult:
    """Compare scenes of one legend, each with a reference of its own, in one confusion matrix and one report.

    The other arguments and the errors are those of `evaluate`.

    Raises:
        MapError: the maps have different legends.
        OptionError: there is no pair.
    """
    if not pairs:
        raise OptionError("there is no map to evaluate; give at least one with its reference")
    options = Options(boundary=boundary, labelling=labelling)
    asked = _Asked(output, options, legend, bands, baseline or {}, curves, model, overwrite)
    return _evaluate([list(pairs)], asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for beside the maps; see `evaluate`."""

    output: str | Path | None
    options: Options
    legend: str | Path | None
    bands: tuple[str, ...] | None
    baseline: Mapping[str, Accuracy]
    curves: str | Path | None
    model: str | Path | None
    overwrite: bool
    spacing: int | None = None
    baseline_labels: Path | None = None


def _evaluate(candidates: list[list[Pair]], asked: _Asked) -> EvaluateResult:
    """Judge maps side by side, each of one or several scenes, and write the report of the first."""
    if asked.output is None:
        own, found = _found(candidates, asked, pictured=0)[1:]
        return _result(None, found, _rivals(candidates[0][0], asked, own), own)
    output = Path(asked.output)
    with new_output(output, overwrite=asked.overwrite, sources=_sources(output, candidates, asked)) as workspace:
        made = provenance(candidates[0][0].map_path, None if asked.model is None else Path(asked.model))
        training = _curves(None if asked.curves is None else Path(asked.curves), made)
        maps, own, found = _found(candidates, asked, pictured=MOST_PICTURES)
        rivals = _rivals(candidates[0][0], asked, own)
        result = _result(workspace.target, found, rivals, own)
        judged = tuple(
            _judged(pair, raster, one, labels, asked.bands, pictured=number < MOST_PICTURES)
            for number, (pair, raster, one, labels) in enumerate(
                zip(candidates[0], maps, found[0].comparisons, found[0].references, strict=True)
            )
        )
        write_report(workspace.main, Report(own, judged, rivals, training, result, made))
        return result


def _sources(output: Path, candidates: list[list[Pair]], asked: _Asked) -> tuple[Stamp, ...]:
    """The files that are read, as they are now."""
    options = asked.options
    further = options.by, options.samples, asked.legend, asked.curves, asked.model, asked.baseline_labels
    read = [file for pairs in candidates for pair in pairs for file in pair.files]
    return stamps_for(output, [*read, *(one for one in further if one)])


def _found(
    candidates: list[list[Pair]], asked: _Asked, *, pictured: int
) -> tuple[list[ClassRaster], Legend, list[Judgement]]:
    """The scenes of the first map, their legend, and what was found of each map."""
    names = None if asked.legend is None else read_legend(Path(asked.legend))
    maps = [[open_class_raster(pair.map_path, legend=names) for pair in pairs] for pairs in candidates]
    for scenes in maps:
        refuse_other_legends(scenes)
    found = [
        judge(
            pairs,
            maps[place],
            asked.options,
            [other[0] for other in maps[place + 1 :]],
            spacing=asked.spacing,
            pictured=pictured if place == 0 else 0,
        )
        for place, pairs in enumerate(candidates)
    ]
    return maps[0], maps[0][0].legend, found


def _curves(given: Path | None, made: Provenance) -> Curves | None:
    """The curves that were asked for, else those beside the model, if they can be read."""
    if given is not None:
        return read_curves(given)
    try:
        return None if made.curves is None else read_curves(made.curves)
    except OptionError as error:
        logger.warning("%s; the report has no curves", error)
        return None


def _paths(given: Paths) -> list[Path]:
    return [Path(path) for path in ([given] if isinstance(given, str | Path) else given)]


def _check(
    maps: list[Path],
    reference: str | Path | None,
    samples: str | Path | None,
    regions: object,
    together: bool,
) -> None:
    if not maps:
        raise OptionError("there is no map to evaluate; give at least one")
    if reference is None and samples is None:
        raise OptionError("there is nothing to judge the map by; give a reference, or samples with --samples")
    if samples is not None and regions is not None:
        raise OptionError("samples are of the whole map, and --regions asks for a part of it; leave one of them out")
    if samples is not None and together:
        raise OptionError("samples are of one map; mosaic the scenes first, or evaluate them one by one")


def _each(given: Paths | None, maps: list[Path], what: str) -> list[Path | None]:
    """One raster for each map."""
    if given is None:
        return [None] * len(maps)
    paths = _paths(given)
    if len(paths) != len(maps):
        raise OptionError(f"there are {len(maps)} maps and {len(paths)} {what} rasters; give one for each map")
    return list(paths)


def _judged(
    pair: Pair,
    raster: ClassRaster,
    comparison: Comparison,
    labels: Labels,
    bands: tuple[str, ...] | None,
    *,
    pictured: bool,
) -> Judged:
    preview = comparison.preview
    picture = None if pair.scene is None or not pictured else composite(pair.scene, preview.grid, bands)
    regions = str(pair.regions) if isinstance(pair.regions, Path) else "the regions"
    return Judged(
        map_path=pair.map_path,
        reference=pair.reference,
        scene=None if pair.scene is None else pair.scene.name,
        regions=None if pair.regions is None else regions,
        comparison=comparison,
        picture=picture,
        spots=worst_places(preview, raster, labels, pair.scene, bands) if pictured else (),
    )


def _result(
    output: Path | None, found: list[Judgement], rivals: Mapping[str, Accuracy], legend: Legend
) -> EvaluateResult:
    return EvaluateResult(
        output=output,
        maps=tuple(one.scores for one in found),
        comparisons=tuple(pair for one in found for pair in one.rivals),
        baseline=tuple(RivalScore(name, assemble.scores(one.matrix, legend)) for name, one in rivals.items()),
    )


def _rivals(pair: Pair, asked: _Asked, legend: Legend) -> dict[str, Accuracy]:
    """The rivals that were given, and the one that is trained, on the ground that the first map is judged on."""
    rivals = _checked(asked.baseline, len(legend))
    if asked.baseline_labels is not None and pair.scene is not None:
        labelling = asked.options.labelling
        rival = pixel_rival(pair.scene.open(), asked.baseline_labels, legend, field=pair.field, **labelling)
        labels = open_reference(pair.reference, legend, field=pair.field, **labelling)
        matrix = compare(rival, labels, regions_of(pair, rival.grid), longest=1).matrix
        rivals["per pixel"] = Accuracy(matrix)
    return rivals


def _checked(baseline: Mapping[str, Accuracy], classes: int) -> dict[str, Accuracy]:
    for name, accuracy in baseline.items():
        if accuracy.matrix.shape != (classes, classes):
            found = len(accuracy.matrix)
            raise OptionError(f"baseline '{name}' has {found} classes and the map has {classes}; use the same legend")
    return dict(baseline)
