"""Speed and peak memory of `geoseg vectorize` beside others: `python tests/benchmarks/vectorize.py [SIZE ...]`.

The maps have six classes: smooth fields, the same with 1 % speckle (about 9,000 polygons a megapixel), and one
background with islands.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

CLASSES = 6
BLOB = 64
"""Side of a cell of the random fields, in pixels: the classes' areas are about as large."""


def write_map(path: Path, size: int, speckle: float, seed: int = 0) -> None:
    """Write a size x size map: where the largest of six bilinear random fields decides the class."""
    rng = np.random.default_rng(seed)
    nodes = rng.random((CLASSES, size // BLOB + 2, size // BLOB + 2), np.float32)
    cells, shares = np.divmod(np.arange(size), BLOB)
    across = (shares / BLOB).astype(np.float32)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": size, "width": size, "nodata": 0}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **place, **tiles) as dataset:
        for row in range(0, size, BLOB):
            above, below = nodes[:, row // BLOB], nodes[:, row // BLOB + 1]
            down = across[:BLOB, None] if size >= BLOB else across[:, None]
            fields = np.stack(
                [
                    _row(a, cells, across) * (1 - down) + _row(b, cells, across) * down
                    for a, b in zip(above, below, strict=True)
                ]
            )
            classes = fields.argmax(0).astype(np.uint8) + 1
            noisy = rng.random(classes.shape) < speckle
            classes[noisy] = rng.integers(1, CLASSES + 1, noisy.sum())
            rows = min(BLOB, size - row)
            dataset.write(classes[:rows], 1, window=Window(0, row, size, rows))


def _row(nodes: np.ndarray, cells: np.ndarray, across: np.ndarray) -> np.ndarray:
    result: np.ndarray = nodes[cells] * (1 - across) + nodes[cells + 1] * across
    return result


def write_islands(path: Path, size: int, seed: int = 0) -> None:
    """Write a map that is one background with an island in every 14 x 14 pixels."""
    rng = np.random.default_rng(seed)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": size, "width": size, "nodata": 0}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    with rasterio.open(path, "w", **profile, **place, tiled=True, compress="deflate") as dataset:
        for row in range(0, size, 512):
            rows = min(512, size - row)
            classes = np.ones((rows, size), np.uint8)
            y, x = (14 * index.ravel() for index in np.mgrid[: rows // 14, : size // 14])
            y, x = y + rng.integers(1, 8, y.size), x + rng.integers(1, 8, x.size)
            side = rng.integers(1, 6, y.size)
            for down, right in np.ndindex(5, 5):
                inside = (down < side) & (right < side) & (down + right <= side)
                classes[y[inside] + down, x[inside] + right] = 2 + side[inside] % 3
            dataset.write(classes, 1, window=Window(0, row, size, rows))


def write_confidence(path: Path, like: Path) -> None:
    """Write noise on the grid of a map."""
    rng = np.random.default_rng(1)
    with rasterio.open(like) as source, rasterio.open(path, "w", **source.profile | {"nodata": 255}) as dataset:
        for row in range(0, source.height, 512):
            window = Window(0, row, source.width, min(512, source.height - row))
            dataset.write(rng.integers(100, 250, (window.height, window.width), np.uint8), 1, window=window)


def run(command: list[str]) -> tuple[float, float, float]:
    """Run a command; (peak memory in MB, seconds, seconds of processor)."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - start, usage.ru_utime + usage.ru_stime


SHAPES = """
import sys, rasterio
from rasterio.features import shapes
with rasterio.open(sys.argv[1]) as dataset:
    print(sum(1 for _ in shapes(dataset.read(1))))
"""


def rivals(folder: Path, source: Path) -> dict[str, list[str]]:
    """Commands of others: shapes alone (no coverage, no attributes, no file), and gdal_polygonize where it is."""
    found = {"rasterio shapes": [sys.executable, "-c", SHAPES, str(source)]}
    program = shutil.which("gdal_polygonize") or shutil.which("gdal_polygonize.py")
    if program:
        found["gdal_polygonize"] = [program, "-q", "-overwrite", str(source), str(folder / "rival.gpkg")]
    return found


def ours(folder: Path, source: Path, confidence: Path, simplify: float) -> dict[str, list[str]]:
    """Commands of geoseg, by what they write."""
    start = [sys.executable, "-c", "from geoseg.cli import main; main()", "vectorize", str(source), "-q", "--overwrite"]
    start += ["--simplify", str(simplify), "-o"]
    full = [str(folder / "full.parquet"), "--min-area", "4", "--confidence", str(confidence)]
    formats = {name: [*start, str(folder / f"out{name}")] for name in (".parquet", ".fgb", ".gpkg")}
    return formats | {".parquet, sieve and confidence": [*start, *full]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[2048, 4096])
    parser.add_argument("--maps", nargs="*", default=["smooth", "speckled"], choices=["smooth", "speckled", "islands"])
    parser.add_argument("--simplify", type=float, default=1.0)
    options = parser.parse_args()
    print("MP/s without start-up, by the clock and of one processor; peak memory of the whole process")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, confidence = folder / "map.tif", folder / "confidence.tif"
        write_map(source, 256, 0.01)
        write_confidence(confidence, source)
        # Once before measuring, so that compiling is out of the figures.
        for _ in range(2):
            commands = ours(folder, source, confidence, options.simplify) | rivals(folder, source)
            floors = {label: run(command) for label, command in commands.items()}
        for kind in options.maps:
            for size in options.sizes:
                if kind == "islands":
                    write_islands(source, size)
                else:
                    write_map(source, size, 0.01 if kind == "speckled" else 0.0)
                write_confidence(confidence, source)
                for label, command in commands.items():
                    peak, seconds, processor = run(command)
                    rates = [
                        size**2 / 1e6 / max(took - floor, 1e-3)
                        for took, floor in zip((seconds, processor), floors[label][1:], strict=True)
                    ]
                    print(
                        f"{kind:9} {size:6} {label:32} {rates[0]:6.1f} {rates[1]:6.1f} MP/s {peak:6.0f} MB", flush=True
                    )


if __name__ == "__main__":
    main()
