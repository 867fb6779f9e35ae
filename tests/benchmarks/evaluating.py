"""Speed and peak memory of `geoseg evaluate`: `python tests/benchmarks/evaluating.py [SIZE ...]`.

Map and reference have six classes in blobs of 64 pixels, with errors in a tenth of the pixels of the map; tiled and
deflated. What is told of one processor is without start-up, which is the time for a map of 256 x 256 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from geoseg.class_raster import LEGEND_TAG
from geoseg.legend import Legend

CLASSES = 6
BLOB = 64
KINDS = {
    "confusion": ("--boundary", "none"),
    "borders": (),
    "calibration": ("--boundary", "none", "--confidence", "CONFIDENCE"),
    "polygons": ("--boundary", "none", "--polygons", "20px"),
}
"""What is counted beside the confusion matrix."""

WANTED_RATE, WANTED_GROWTH = 25.0, 1.1


def write_pair(folder: Path, size: int, seed: int = 0) -> tuple[Path, Path]:
    """Write a map and a reference, size x size, in strips."""
    rng = np.random.default_rng(seed)
    legend = Legend.from_names((number, f"class {'ABCDEF'[number - 1]}") for number in range(1, CLASSES + 1))
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 6}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": size, "width": size, "nodata": 0}
    paths = folder / f"map_{size}.tif", folder / f"reference_{size}.tif"
    cells = rng.integers(1, CLASSES + 1, (size // BLOB + 2, size // BLOB + 2)).astype(np.uint8)
    with (
        rasterio.open(paths[0], "w", **profile, **place, **tiles) as mapped,
        rasterio.open(paths[1], "w", **profile, **place, **tiles) as reference,
    ):
        for row in range(0, size, 512):
            rows = min(512, size - row)
            # Slanted edges, so that borders are not those of blocks.
            y, x = np.mgrid[row : row + rows, :size]
            classes = cells[(y + x // 3) // BLOB % len(cells), (x + y // 5) // BLOB % len(cells)]
            wrong = np.roll(classes, 2, axis=1)
            noisy = rng.random(classes.shape, np.float32) < 0.01
            wrong[noisy] = rng.integers(1, CLASSES + 1, int(noisy.sum()))
            window = Window(0, row, size, rows)
            reference.write(classes, 1, window=window)
            mapped.write(wrong, 1, window=window)
        for dataset in (mapped, reference):
            dataset.update_tags(**{LEGEND_TAG: json.dumps(legend.to_dict())})
    return paths


def write_confidence(path: Path, like: Path) -> None:
    """Write noise on the grid of a map."""
    rng = np.random.default_rng(1)
    with rasterio.open(like) as source, rasterio.open(path, "w", **source.profile | {"nodata": 255}) as dataset:
        dataset.scales = (1 / 250,)
        for row in range(0, source.height, 512):
            window = Window(0, row, source.width, min(512, source.height - row))
            dataset.write(rng.integers(100, 250, (window.height, window.width), np.uint8), 1, window=window)


def run(*words: object) -> tuple[float, float, float]:
    """Run `geoseg evaluate`; (peak memory in MB, seconds, seconds of processor)."""
    command = [sys.executable, "-c", "from geoseg.cli import main; main()", "evaluate", *map(str, words)]
    start = time.monotonic()
    process = subprocess.Popen([*command, "-q", "--overwrite"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - start, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[4096, 16384])
    parser.add_argument(
        "--folder", type=Path, help="Where to make the rasters; a memory disk keeps the disk out of it."
    )
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS, help="What to measure.")
    parser.add_argument(
        "--report", action="store_true", help="Write the report, too; its pictures take their own time."
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        peaks: dict[str, list[float]] = {}
        floors: dict[str, float] = {}
        for size in (256,) * 4 + tuple(options.sizes):  # once before measuring, so that compiling is out of the figures
            confidence = folder / "confidence.tif"
            # In another process: what is started from here is told to have had the memory of this one at its peak.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
                mapped, reference = writer.submit(write_pair, folder, size).result()
                writer.submit(write_confidence, confidence, mapped).result()
            for kind in options.kinds:
                words = [confidence if word == "CONFIDENCE" else word for word in KINDS[kind]]
                words += ["-o", folder / "report"] if options.report else []
                peak, seconds, processor = run(mapped, reference, *words)
                if size == 256:
                    floors[kind] = min(processor, floors.get(kind, processor))
                    continue
                peaks.setdefault(kind, []).append(peak)
                rate = size**2 / 1e6 / max(processor - floors[kind], 1e-3)
                print(
                    f"{kind:12} {size:6}: {rate:6.1f} MP/s of a processor, {seconds:5.1f} s, {peak:5.0f} MB", flush=True
                )
                if kind == "confusion" and size == max(options.sizes) and rate < WANTED_RATE:
                    print(f"too slow: {WANTED_RATE:g} MP/s are wanted")
            mapped.unlink()
            reference.unlink()
        for kind, found in peaks.items():
            if len(found) > 1:
                growth = found[-1] / found[0]
                # Polygons are kept, and a larger map has more.
                too_much = growth > WANTED_GROWTH and kind != "polygons"
                print(f"{kind:12} peak memory grows {growth:.3f} times{': too much' if too_much else ''}")


if __name__ == "__main__":
    main()
