"""Peak memory of `geoseg tile` and `geoseg predict` at some sizes: `python tests/benchmarks/memory.py [SIZE ...]`.

The scene has four bands of uint16, tiled and deflated; the network is tiny, so that what is seen is the rest. Peak
memory is that of the whole process, imports included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from geoseg.legend import Legend
from geoseg.model import ModelSpec, write_model
from geoseg.models import build
from geoseg.statistics import BandStatistics

BANDS = ("blue", "green", "red", "nir")
CLASSES = 6
ROWS = 512


def write_pair(folder: Path, size: int) -> tuple[Path, Path]:
    """Write a scene and dense labels, size x size, in strips."""
    rng = np.random.default_rng(0)
    scene, labels = folder / f"scene_{size}.tif", folder / f"labels_{size}.tif"
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    common = {"driver": "GTiff", "height": size, "width": size, "nodata": 0} | place | tiles
    with (
        rasterio.open(scene, "w", count=len(BANDS), dtype="uint16", photometric="minisblack", **common) as image,
        rasterio.open(labels, "w", count=1, dtype="uint8", **common) as truth,
    ):
        image.descriptions = BANDS
        for row in range(0, size, ROWS):
            rows = min(ROWS, size - row)
            window = Window(0, row, size, rows)
            classes = (np.add.outer((row + np.arange(rows)) // 40, np.arange(size) // 40) % CLASSES + 1).astype(
                np.uint8
            )
            noise = rng.integers(0, 200, (len(BANDS), rows, size), np.uint16)
            image.write(classes.astype(np.uint16) * 300 + noise, window=window)
            truth.write(classes, 1, window=window)
    return scene, labels


def write_tiny_model(path: Path, classes: int) -> None:
    """A compact U-Net of four channels, untrained."""
    ones = (1.0,) * len(BANDS)
    spec = ModelSpec(
        architecture="unet_compact",
        options={"width": 4, "depth": 2},
        bands=BANDS,
        statistics=BandStatistics((1000.0,) * 4, (500.0,) * 4, ones, ones),
        legend=Legend.from_names((number, f"class {number}") for number in range(1, classes + 1)),
        ground_sample_distance=10.0,
        reach=27,
        stride=4,
        chip_size=256,
    )
    write_model(path, spec, build("unet_compact", 4, classes, width=4, depth=2).state_dict())


def run(*words: object) -> tuple[float, float]:
    """Run a geoseg command; (peak memory in MB, seconds)."""
    geoseg = Path(sys.executable).with_name("geoseg")
    start = time.monotonic()
    process = subprocess.Popen([geoseg, *map(str, words), "-q"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"geoseg {words[0]} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[4096, 8192])
    parser.add_argument("--classes", type=int, default=CLASSES, help="of the network")
    parser.add_argument("--command", choices=("tile", "predict"), help="one of them only")
    given = parser.parse_args()
    sizes = given.sizes
    peaks: dict[str, list[float]] = {name: [] for name in ("tile", "predict") if given.command in (None, name)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiny_model(folder / "model.safetensors", given.classes)
        for size in sizes:
            scene, labels = write_pair(folder, size)
            commands = {
                "tile": ("tile", scene, "--labels", labels, "-o", folder / f"chips_{size}", "--chip-size", 256),
                "predict": ("predict", folder / "model.safetensors", scene, "-o", folder / f"map_{size}.tif"),
            }
            for command in peaks:
                peak, seconds = run(*commands[command])
                peaks[command].append(peak)
                print(f"{command:8} {size:6}: peak {peak:.0f} MB, {seconds:.1f} s, {size**2 / 1e6 / seconds:.1f} MP/s")
    for command, values in peaks.items():
        print(f"{command:8} ratio {values[-1] / values[0]:.3f}")


if __name__ == "__main__":
    main()
