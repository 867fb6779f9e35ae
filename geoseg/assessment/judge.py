"""Judge one map, or several scenes counted together, by everything that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from geoseg.assessment import assemble
from geoseg.assessment.by_region import RegionTally
from geoseg.assessment.calibration import CalibrationTally, calibration
from geoseg.assessment.compare import Comparison, Counts, Regions, compare
from geoseg.assessment.estimate import estimate
from geoseg.assessment.matching import MatchedLabels, MatchedMap, matched_map, open_reference, told
from geoseg.assessment.mcnemar import PairTally
from geoseg.assessment.polygon_scores import PolygonScores
from geoseg.assessment.preview import LONGEST
from geoseg.assessment.results import MapScores, McNemar
from geoseg.assessment.samples import read_samples
from geoseg.assessment.scores import Boundary, GroupScores, MapArea
from geoseg.assessment.sight import Tally
from geoseg.class_raster import ClassRaster
from geoseg.errors import LabelError, MapError, OptionError
from geoseg.grid import Grid
from geoseg.labels import LabelOptions
from geoseg.legend import Legend
from geoseg.named_regions import NamedRegions
from geoseg.readers import Source
from geoseg.shares import open_confidence, open_probabilities
from geoseg.units import area
from geoseg.vector import read_vector


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A map and what to judge it by.

    Attributes:
        map_path: a class raster.
        reference: a class raster on any grid, polygons or points.
        scene: the scene to show beside it.
        regions: polygons; only pixels whose centre is inside one count.
        field: column of the reference that holds the class.
        confidence: raster of how sure the map is, on its grid.
        probabilities: raster of the classes' probabilities, in place of the confidence.
    """

    map_path: Path
    reference: Path
    scene: Source | None = None
    regions: gpd.GeoDataFrame | Path | None = None
    field: str | None = None
    confidence: Path | None = None
    probabilities: Path | None = None

    @property
    def files(self) -> list[str | Path]:
        """Every file that is read."""
        regions = self.regions if isinstance(self.regions, Path) else None
        named = (self.map_path, self.reference, regions, self.confidence, self.probabilities)
        return [*(path for path in named if path is not None), *(self.scene.files if self.scene is not None else ())]


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """What to find out beside the confusion matrix.

    Attributes:
        boundary: tolerance of the boundary scores, such as "30m" or "3px"; None for no such scores.
        polygons: smallest polygon that counts, such as "0.5ha" or "20px"; None for no scores of polygons.
        by, by_field: regions to score one by one, and the column of their names.
        samples, samples_field, samples_layer: labelled points to estimate from.
        labelling: how references are read.
    """

    boundary: str | float | None = None
    polygons: str | float | None = None
    by: Path | None = None
    by_field: str | None = None
    samples: Path | None = None
    samples_field: str | None = None
    samples_layer: str | None = None
    labelling: LabelOptions = field(default_factory=LabelOptions)


@dataclass(slots=True, eq=False)
class _Scene:
    """One map under judgement: its tallies, and what was compared."""

    pair: Pair
    labels: MatchedLabels
    comparison: Comparison
    regions: str | None
    tallies: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was found of one map.

    Attributes:
        scores: all of it.
        comparisons: counts and small pictures, scene by scene.
        references: what the scenes were compared with.
        rivals: how it compares with the other maps.
    """

    scores: MapScores
    comparisons: tuple[Comparison, ...]
    references: tuple[MatchedLabels, ...]
    rivals: tuple[McNemar, ...]


def judge(
    pairs: Sequence[Pair],
    maps: Sequence[ClassRaster],
    options: Options,
    others: Sequence[ClassRaster] = (),
    *,
    spacing: int | None = None,
    pictured: int = 0,
) -> Judgement:
    """Compare scenes with their references, in one confusion matrix.

    Args:
        pairs: maps and references.
        maps: the maps of the pairs, of one legend.
        options: what to find out.
        others: further maps of the ground of the first, to test it against.
        spacing: pixels between the pairs of that test, None to find out.
        pictured: of how many scenes small pictures are wanted.

    Raises:
        GeosegError: see `geoseg.assessment.evaluate.evaluate`.
    """
    legend = maps[0].legend
    rivals = [matched_map(other, maps[0]) for other in others]
    scenes = [
        _scene(pair, raster, options, rivals if place == 0 else [], spacing, LONGEST if place < pictured else 1)
        for place, (pair, raster) in enumerate(zip(pairs, maps, strict=True))
    ]
    first, *rest = (scene.comparison.counts for scene in scenes)
    counts: Counts = sum(rest, start=first)
    mapped = assemble.areas(counts, legend)
    scores = _map_scores(scenes, maps, counts, mapped, options)
    return Judgement(
        scores,
        tuple(scene.comparison for scene in scenes),
        tuple(scene.labels for scene in scenes),
        _rivals(scenes[0], maps[0], others),
    )


def _scene(
    pair: Pair, raster: ClassRaster, options: Options, rivals: list[MatchedMap], spacing: int | None, longest: int
) -> _Scene:
    try:
        labels = open_reference(pair.reference, raster.legend, field=pair.field, **options.labelling)
    except LabelError as error:
        raise LabelError(f"{error} (compared with {raster.path})") from error
    regions = regions_of(pair, raster.grid)
    with ExitStack() as stack:
        tallies = _tallies(pair, raster, options, stack, extended=not labels.has_points_only)
        tallies |= {f"pair {place}": PairTally(rival, spacing) for place, rival in enumerate(rivals)}
        wanted: list[Tally] = list(tallies.values())
        comparison = compare(raster, labels, regions, tallies=wanted, longest=longest)
    return _Scene(pair, labels, comparison, None if regions is None else regions.name, tallies)


def _tallies(pair: Pair, raster: ClassRaster, options: Options, stack: ExitStack, *, extended: bool) -> dict[str, Any]:
    """What to count beside the confusion matrix; modules that compile are loaded only where they are needed."""
    classes, grid = len(raster.legend), raster.grid
    found: dict[str, Any] = {}
    if options.boundary is not None and extended:
        from geoseg.assessment.boundary import BoundaryTally, tolerance

        found["boundary"] = BoundaryTally(classes, tolerance(options.boundary, grid))
    if options.polygons is not None and extended:
        from geoseg.assessment.objects import ObjectTally

        _least_pixels(options.polygons, grid)
        found["polygons"] = ObjectTally(grid.shape)
    if options.by is not None:
        found["regions"] = RegionTally(classes, NamedRegions(options.by, options.by_field, grid))
    if pair.probabilities is not None:
        shares = open_probabilities(pair.probabilities, grid, raster.legend)
        stack.callback(shares.close)
        found["calibration"] = CalibrationTally(shares, classes, of_classes=True)
    elif pair.confidence is not None:
        shares = open_confidence(pair.confidence, grid)
        stack.callback(shares.close)
        found["calibration"] = CalibrationTally(shares, classes, of_classes=False)
    return found


def _map_scores(
    scenes: list[_Scene], maps: Sequence[ClassRaster], counts: Counts, mapped: tuple[MapArea, ...], options: Options
) -> MapScores:
    legend = maps[0].legend
    boundaries = [scene.tallies["boundary"].f1() for scene in scenes if "boundary" in scene.tallies]
    scores = assemble.scores(counts.matrix, legend, boundaries)
    calibrations = [scene.tallies["calibration"] for scene in scenes if "calibration" in scene.tallies]
    left_out = [line for scene in scenes for line in told(scene.labels.match, scene.pair.reference)]
    everywhere = any(scene.regions is None for scene in scenes)
    notes = assemble.notes(
        scores, counts, everywhere=everywhere, boundary=bool(boundaries), with_confidence=bool(calibrations)
    )
    if options.samples is not None and all(scene.pair.reference == options.samples for scene in scenes):
        notes.insert(
            0, "Scores of pixels are those under the samples, each counted alike; the estimates weigh them by strata."
        )
    names = [scene.regions for scene in scenes if scene.regions is not None]
    return MapScores(
        name=maps[0].path.name if len(maps) == 1 else f"{len(maps)} scenes",
        maps=tuple(str(raster.path) for raster in maps),
        references=tuple(str(scene.pair.reference) for scene in scenes),
        regions=", ".join(dict.fromkeys(names)) or None,
        scores=scores,
        inside=counts.inside,
        unlabelled=counts.unlabelled,
        unmapped=counts.unmapped,
        areas=mapped,
        scenes=_by_scene(scenes, legend) if len(scenes) > 1 else (),
        by_region=_by_region(scenes, legend),
        boundary=_boundary(scenes, maps[0].grid),
        calibration=calibration(calibrations) if calibrations else None,
        polygons=_polygons(scenes, maps, options),
        estimate=None if options.samples is None else _estimate(maps, mapped, options),
        left_out=tuple(dict.fromkeys(left_out)),
        notes=tuple(notes),
    )


def _by_scene(scenes: list[_Scene], legend: Legend) -> tuple[GroupScores, ...]:
    return tuple(
        GroupScores(
            scene.pair.map_path.name,
            assemble.scores(
                scene.comparison.matrix,
                legend,
                [scene.tallies["boundary"].f1()] if "boundary" in scene.tallies else (),
            ),
        )
        for scene in scenes
    )


def _by_region(scenes: list[_Scene], legend: Legend) -> tuple[GroupScores, ...]:
    tallies = [scene.tallies["regions"] for scene in scenes if "regions" in scene.tallies]
    if not tallies:
        return ()
    totals = {name: np.sum([tally.matrices[name] for tally in tallies], axis=0) for name in tallies[0].matrices}
    return tuple(
        GroupScores(name, assemble.scores(total, legend) if total.any() else None) for name, total in totals.items()
    )


def _boundary(scenes: list[_Scene], grid: Grid) -> Boundary | None:
    found = [scene.tallies["boundary"].pixels for scene in scenes if "boundary" in scene.tallies]
    if not found:
        return None
    pixels, metres = found[0], grid.ground_sample_distance
    return Boundary(pixels, None if metres is None else pixels * metres)


def _polygons(scenes: list[_Scene], maps: Sequence[ClassRaster], options: Options) -> PolygonScores | None:
    if options.polygons is None:
        return None
    found = [
        (scene.tallies["polygons"], _least_pixels(options.polygons, raster.grid))
        for scene, raster in zip(scenes, maps, strict=True) if "polygons" in scene.tallies
    ]  # fmt: skip
    if not found:
        return None
    from geoseg.assessment.objects import polygon_scores

    return polygon_scores([tally for tally, _ in found], maps[0].legend, [least for _, least in found])


def _least_pixels(text: str | float, grid: Grid) -> float:
    size = area(text, "a smallest polygon")
    metres = grid.ground_sample_distance
    if not size.on_ground:
        return size.value
    if metres is None:
        raise OptionError(f"a smallest polygon of '{text}' needs a map in metres, and this has none; give pixels")
    return size.value / metres**2


def _estimate(maps: Sequence[ClassRaster], mapped: tuple[MapArea, ...], options: Options) -> Any:
    if len(maps) > 1:
        raise OptionError("samples are of one map; mosaic the scenes first, or evaluate them one by one")
    assert options.samples is not None  # noqa: S101
    samples = read_samples(
        options.samples, maps[0].grid, maps[0].legend, field=options.samples_field, layer=options.samples_layer
    )
    return estimate(samples, maps[0], mapped)


def _rivals(scene: _Scene, first: ClassRaster, others: Sequence[ClassRaster]) -> tuple[McNemar, ...]:
    names = _names([first, *others])
    return tuple(scene.tallies[f"pair {place}"].result(names[0], names[place + 1]) for place in range(len(others)))


def _names(maps: Sequence[ClassRaster]) -> list[str]:
    """File names, or paths where two are called alike."""
    names = [raster.path.name for raster in maps]
    return names if len(set(names)) == len(names) else [str(raster.path) for raster in maps]


def regions_of(pair: Pair, grid: Grid) -> Regions | None:
    """Where pixels of a pair count, in the CRS of a grid; None for everywhere."""
    if pair.regions is None:
        return None
    if isinstance(pair.regions, Path):
        return Regions.of(read_vector(pair.regions), grid, str(pair.regions))
    return Regions.of(pair.regions, grid, "the regions")


def refuse_other_legends(maps: Sequence[ClassRaster]) -> None:
    """Refuse scenes that cannot be counted in one matrix.

    Raises:
        MapError: they have different legends.
    """
    first = maps[0]
    for other in maps[1:]:
        if (other.legend.ids, other.legend.names) != (first.legend.ids, first.legend.names):
            raise MapError(f"{other.path}: has another legend than {first.path}; evaluate them one by one")
