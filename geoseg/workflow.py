"""The whole job on one set of scenes: tile, train, predict, vectorize, evaluate, into one folder.

A run that is killed goes on with the same command: each step that is complete is kept, the one that was cut off begins
anew. What the run was asked for is written down first, so that results of two different runs never mix.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

import geopandas as gpd
import numpy as np

from geoseg import __version__
from geoseg.assessment import baseline
from geoseg.assessment.compare import Regions, compare
from geoseg.assessment.evaluate import EvaluateResult, Pair, evaluate_pairs
from geoseg.assessment.pixel_map import PixelMap
from geoseg.chips.dataset import labelled_pixels
from geoseg.chips.index import ChipIndex, read_index
from geoseg.chips.pairs import InputOptions, LabelledScene, labelling, open_pairs
from geoseg.chips.tiler import tile
from geoseg.confusion import Accuracy, Matrix
from geoseg.disk import LOCK, fresh_file, locked
from geoseg.documents import UNSOUND, checked, parse_json
from geoseg.errors import OutputExistsError
from geoseg.legend import Legend
from geoseg.names import plain_name
from geoseg.output import fingerprint, give_up, refuse_existing, refuse_foreign
from geoseg.prediction.predict import predict
from geoseg.readers import Source
from geoseg.training.checkpoint import Checkpoints
from geoseg.training.fit import beside as beside_model
from geoseg.training.fit import train
from geoseg.vectors.vectorize import vectorize
from geoseg.writers.geotiff import beside as beside_map

logger = logging.getLogger(__name__)

STATE, FRESH = "run.json", ".run.json.new"


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
        return (
            f"Scores on {self.judged_on}, beside a Gaussian maximum likelihood classifier per pixel:\n{self.scores}\n"
            f"{self.output}: {len(self.maps)} maps and layers of polygons, model and report in {self.seconds:.0f} s"
        )


def run(
    scenes: str | Path | list[str | Path],
    labels: str | Path,
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
        labels: polygons, points, lines or a class raster, or a folder with a file for each scene.
        output: folder to make: chips/, model.safetensors, map.tif, map.gpkg and report/ (maps/ for several scenes).
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
    pairs = open_pairs(paths, labels, **inputs)
    files: list[str | Path] = [
        *(file for pair in pairs for file in pair.source.files),
        *(pair.labels.path for pair in pairs),
    ]
    legend = inputs.get("legend")
    if legend is not None and not isinstance(legend, Legend):
        files.append(legend)
    with _Steps.open(output, given, files, overwrite) as steps:
        chips, model, report = output / "chips", output / "model.safetensors", output / "report"
        work: Callable[..., object] = partial(
            tile, paths, labels, chips, jobs=jobs, seed=seed, **inputs, **(tiling or {})
        )
        steps.do("tile", work, chips)
        # What was begun by this very run goes on; `train` tells by its settings and chips.
        learn = partial(train, seed=seed, device=device, resume=True, **(training or {}))
        steps.do("train", partial(learn, chips, model), model, *(output / name for name in beside_model(model)))
        index = read_index(chips)
        maps, layers = _output_names(output, [pair.source for pair in pairs], polygons)
        for pair, target, layer in zip(pairs, maps, layers, strict=True):
            work = partial(predict, model, pair.scene, target, device=device)
            steps.do(f"predict {target.name}", work, target, *(target.parent / name for name in beside_map(target)))
            work = partial(vectorize, target, layer, simplify=simplify)
            steps.do(f"vectorize {layer.name}", work, layer)
        judged_on, split = _judge(index)
        scores = evaluate_pairs(
            _judged(index, split, pairs, maps),
            report,
            baseline={"per pixel": _baseline(index, pairs, split)},
            model=model,
            overwrite=steps.begin(report),
            **labelling(inputs),
        )
        steps.finish(asdict(scores))
    return RunResult(
        str(output),
        tuple(map(str, maps)),
        tuple(map(str, layers)),
        str(report),
        judged_on,
        scores,
        time.monotonic() - start,
    )


class _State(TypedDict):
    """How far a run is."""

    version: str
    key: str
    options: dict[str, Any]
    files: list[str]
    done: list[str]
    scores: dict[str, Any] | None


class _Steps:
    """Which steps of a run are complete, kept in its folder."""

    def __init__(self, folder: Path, key: str, given: dict[str, Any], overwrite: bool) -> None:
        """Begin a run in an empty folder, or go on with the same run in its own."""
        self._folder = folder
        state = _previous(folder)
        if state is None or state["key"] != key or state["scores"] is not None:
            if state is not None and not overwrite:
                what = "another run" if state["key"] != key else "this run, complete"
                raise OutputExistsError(f"{folder} holds {what}; choose another name or give --overwrite")
            if state is not None:
                _remove(folder, state["files"])
            state = _State(version=__version__, key=key, options=given, files=[], done=[], scores=None)
        self._state = state
        self._save()

    @classmethod
    @contextmanager
    def open(cls, folder: Path, given: dict[str, Any], files: list[str | Path], overwrite: bool) -> Iterator[_Steps]:
        """Keep the folder of a run to this process.

        Raises:
            OutputExistsError: the folder holds something else.
            OutputError: it cannot be made, or another run is at work in it.
        """
        key = fingerprint({"version": __version__} | given, files)
        is_new = not folder.exists()
        if is_new:
            refuse_existing(folder, overwrite)
            folder.mkdir()
        elif not folder.is_dir():
            raise OutputExistsError(f"{folder} is a file; choose a folder that does not exist yet")
        try:
            with locked(folder, folder):
                yield cls(folder, key, given, overwrite)
        finally:
            if is_new:
                _leave_no_beginning(folder)

    def begin(self, *files: Path) -> bool:
        """Note files that are about to be made; True where they are this run's own, made before it was cut off."""
        # Noted before they are made, so that whoever begins anew knows what to take away.
        fresh = [file.relative_to(self._folder).as_posix() for file in files]
        ours = set(fresh) <= set(self._state["files"])
        if not ours:
            self._state["files"] += fresh
            self._save()
        return ours

    def do(self, name: str, work: Callable[..., object], *files: Path) -> None:
        """Do a step that makes `files`, unless it is complete."""
        if name in self._state["done"]:
            logger.info("%s: done before", name)
            return
        logger.info("%s", work(overwrite=self.begin(*files)))
        self._state["done"].append(name)
        self._save()

    def finish(self, scores: dict[str, Any]) -> None:
        """Note that all is complete."""
        self._state["scores"] = scores
        self._save()

    def _save(self) -> None:
        with fresh_file(self._folder / STATE) as fresh:
            fresh.write_text(json.dumps(self._state, indent=1, default=str), encoding="utf-8")


def _leave_no_beginning(folder: Path) -> None:
    """Take away the folder of a run that was refused before it made anything."""
    if [entry.name for entry in folder.iterdir()] == [STATE]:
        (folder / STATE).unlink()
        folder.rmdir()


def _previous(folder: Path) -> _State | None:
    """The state of the run that the folder holds, None for an empty folder."""
    path = folder / STATE
    if not path.exists():
        if any(entry.name not in {LOCK, FRESH} for entry in folder.iterdir()):
            raise OutputExistsError(f"{folder} holds files that geoseg run did not make; choose another name")
        return None
    try:
        return checked(_State, parse_json(path.read_bytes()))
    except (OSError, *UNSOUND) as error:
        raise OutputExistsError(f"{path}: cannot be read, so the run cannot go on; choose another name") from error


def _remove(folder: Path, files: list[str]) -> None:
    """Take away what an earlier run made, and nothing that lies elsewhere."""
    for name in files:
        path = folder / name
        try:
            place = path.resolve()
            path.is_dir()
        except (OSError, ValueError) as error:
            raise OutputExistsError(
                f"{folder / STATE}: lists what is no name of a file; choose another name"
            ) from error
        if not place.is_relative_to(folder.resolve()) or place == folder.resolve():
            raise OutputExistsError(f"{folder / STATE}: lists {name}, which is not in the folder; choose another name")
        if path.is_dir() and not path.is_symlink():
            refuse_foreign(path)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        # What the earlier run had begun.
        give_up(path)
        Checkpoints(path, "", {}).discard()


def _output_names(output: Path, scenes: list[Source], extension: str) -> tuple[list[Path], list[Path]]:
    if len(scenes) == 1:
        return [output / "map.tif"], [output / f"map{extension}"]
    for folder in ("maps", "polygons"):
        (output / folder).mkdir(exist_ok=True)
    stems = [plain_name(scene.stem) for scene in scenes]
    unique = len(set(stems)) == len(stems)
    names = stems if unique else [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    return [output / "maps" / f"{name}.tif" for name in names], [
        output / "polygons" / f"{name}{extension}" for name in names
    ]


def _judge(index: ChipIndex) -> tuple[str, str]:
    """What the maps are judged on: ground that training has not seen, where there is any."""
    for split, name in (("test", "test"), ("val", "validation")):
        if not index.of(split).empty:
            return f"{name} {'scenes' if index.options['split_by'] == 'scene' else 'blocks'}", split
    logger.warning("Without test or validation chips the scores are on the training labels, and far too good")
    return "training labels", "train"


def _judged(index: ChipIndex, split: str, pairs: list[LabelledScene], maps: list[Path]) -> list[Pair]:
    """The maps of scenes that have chips of the split, to be judged inside of these."""
    frame = index.of(split)
    judged = []
    for number, (pair, mapped) in enumerate(zip(pairs, maps, strict=True)):
        own: gpd.GeoDataFrame = frame[frame["scene"] == number]
        if not own.empty:
            judged.append(Pair(mapped, Path(pair.labels.path), pair.source, own[[own.geometry.name]], pair.field))
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
