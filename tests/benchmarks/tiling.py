"""Speed and memory of `geoseg tile` beside a bare rasterio loop: `python tests/benchmarks/tiling.py [--rounds N]`.

The scene is 8192 x 8192 pixels of four bands of uint16, tiled and deflated, with dense labels; chips are 256 pixels,
overlap 25 %, uncompressed. The loop reads scene and labels in full-width strips and writes as many chips of the same
size; it plans nothing, checks nothing and keeps no index. Each round runs the loop and geoseg in turn, as processes of
their own, imports included; what counts is the median of the rounds' ratios. `--nodata` declares a nodata value, so
that geoseg must read the scene once more to see where labels lie on data.

Peak memory is that of one process at 4096 and at 16384 pixels (`--memory`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rasterio
from affine import Affine
from memory import run, write_pair
from rasterio.windows import Window

CHIP, STRIDE = 256, 192


def bare(scene: Path, labels: Path, out: Path) -> None:
    """Read strips, write chips."""
    for name in ("images", "labels"):
        (out / name).mkdir(parents=True)
    settings = {"GDAL_CACHEMAX": 64_000_000}
    with rasterio.Env(**settings), rasterio.open(scene) as image, rasterio.open(labels) as truth:
        offsets = [*range(0, image.height - CHIP, STRIDE), image.height - CHIP]
        for row in offsets:
            strip = Window(0, row, image.width, CHIP)
            values, classes = image.read(window=strip), truth.read(1, window=strip)
            for col in offsets:
                place = {"crs": image.crs, "transform": image.transform @ Affine.translation(col, row)}
                profile = {"driver": "GTiff", "height": CHIP, "width": CHIP, "interleave": "band"} | place
                name = f"{row:06d}_{col:06d}.tif"
                with rasterio.open(out / "images" / name, "w", count=4, dtype="uint16", **profile) as chip:
                    chip.write(values[:, :, col : col + CHIP])
                with rasterio.open(out / "labels" / name, "w", count=1, dtype="uint8", nodata=0, **profile) as chip:
                    chip.write(classes[:, col : col + CHIP], 1)


def seconds(words: list[object], out: Path) -> float:
    """Wall time of a process that makes the folder `out`, begun when the disk is at rest."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    start = time.monotonic()
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def compare(folder: Path, rounds: int, nodata: bool) -> None:
    """Print the ratios of megapixels per second, geoseg over the loop."""
    scene, labels = write_pair(folder, 8192)
    if not nodata:
        with rasterio.open(scene, "r+") as dataset:
            dataset.nodata = None
    geoseg = Path(sys.executable).with_name("geoseg")
    ratios: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        loop = seconds([sys.executable, __file__, "--bare", scene, labels, folder / "bare"], folder / "bare")
        line = f"round {number + 1}: loop {loop:.2f} s"
        for jobs, found in ratios.items():
            words = [
                "tile",
                scene,
                "--labels",
                labels,
                "--chip-size",
                CHIP,
                "--compress",
                "none",
                "-j",
                jobs,
                "-q",
                "-o",
            ]
            took = seconds([geoseg, *words, folder / "chips"], folder / "chips")
            found.append(loop / took)
            line += f", -j {jobs} {took:.2f} s (ratio {loop / took:.2f})"
        print(line, flush=True)
    for jobs, found in ratios.items():
        print(f"-j {jobs}: median ratio {statistics.median(found):.2f}, best {max(found):.2f}")


def memory(folder: Path) -> None:
    """Print peak memory at two sizes."""
    peaks = []
    for size in (4096, 16384):
        scene, labels = write_pair(folder, size)
        words = ("tile", scene, "--labels", labels, "--chip-size", CHIP, "--compress", "none", "-o", folder / "chips")
        peak, took = run(*words)
        peaks.append(peak)
        print(f"{size:6}: peak {peak:.0f} MB, {took:.1f} s, {size**2 / 1e6 / took:.1f} MP/s", flush=True)
        shutil.rmtree(folder / "chips")
    print(f"memory ratio {peaks[1] / peaks[0]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodata", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder when not given")
    parser.add_argument("--bare", type=Path, nargs=3, metavar=("SCENE", "LABELS", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(*options.bare)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        memory(Path(name)) if options.memory else compare(Path(name), options.rounds, options.nodata)


if __name__ == "__main__":
    main()
