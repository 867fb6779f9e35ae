"""Peak memory and speed of `geoseg vectorize` at two sizes: `python tests/benchmarks/memory_vectorize.py [SIZE SIZE]`.

The maps are smooth fields of six classes. Peak memory is that of the whole process, imports included.
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


def vectorize(source: Path, output: Path, simplify: float) -> tuple[float, float]:
    """Run the command; (peak memory in MB, seconds)."""
    geoseg = Path(sys.executable).with_name("geoseg")
    options = ["-q", "--overwrite", "--simplify", str(simplify)]
    start = time.monotonic()
    process = subprocess.Popen([geoseg, "vectorize", source, "-o", output, *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"geoseg vectorize ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[4096, 8192])
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--simplify", type=float, default=1.0)
    parser.add_argument("--speckle", type=float, default=0.0, help="Share of pixels of a random class.")
    options = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, f"out.{options.format}")
        write_map(Path(folder, "warm.tif"), 256, options.speckle)
        # Once before measuring, so that compiling is out of the figures.
        floor, _ = vectorize(Path(folder, "warm.tif"), output, options.simplify)
        floor, seconds = vectorize(Path(folder, "warm.tif"), output, options.simplify)
        print(f"   256: peak {floor:.0f} MB, {seconds:.1f} s: the imports")
        for size in options.sizes:
            source = Path(folder, f"{size}.tif")
            write_map(source, size, options.speckle)
            peak, took = vectorize(source, output, options.simplify)
            peaks.append(peak)
            rate, net = size**2 / 1e6 / took, size**2 / 1e6 / max(took - seconds, 1e-3)
            print(f"{size:6}: peak {peak:.0f} MB, {took:.1f} s, {rate:.1f} MP/s ({net:.1f} without start-up)")
            source.unlink()
    print(f"ratio {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
