"""CPU time and memory of a network in each runtime: `python tests/benchmarks/forward.py [--rounds N]`.

A Unet with a resnet18, 4 bands, 6 classes. The yardstick is torch eager in float32 on windows of 512 pixels. All run
in turn, round by round, so that what else the machine does falls on all alike; figures are medians of the ratio of CPU
time per pixel to the yardstick's of the same round. Peak memory is what a process of its own adds in its first forward.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from geoseg import registry
from geoseg.legend import Legend
from geoseg.model import ModelSpec, load_model, write_model
from geoseg.models import build
from geoseg.prediction.runtimes import open_runtime, runtimes
from geoseg.statistics import BandStatistics

BANDS, CLASSES, YARDSTICK = 4, 6, 512


def write(path: Path) -> Path:
    """An untrained model whose BatchNorm has seen noise."""
    torch.manual_seed(0)
    network = build("unet", BANDS, CLASSES, encoder="resnet18")
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(4, BANDS, 128, 128))
    ones, zeros = (1.0,) * BANDS, (0.0,) * BANDS
    spec = ModelSpec(
        architecture="unet",
        options={"encoder": "resnet18"},
        bands=tuple(f"band_{number}" for number in range(1, BANDS + 1)),
        statistics=BandStatistics(zeros, ones, zeros, ones),
        legend=Legend.from_names((number, f"class {number}") for number in range(1, CLASSES + 1)),
        ground_sample_distance=10.0,
        reach=None,
        stride=network.stride,
        chip_size=256,
    )
    write_model(path, spec, network.state_dict())
    return path


def noise(side: int) -> np.ndarray:
    """A scaled window."""
    return np.random.default_rng(0).normal(size=(1, BANDS, side, side)).astype(np.float32)


def cost(run: Callable[[], object], pixels: int) -> tuple[float, float]:
    """CPU and wall seconds per megapixel."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.process_time() - cpu) * 1e6 / pixels, (time.perf_counter() - wall) * 1e6 / pixels


def peak_of(model: Path, name: str, side: int) -> None:
    """Print the bytes that a first forward adds, and what the runtime promises."""
    runtime = open_runtime(name, model, "cpu", 2)
    values = noise(side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runtime.classes(values)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) * 1024, runtime.memory(side, side))


def measure(model: Path, names: list[str], sides: list[int], rounds: int) -> None:
    """Print a row for each runtime and window."""
    torch.set_num_threads(2)
    plain, yard = load_model(model).network, torch.from_numpy(noise(YARDSTICK))
    opened = {name: open_runtime(name, model, "cpu", 2) for name in names}
    runs = {(name, side): noise(side) for name in names for side in sides}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {run: [] for run in runs}
    for round_ in range(rounds + 1):
        with torch.inference_mode():
            unit = cost(lambda: plain(yard), YARDSTICK**2)
        for (name, side), values in runs.items():
            cpu, wall = cost(lambda name=name, values=values: opened[name].classes(values), side**2)
            if round_:
                found[name, side].append((cpu / unit[0], wall / unit[1]))
    print(
        f"{'runtime':10} {'window':>6} {'CPU':>6} {'wall':>6} {'peak MB':>8} {'promised':>8}  (ratios to torch eager)"
    )
    for (name, side), ratios in found.items():
        words = [sys.executable, __file__, "--peak", str(model), name, str(side)]
        answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        added, promised = (int(word) / 1e6 for word in answer.split())
        cpu, wall = (median(values) for values in zip(*ratios, strict=True))
        print(f"{name:10} {side:6} {cpu:6.2f} {wall:6.2f} {added:8.0f} {promised:8.0f}", flush=True)


def main() -> None:
    """Measure what is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 768, 1024, 1536])
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        model, name, side = given.peak
        peak_of(Path(model), name, int(side))
        return
    names = [name for name in runtimes() if not registry.load("geoseg.prediction.runtimes", name).missing()]
    with TemporaryDirectory() as folder:
        measure(write(Path(folder) / "model.safetensors"), names, given.sides, given.rounds)


if __name__ == "__main__":
    main()
