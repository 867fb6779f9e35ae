"""What `geoseg map` takes beside a plain loop, and what a second worker gains.

    python tests/benchmarks/regions.py MODEL SCENE OUT [--side 2400] [--across 4]

The scene is repeated until it is `--side` pixels wide, and cut into square regions. They are mapped in a loop of this
process, by one worker and by two, each with one thread. Wall times mean something on a machine that does nothing else;
processor time, of this process and its workers, also on others.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import psutil
import rasterio
import shapely
from affine import Affine

import geoseg
from geoseg.atlas import map as _  # noqa: F401 - what it imports is not measured
from geoseg.atlas.block import map_block
from geoseg.atlas.cluster import connected
from geoseg.atlas.finish import finish_region
from geoseg.model import read_spec


class Loop:
    """The same work in a plain loop."""

    def __init__(self, *given: object) -> None:
        self.blocks = self.finish = 0.0

    def run(self, jobs, listener) -> None:
        """Do all jobs, one after the other."""
        for job in jobs:
            start = time.process_time()
            results = [map_block(job.block(number, is_last=True)) for number in range(job.blocks)]
            between = time.process_time()
            listener.done(job, finish_region(job.finish(results)))
            self.blocks += between - start
            self.finish += time.process_time() - between
        print(f"  processor time: blocks {self.blocks:.1f} s, putting together {self.finish:.1f} s")


def processor_time() -> tuple[float, float]:
    """Seconds of this process, and of its workers."""
    workers = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time(), sum(times.user + times.system for times in workers)


def enlarge(scene: Path, target: Path, side: int) -> tuple[float, float, float]:
    """Repeat a scene, mirrored so that it has no seams; its upper left corner and the side of its pixels."""
    with rasterio.open(scene) as source:
        values, profile, names = source.read(), source.profile, source.descriptions
    height, width = values.shape[1:]
    big = np.pad(values, ((0, 0), (0, max(side - height, 0)), (0, max(side - width, 0))), mode="symmetric")
    profile |= {"height": big.shape[1], "width": big.shape[2], "tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(target, "w", **profile | {"driver": "GTiff", "compress": "deflate"}) as output:
        output.write(big)
        output.descriptions = names
    t: Affine = profile["transform"]
    return t.c, t.f, t.a


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=2400)
    parser.add_argument("--across", type=int, default=4)
    parser.add_argument("--window", type=int, default=1024)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    left, top, size = enlarge(options.scene, options.out / "scene.tif", options.side)
    step = options.side / options.across * size
    cells = [
        shapely.box(left + col * step, top - (row + 1) * step, left + (col + 1) * step, top - row * step)
        for row in range(options.across)
        for col in range(options.across)
    ]
    with rasterio.open(options.out / "scene.tif") as dataset:
        crs = dataset.crs
    gpd.GeoDataFrame(geometry=cells, crs=crs).to_file(options.out / "regions.gpkg")
    bands = tuple(str(number + 1) for number in range(len(read_spec(options.model).bands)))
    common = {"window": options.window, "runtime": "torch", "device": "cpu", "threads": 1, "bands": bands}
    arguments = (options.out / "regions.gpkg", options.out / "scene.tif", options.model)
    found = {}

    def run(name: str, **more: object) -> float:
        shutil.rmtree(options.out / name, ignore_errors=True)
        start, cpu = time.monotonic(), processor_time()
        outcomes = geoseg.map(*arguments, options.out / name, **common, **more)
        took, worked = (
            time.monotonic() - start,
            [after - before for after, before in zip(processor_time(), cpu, strict=True)],
        )
        found[name] = {
            "seconds": round(took, 2),
            "processor": round(sum(worked), 2),
            "of this process": round(worked[0], 2),
            "MP": round(float(outcomes["megapixels"].sum()), 2),
        }
        print(name, found[name], flush=True)
        return took

    import sys

    module = sys.modules["geoseg.atlas.map"]
    engine = module.Engine
    for name, jobs in (("loop", 0), ("one", 1), ("two", 2)):
        with connected(client=None, scheduler=None, jobs=max(jobs, 1), threads=1, gpu=False) as client:
            module.Engine = Loop if jobs == 0 else engine
            # Once to load and compile what is loaded and compiled once.
            run(f"{name}-warm", client=client)
            run(name, client=client)
    for what in ("seconds", "processor"):
        plain, one, two = (found[name][what] for name in ("loop", "one", "two"))
        print(
            json.dumps(
                {what: {"overhead of the engine": round(one / plain - 1, 3), "two workers": round(one / two, 2)}}
            )
        )


if __name__ == "__main__":
    main()
