"""Accuracy of geoseg's defaults on real scenes beside random forests: `python tests/benchmarks/accuracy.py --help`.

A scene is cut into a checkerboard of 8 x 8 blocks (6 x 6 where the labels are polygons); the dark blocks are for the
test, and labels there are taken out of the file that geoseg is given. It is the same board for each method and seed.
Of the Amazon scenes every fourth is for the test as a whole. Then, as a user would, with no flag but the split, which
gives all of the training labels to the training, as the forests have them:

    geoseg tile SCENE --labels TRAINING_LABELS --split 1,0,0 -o chips
    geoseg train chips -o model.safetensors --seed SEED
    geoseg predict model.safetensors SCENE -o map.tif

`--blank` takes the test blocks out of the scene too (nodata, or NaN) before tile and train see it, so that no chip
holds a pixel of them; without it, training chips may reach into test blocks, where nothing is labelled.

The rivals are scikit-learn forests of 80 trees on the pixels of all training labels (at most 50,000): of a pixel's
bands; with the means of the 3 x 3 and 9 x 9 pixels around it; and the same with balanced classes. All are judged on
the same pixels: labelled, in a test block, and with data in all bands. CPU seconds are those of the process that
trains, imports included.

A row is printed and, with --json, appended to a file when it is there; rows in that file are not measured again, so
begin a new file when the code has changed. A command that fails is told, and the next row is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import geoseg
from geoseg.confusion import Accuracy, confusion
from geoseg.legend import IGNORE

TREES, MOST_PIXELS = 80, 50_000
SPLIT = "1,0,0"


@dataclass(frozen=True)
class Case:
    """A labelled scene, or a folder of them, and what geoseg is meant to reach there.

    Attributes:
        name: folder of the scene.
        labels: class raster in it, 0 where nothing is labelled; a folder where there are many scenes.
        blocks: rows and columns of the checkerboard; 0 to hold out every fourth scene.
        target: least mIoU or overall accuracy.
    """

    name: str
    labels: str
    blocks: int
    target: dict[str, float]


CASES = (
    Case("nc_wake_landsat7_2000", "labels_dense_landclass96.tif", 8, {"miou": 0.38, "accuracy": 0.72}),
    Case("chiapas_landsat7_1999", "labels_sparse_training.tif", 6, {"miou": 0.85}),
    Case("amazon_forest_rgb_train", "masks", 0, {"miou": 0.82}),
    Case("para_landsat5_1988", "labels_sparse_training.tif", 6, {"accuracy": 0.99}),
    Case("para_sentinel2", "labels_sparse_training.tif", 6, {"accuracy": 0.99}),
)


@dataclass(frozen=True)
class Row:
    """One training, and its scores on the test pixels."""

    scene: str
    method: str
    seed: int
    options: str
    accuracy: float
    miou: float
    cpu_seconds: float
    pixels: int
    iou: tuple[float | None, ...] = ()

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes two rows the same measurement."""
        return self.scene, self.method, self.seed, self.options

    def __str__(self) -> str:
        options = f" [{self.options}]" if self.options else ""
        iou = " ".join("   -" if value is None else f"{value:.2f}" for value in self.iou)
        return (
            f"{self.scene:24} {self.method + options:24} seed {self.seed}: accuracy {self.accuracy:.3f}, "
            f"mIoU {self.miou:.3f}, {self.cpu_seconds:.0f} CPU s, {self.pixels} pixels; IoU {iou}"
        )


@dataclass(frozen=True)
class Image:
    """A scene in memory: values (bands, rows, cols), and class indices of training and of test, `IGNORE` elsewhere."""

    path: Path
    values: np.ndarray[Any, Any]
    train: np.ndarray[Any, Any]
    test: np.ndarray[Any, Any]


Measurement = tuple[float, np.ndarray[Any, Any]]
"""CPU seconds of the training, and the confusion matrix on the test pixels."""

Method = Callable[[int, Path], Measurement]


def board(height: int, width: int, blocks: int) -> np.ndarray[Any, Any]:
    """True in the test blocks (rows, cols) of a checkerboard."""
    rows, cols = (np.arange(length) * blocks // length for length in (height, width))
    return np.asarray((rows[:, None] + cols) % 2 == 1)


def read_images(data: Path, case: Case) -> tuple[list[Image], list[int]]:
    """The scenes of a case, and the ids of its classes in the order of their indices."""
    folder = data / case.name
    if case.blocks:
        pairs = [(folder / "scene.tif", folder / case.labels)]
    else:
        pairs = [(path, folder / case.labels / path.name) for path in sorted((folder / "images").glob("*.tif"))]
    raw = []
    for path, labels in pairs:
        scene = geoseg.open_scene(path)
        values, valid = scene.read(full(scene.grid.height, scene.grid.width))
        with rasterio.open(labels) as dataset:
            raw.append((path, values, valid.all(0) if valid.ndim == 3 else valid, dataset.read(1)))
    ids = sorted({int(id_) for *_, found in raw for id_ in np.unique(found)} - {0})
    table = np.full(256, IGNORE, np.uint8)
    table[ids] = np.arange(len(ids))
    images = []
    for number, (path, values, valid, found) in enumerate(raw):
        held = board(*found.shape, case.blocks) if case.blocks else np.full(found.shape, number % 4 == 3)
        index = np.where(valid, table[found], IGNORE).astype(np.uint8)
        images.append(Image(path, values, np.where(held, IGNORE, index), np.where(held, index, IGNORE)))
    return images, ids


def full(height: int, width: int) -> Any:
    """The window of a whole scene."""
    return rasterio.windows.Window(0, 0, width, height)


def write_training(case: Case, images: list[Image], ids: list[int], folder: Path, blank: bool) -> tuple[Path, Path]:
    """What geoseg may learn from: scene and labels, or a folder of each."""
    inputs = folder / "training"
    for name in ("scenes", "labels"):
        (inputs / name).mkdir(parents=True, exist_ok=True)
    made = []
    for image in images:
        if not case.blocks and (image.test != IGNORE).any():
            continue
        scene, labels = inputs / "scenes" / image.path.name, inputs / "labels" / image.path.name
        with rasterio.open(image.path) as dataset:
            profile, values, names = dataset.profile, dataset.read(), dataset.descriptions
        grid = {key: profile[key] for key in ("driver", "height", "width", "crs", "transform")}
        with rasterio.open(labels, "w", count=1, dtype="uint8", nodata=0, **grid) as dataset:
            dataset.write(np.append(np.array(ids, np.uint8), np.zeros(256 - len(ids), np.uint8))[image.train], 1)
        if blank and case.blocks:
            held = board(*image.test.shape, case.blocks)
            profile["nodata"] = profile["nodata"] if profile["nodata"] is not None else 0
            with rasterio.open(scene, "w", **profile) as dataset:
                dataset.write(np.where(held, np.array(profile["nodata"], values.dtype), values))
                dataset.descriptions = names
        else:
            shutil.copy(image.path, scene)
        made.append((scene, labels))
    return made[0] if case.blocks else (inputs / "scenes", inputs / "labels")


def command(*words: object) -> float:
    """Run a geoseg command; returns its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = Path(sys.executable).with_name("geoseg")
    subprocess.run([program, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_geoseg(
    case: Case, images: list[Image], ids: list[int], seed: int, folder: Path, options: argparse.Namespace
) -> Measurement:
    """Tile, train and predict; the CPU seconds of the training and the confusion on the test pixels."""
    scenes, labels = write_training(case, images, ids, folder, options.blank)
    chips, model = folder / "chips", folder / "model.safetensors"
    command("tile", scenes, "--labels", labels, "--split", SPLIT, "-q", "--overwrite", "-o", chips)
    seconds = command(
        "train", chips, "--seed", seed, "-q", "--overwrite", "-o", model, *shlex.split(options.train or "")
    )
    total = np.zeros((len(ids), len(ids)), np.int64)
    for image in images:
        if (image.test == IGNORE).all():
            continue
        command("predict", model, image.path, "-q", "--overwrite", "-o", folder / "map.tif")
        with rasterio.open(folder / "map.tif") as dataset:
            found = dataset.read(1)
        table = np.full(256, IGNORE, np.uint8)
        table[ids] = np.arange(len(ids))
        missing = (table[found] == IGNORE) & (image.test != IGNORE)
        if missing.any():
            raise SystemExit(f"{case.name}: {missing.sum()} test pixels have no class in the map")
        total += confusion(image.test, table[found], len(ids))
    return seconds, total


def features(image: Image, sizes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Bands, and their means over squares of these sizes, (rows, cols, features); only pixels with data count."""
    from scipy.ndimage import uniform_filter

    values = np.asarray(image.values, np.float64)
    finite = np.isfinite(values)
    filled, weight = np.where(finite, values, 0), finite.astype(float)
    planes = [filled]
    for size in sizes:
        box = (1, size, size)
        planes.append(uniform_filter(filled, box) / np.maximum(uniform_filter(weight, box), 1e-6))
    return np.moveaxis(np.concatenate(planes), 0, -1).astype(np.float32)


def run_forest(
    images: list[Image], ids: list[int], seed: int, sizes: tuple[int, ...], weights: str | None
) -> Measurement:
    """Train a forest on the training pixels; its CPU seconds and the confusion on the test pixels."""
    from sklearn.ensemble import RandomForestClassifier

    start = time.process_time()
    rng = np.random.default_rng(seed)
    known = [image for image in images if (image.train != IGNORE).any()]
    pixels, classes = [], []
    for image in known:
        labelled = np.flatnonzero(image.train.ravel() != IGNORE)
        most = MOST_PIXELS // len(known)
        chosen = rng.permutation(labelled)[:most]
        pixels.append(features(image, sizes).reshape(image.train.size, -1)[chosen])
        classes.append(image.train.ravel()[chosen])
    forest = RandomForestClassifier(TREES, random_state=seed, class_weight=weights)
    forest.fit(np.concatenate(pixels), np.concatenate(classes))
    seconds = time.process_time() - start
    total = np.zeros((len(ids), len(ids)), np.int64)
    for image in images:
        judged = image.test != IGNORE
        if judged.any():
            predicted = forest.predict(features(image, sizes)[judged])
            total += confusion(image.test[judged], predicted.astype(np.uint8), len(ids))
    return seconds, total


def methods(case: Case, images: list[Image], ids: list[int], options: argparse.Namespace) -> dict[str, Method]:
    """What is compared, by name."""
    return {
        "geoseg": lambda seed, folder: run_geoseg(case, images, ids, seed, folder, options),
        "forest": lambda seed, _: run_forest(images, ids, seed, (), None),
        "forest, means": lambda seed, _: run_forest(images, ids, seed, (3, 9), None),
        "forest, means, balanced": lambda seed, _: run_forest(images, ids, seed, (3, 9), "balanced"),
    }


def rows_of(case: Case, options: argparse.Namespace, known: dict[tuple[Any, ...], Row]) -> Iterator[Row]:
    """Measure what is not known yet."""
    images, ids = read_images(options.data, case)
    for name, method in methods(case, images, ids, options).items():
        if options.method and name not in options.method:
            continue
        trial = " ".join(filter(None, ["blank" if options.blank else "", options.train])) if name == "geoseg" else ""
        for seed in options.seeds:
            empty = Row(case.name, name, seed, trial, 0, 0, 0, 0)
            if empty.key in known:
                yield known[empty.key]
                continue
            try:
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    yield _measured(empty, *method(seed, Path(folder)))
            except subprocess.CalledProcessError as error:
                print(f"{case.name}, {name}, seed {seed}: FAILED: {error}", flush=True)


def _measured(empty: Row, seconds: float, matrix: np.ndarray[Any, Any]) -> Row:
    score = Accuracy(matrix)
    iou = tuple(None if np.isnan(value) else round(float(value), 4) for value in score.iou)
    figures = {"accuracy": score.overall, "miou": score.mean_iou, "cpu_seconds": round(seconds, 1)}
    return replace(empty, **figures, pixels=int(matrix.sum()), iou=iou)


def table(rows: list[Row]) -> str:
    """Means over the seeds, with the lowest and highest beside them, in Markdown."""
    lines = [
        "| scene | method | mIoU | overall accuracy | CPU seconds | test pixels |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.scene, row.method, row.options), []).append(row)
    for (scene, method, options), found in groups.items():
        name = f"{method} `{options}`" if options else method
        cells = [_spread([row.miou for row in found]), _spread([row.accuracy for row in found])]
        seconds = np.mean([row.cpu_seconds for row in found])
        lines.append(f"| {scene} | {name} | {' | '.join(cells)} | {seconds:.0f} | {found[0].pixels} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{np.mean(values):.3f}" + (f" ({low:.3f} to {high:.3f})" if len(values) > 1 else "")


def verdict(rows: list[Row]) -> Iterator[str]:
    """Whether the means of geoseg reach what is asked of each scene."""
    for case in CASES:
        found = [row for row in rows if row.scene == case.name and row.method == "geoseg"]
        for score, least in case.target.items():
            if found:
                mean = float(np.mean([getattr(row, score) for row in found]))
                yield f"{case.name}: {score} {mean:.3f}, asked {least}: {'reached' if mean >= least else 'MISSED'}"


def read_rows(path: Path | None) -> dict[tuple[Any, ...], Row]:
    """Rows that were measured before."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [Row(**line | {"iou": tuple(line["iou"])}) for line in lines]
    return {row.key: row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(os.environ.get("GEOSEG_REAL_SCENES", Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=here, help="folder of the scenes; GEOSEG_REAL_SCENES says it too")
    parser.add_argument("--scene", action="append", choices=[case.name for case in CASES], help="only this; repeatable")
    parser.add_argument("--method", action="append", help="only this, such as geoseg or forest; repeatable")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", help="options of geoseg train to try in place of the defaults")
    parser.add_argument("--blank", action="store_true", help="take the test blocks out of the training scene too")
    parser.add_argument("--json", type=Path, help="append rows to this file, and go on from those it has")
    parser.add_argument("--out", type=Path, help="write the table here")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder when not given")
    options = parser.parse_args()
    known, rows = read_rows(options.json), []
    for case in CASES:
        if options.scene and case.name not in options.scene:
            continue
        for row in rows_of(case, options, known):
            print(row, flush=True)
            rows.append(row)
            if options.json and row.key not in known:
                with options.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    print("\n" + table(rows))
    print("\n".join(verdict(rows)))
    if options.out:
        options.out.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
