"""Runs that are killed at any moment, as real processes: `GEOSEG_KILLS=10 pytest tests/prediction/test_killed.py`."""

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from conftest import model_of
from geoseg.model import write_model
from geoseg.models import build

KILLS = int(os.environ.get("GEOSEG_KILLS", "1"))


@pytest.fixture
def command(write_scene, tmp_path):
    """A command of some seconds, and how long it takes without its start."""
    values = np.random.default_rng(0).integers(1, 200, (2, 700, 500), dtype=np.uint8)
    scene = write_scene(values)
    torch.manual_seed(0)
    network = build("unet", 2, 3, encoder="resnet18", depth=3).train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 2, 64, 64))
    model = model_of(network, 2, 3, reach=120)
    spec = replace(model.spec, architecture="unet", options={"encoder": "resnet18", "depth": 3})
    write_model(tmp_path / "m.safetensors", spec, network.state_dict())
    geoseg = Path(sys.executable).with_name("geoseg")
    options = [
        "--window",
        256,
        "--margin",
        64,
        "--blend",
        "hann",
        "--crf",
        "--crf-options",
        "radius=2",
        "--runtime",
        "torch",
    ]
    return [geoseg, "predict", tmp_path / "m.safetensors", scene, *options, "--probabilities", tmp_path / "p.tif", "-o"]


def run(command, target, kill_after=None):
    """Run a command; with a time, kill it that long after its hidden folder appears. True when it ended by itself."""
    process = subprocess.Popen([*map(str, command), str(target)], stderr=subprocess.PIPE, text=True)
    hidden = target.parent / f".{target.name}.partial"
    while kill_after is not None and process.poll() is None:
        if hidden.exists():
            time.sleep(kill_after)
            process.kill()
            break
        time.sleep(0.02)
    _, told = process.communicate()
    assert process.returncode in (0, -9), told
    return process.returncode == 0


@pytest.mark.slow
def test_a_killed_prediction_ends_as_an_unbroken_one(command, tmp_path):
    start = time.monotonic()
    assert run(command, tmp_path / "whole.tif")
    seconds = time.monotonic() - start
    (tmp_path / "p.tif").rename(tmp_path / "whole_p.tif")
    chance = random.Random(0)
    target = tmp_path / "map.tif"
    for _ in range(KILLS):
        # One that is killed after its last rename has ended all the same.
        if run(command, target, chance.uniform(0, seconds / 3)) or target.exists():
            break
    if not target.exists():
        assert run(command, target)
    for made, wanted in (("map.tif", "whole.tif"), ("p.tif", "whole_p.tif")):
        with rasterio.open(tmp_path / made) as one, rasterio.open(tmp_path / wanted) as other:
            assert (one.read() == other.read()).all()
            assert len(np.unique(one.read(1))) > 1
    assert not list(tmp_path.glob(".*"))
