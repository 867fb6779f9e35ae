"""Small inputs of every command, and how a real process of one is started and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely

import geoseg
from conftest import CORNER, UTM, striped, write_small_model
from geoseg.statistics import BandStatistics

BANDS = ("blue", "green")
SIDE = 192


@dataclass(frozen=True)
class Inputs:
    """Files that commands read.

    Attributes:
        scene, labels, model, map, chips, regions: made once, and never changed by a test.
    """

    scene: Path
    labels: Path
    model: Path
    map: Path
    chips: Path
    regions: Path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    values, classes = striped(SIDE, SIDE, bands=2)
    for name, array, described in (("scene", values, BANDS), ("labels", classes[None], ("class",))):
        profile = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "nodata": 0, "photometric": "minisblack"}
        size = {"count": len(array), "height": SIDE, "width": SIDE, "dtype": array.dtype}
        with rasterio.open(folder / f"{name}.tif", "w", **size, **profile) as dataset:
            dataset.write(array)
            dataset.descriptions = described
    statistics = BandStatistics((1500.0,) * 2, (800.0,) * 2, (1.0,) * 2, (3000.0,) * 2)
    write_small_model(folder / "model.safetensors", statistics, bands=BANDS)
    geoseg.predict(folder / "model.safetensors", folder / "scene.tif", folder / "map.tif", runtime="torch")
    geoseg.tile(folder / "scene.tif", folder / "labels.tif", folder / "chips", chip_size=32)
    halves = [shapely.box(*CORNER @ (col, SIDE), *CORNER @ (col + SIDE // 2, 0)) for col in (0, SIDE // 2)]
    gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=UTM).to_file(folder / "regions.gpkg")
    return Inputs(*(folder / name for name in (
        "scene.tif", "labels.tif", "model.safetensors", "map.tif", "chips", "regions.gpkg",
    )))  # fmt: skip


COMMAND = [sys.executable, "-c", "from geoseg.cli import main; main()"]


def started(words, **options):
    """A process of geoseg in a group of its own, which Ctrl-C reaches."""
    # Where tests run in the background of a shell Ctrl-C is ignored, and processes inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(found, process=None, seconds=60.0):
    """Wait until something is so, or the process ended; true when it is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (process is None or process.poll() is None):
        if found():
            return True
        time.sleep(0.003)
    return bool(found())


def words_of(name, inputs, output):
    """A command of some seconds that makes `output`."""
    slow = ("--window", "64", "--margin", "16", "--blend", "hann", "--runtime", "torch", "--tta")
    return {
        "tile": ("tile", inputs.scene, "--labels", inputs.labels, "--chip-size", "16", "--overlap", "0.5"),
        "train": ("train", inputs.chips, "--epochs", "5000", "--chips-per-epoch", "8", "--batch-size", "4",
                  "--arch-option", "width=4"),
        "predict": ("predict", inputs.model, inputs.scene, *slow),
        "vectorize": ("vectorize", inputs.map, "--simplify", "1"),
    }[name] + ("-q", "-o", output)  # fmt: skip


def output_of(name, folder):
    return folder / {"tile": "chips", "train": "m.safetensors", "predict": "map.tif", "vectorize": "map.gpkg"}[name]


def hidden_of(output):
    return output.parent / f".{output.name}.partial"


def files_in(folder):
    """Contents of all files, by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
