"""The whole job on one set of scenes: tile, train, predict, vectorize, evaluate, into one folder.

A run that is killed goes on with the same command: each step that is complete is kept, the one that was cut off begins
anew. What the run was asked for is written down first, so that results of two different runs never mix.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np

from geoseg.assessment import baseline
from geoseg.assessment.compare import Regions, compare
from geoseg.assessment.evaluate import EvaluateResult, Pair, evaluate_pairs
from geoseg.assessment.pixel_map import PixelMap
from geoseg.chips.dataset import labelled_pixels
from geoseg.chips.index import ChipIndex, read_index
from geoseg.chips.pairs import InputOptions, LabelledScene, LabelPaths, labelling, open_pairs
from geoseg.chips.tiler import tile
from geoseg.confusion import Accuracy, Matrix
from geoseg.errors import ChipError
from geoseg.hints import checking
from geoseg.legend import Legend
from geoseg.names import plain_name
from geoseg.prediction.predict import predict
from geoseg.readers import Source
from geoseg.steps import Steps
from geoseg.training.fit import beside as beside_model
from geoseg.training.fit import train
from geoseg.vectors.vectorize import vectorize
from geoseg.writers.geotiff import beside as beside_map

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `run` made.

    Attributes:
        output: the folder.
        maps, polygons: in the order of the scenes.
        report: folder of the report.
        judged_on: "test blocks", "validation blocks" or "training labels".
        scores: of the maps there.
        seconds: in all.
    """

    output: str
    maps: tuple[str, ...]
    polygons: tuple[str, ...]
    report: str
    judged_on: str
    scores: EvaluateResult
    seconds: float

    def __str__(self) -> str:
        made = "map, polygons" if len(self.maps) == 1 else f"{len(self.maps)} maps and layers of polygons"
        return (
            f"Scores on {self.judged_on}, beside a Gaussian maximum likelihood classifier per pixel:\n{self.scores}\n"
            f"{self.output}: {made}, model and report in {self.seconds:.0f} s"
        )


def run(
    scenes: str | Path | list[str | Path],
    labels: LabelPaths,
    output: str | Path,
    *,
    tiling: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    simplify: float = 1.0,
    polygons: str = ".gpkg",
    device: str = "auto",
    jobs: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    **inputs: Unpack[InputOptions],
) -> RunResult:
    """Do the whole job: from scenes and labels to maps, polygons, a model and a report.

    Args:
        scenes: one or more scenes, or a folder of them, as `geoseg.tile` takes them.
        labels: polygons, points, lines or a class raster, one for each scene, or a folder with a file for each.
        output: folder to make: chips/, model.safetensors, map.tif, confidence.tif, map.gpkg and report/; for several
            scenes maps/, confidence/ and polygons/.
        tiling: further options of `geoseg.tile`.
        training: further options of `geoseg.train`.
        simplify: tolerance of the polygons, in pixels.
        polygons: extension of the polygon files: .gpkg, .geojson, .parquet or .fgb.
        device: "auto", "cpu", "cuda" or "cuda:N".
        jobs: processes that cut chips; 0 for one per core. What comes out is the same for any number.
        seed: of everything drawn at random.
        overwrite: begin anew when the folder holds another run.
        **inputs: how scenes and labels are read, see `geoseg.chips.pairs.InputOptions`.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; complete steps stay, and the same command goes on from them.
    """
    start = time.monotonic()
    output = Path(output)
    paths = [str(scene) for scene in ([scenes] if isinstance(scenes, str | Path) else scenes)]
    pairs = open_pairs(paths, labels, **inputs)
    given = {
        "scenes": paths,
        "labels": str(labels),
        "inputs": inputs,
        "tiling": tiling or {},
        "training": training or {},
        "simplify": simplify,
        "polygons": polygons,
        "device": device,
        "seed": seed,
    }
    with Steps.open(output, given, _files(pairs, inputs.get("legend")), overwrite) as steps:
        chips, model = output / "chips", output / "model.safetensors"
        # As a user calls them: what stands in the options is the user's.
        cut = partial(
            checking(tile, "tile"), paths, labels, chips, **{"jobs": jobs, "seed": seed} | inputs | (tiling or {})
        )
        steps.do("tile", cut, chips, is_whole=partial(_is_whole, chips))
        # What was begun by this very run goes on; `train` tells by its settings and chips.
        options = {"seed": seed, "device": device} | (training or {}) | {"resume": True}
        learn = partial(checking(train, "train"), chips, model, **options)
        steps.do("train", learn, model, *(output / name for name in beside_model(model)))
        outputs = _outputs(output, [pair.source for pair in pairs], polygons)
        for pair, of in zip(pairs, outputs, strict=True):
            draw = partial(predict, model, pair.source, of.map, confidence=of.confidence, device=device)
            steps.do(f"predict {of.map.name}", draw, of.confidence, of.map, *of.beside_map())
            trace = partial(vectorize, of.map, of.polygons, confidence=of.confidence, simplify=simplify)
            steps.do(f"vectorize {of.polygons.name}", trace, of.polygons)
        report = output / "report"
        judged_on, scores = _judge(
            chips, pairs, outputs, report, model=model, overwrite=steps.begin(report), **labelling(inputs)
        )
        steps.finish(asdict(scores))
    return RunResult(
        str(output),
        tuple(str(of.map) for of in outputs),
        tuple(str(of.polygons) for of in outputs),
        str(report),
        judged_on,
        scores,
        time.monotonic() - start,
    )


def _is_whole(chips: Path) -> bool:
    """Whether all chips are there; they are not flushed, so a power cut may take some though they were complete."""
    try:
        read_index(chips).require_files()
    except ChipError:
        return False
    return True


def _files(pairs: list[LabelledScene], legend: Any) -> list[str | Path]:
    """The files that a run reads."""
    read: list[str | Path] = [file for pair in pairs for file in pair.source.files]
    read += [pair.labels.path for pair in pairs]
    return read if legend is None or isinstance(legend, Legend) else [*read, legend]


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What is made of one scene."""

    map: Path
    confidence: Path
    polygons: Path

    def beside_map(self) -> list[Path]:
        """The files that belong to the map."""
        return [self.map.parent / name for name in beside_map(self.map)]


def _outputs(output: Path, scenes: list[Source], extension: str) -> list[_Outputs]:
    """Where the outputs of each scene go; several have a folder for each kind."""
    if len(scenes) == 1:
        return [_Outputs(output / "map.tif", output / "confidence.tif", output / f"map{extension}")]
    folders = [output / kind for kind in ("maps", "confidence", "polygons")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    stems = [plain_name(scene.stem) for scene in scenes]
    unique = len({stem.casefold() for stem in stems}) == len(stems)
    names = stems if unique else [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    endings = (".tif", ".tif", extension)
    return [_Outputs(*(place / (name + end) for place, end in zip(folders, endings, strict=True))) for name in names]


def _judge(
    chips: Path, pairs: list[LabelledScene], outputs: list[_Outputs], report: Path, **options: Any
) -> tuple[str, EvaluateResult]:
    """On what ground the maps were judged, and what was found."""
    index = read_index(chips)
    judged_on, split = _ground(index)
    rivals = {"per pixel": _baseline(index, pairs, split)}
    return judged_on, evaluate_pairs(_judged(index, split, pairs, outputs), report, baseline=rivals, **options)


def _ground(index: ChipIndex) -> tuple[str, str]:
    """What the maps are judged on: ground that training has not seen, where there is any."""
    for split, name in (("test", "test"), ("val", "validation")):
        if not index.of(split).empty:
            return f"{name} {'scenes' if index.options['split_by'] == 'scene' else 'blocks'}", split
    logger.warning("Without test or validation chips the scores are on the training labels, and far too good")
    return "training labels", "train"


def _judged(index: ChipIndex, split: str, pairs: list[LabelledScene], outputs: list[_Outputs]) -> list[Pair]:
    """The maps of scenes that have chips of the split, to be judged inside of these."""
    frame = index.of(split)
    judged = []
    for number, (pair, of) in enumerate(zip(pairs, outputs, strict=True)):
        own: gpd.GeoDataFrame = frame[frame["scene"] == number]
        if not own.empty:
            where, truth = own[[own.geometry.name]], Path(pair.labels.path)
            judged.append(Pair(of.map, truth, pair.source, where, pair.field, confidence=of.confidence))
    return judged


def _baseline(index: ChipIndex, pairs: list[LabelledScene], split: str) -> Accuracy:
    """What a classifier that sees one pixel at a time reaches on the same ground, trained on the same labels."""
    classifier = baseline.fit(*labelled_pixels(index, "train"), len(index.legend))
    matrix: Matrix = np.zeros((len(index.legend), len(index.legend)), np.int64)
    for number, pair in enumerate(pairs):
        chips = index.of(split)
        own = chips[chips["scene"] == number]
        if not own.empty:
            rival = PixelMap(pair.scene, classifier, index.statistics, index.legend)
            matrix += compare(rival, pair.labels, Regions.of(own, pair.scene.grid, split)).matrix
    return Accuracy(matrix)
