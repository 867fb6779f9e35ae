"""Speed and memory of `geoseg predict` beside a bare loop: `python tests/benchmarks/predicting.py [--size N]`.

The scene is N x N pixels of four bands of uint16, tiled and deflated; the network is a U-Net on resnet18 for six
classes. The loop runs it in eager torch over windows of 512 pixels without overlap that lie in memory: it reads,
stitches and writes nothing. Each round runs the loop and every way of geoseg in turn, as processes of their own,
imports included; what counts is the median of the rounds' ratios of processor time and of wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from memory import BANDS, CLASSES, write_pair

BARE = """
import sys, torch, segmentation_models_pytorch as smp
network = smp.Unet("resnet18", encoder_weights=None, in_channels=4, classes=6).eval()
size = int(sys.argv[1])
windows = [torch.randn(1, 4, 512, 512) for _ in range(4)]
with torch.inference_mode():
    for number in range((size // 512) ** 2):
        network(windows[number % 4]).max(1).indices.to(torch.uint8)
"""
WAYS = {
    "torch": ["--runtime", "torch"],
    "torch, 1.6 GB": ["--runtime", "torch", "--memory", "1.6GB"],
    "openvino": ["--runtime", "openvino"],
    "openvino, 1.6 GB": ["--runtime", "openvino", "--memory", "1.6GB"],
}


def write_model_file(path: Path, margin: int) -> None:
    """The network of the loop, untrained, with a margin as training would have measured it."""
    from dataclasses import replace

    import torch

    from geoseg.legend import Legend
    from geoseg.model import ModelSpec, write_model
    from geoseg.models import build
    from geoseg.statistics import BandStatistics

    torch.manual_seed(0)
    ones = (1.0,) * len(BANDS)
    spec = ModelSpec(
        architecture="unet",
        options={"encoder": "resnet18"},
        bands=BANDS,
        statistics=BandStatistics((1000.0,) * 4, (500.0,) * 4, ones, ones),
        legend=Legend.from_names((number, f"class {number}") for number in range(1, CLASSES + 1)),
        ground_sample_distance=10.0,
        reach=311,
        stride=32,
        chip_size=256,
    )
    spec = replace(spec, margin=margin)
    write_model(path, spec, build("unet", 4, CLASSES, encoder="resnet18").state_dict())


def measure(words: list[object]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MB of a process."""
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--margin", type=int, default=96)
    given = parser.parse_args()
    geoseg = Path(sys.executable).with_name("geoseg")
    ways = {name: words for name, words in WAYS.items() if "openvino" not in words or find_spec("openvino")}
    with tempfile.TemporaryDirectory() as folder:
        scene, _ = write_pair(Path(folder), given.size)
        model = Path(folder) / "model.safetensors"
        write_model_file(model, given.margin)
        rows: dict[str, list[tuple[float, float, float]]] = {}
        bare: list[tuple[float, float, float]] = []
        for words in (words for words in ways.values() if "torch" not in words):  # graphs are made once, and kept
            measure([geoseg, "predict", model, scene, "-o", Path(folder) / "map.tif", "--overwrite", "-q", *words])
        for _ in range(given.rounds):
            bare.append(measure([sys.executable, "-c", BARE, given.size]))
            for name, words in ways.items():
                target = Path(folder) / "map.tif"
                command = [geoseg, "predict", model, scene, "-o", target, "--overwrite", "-q", *words]
                rows.setdefault(name, []).append(measure(command))
    print("| way | processor time of the loop's | wall time of the loop's | peak MB | wall s |")
    print("|---|---|---|---|---|")
    wall, peak = (statistics.median(one[place] for one in bare) for place in (0, 2))
    print(f"| bare loop | 1 | 1 | {peak:.0f} | {wall:.1f} |")
    for name, found in rows.items():
        ratios = [
            statistics.median(one[place] / other[place] for one, other in zip(found, bare, strict=True))
            for place in (1, 0)
        ]
        wall, peak = (statistics.median(one[place] for one in found) for place in (0, 2))
        print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} | {peak:.0f} | {wall:.1f} |")


if __name__ == "__main__":
    main()
