"""Several processes map one scene."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import geoseg
from conftest import model_of
from geoseg.errors import OptionError
from geoseg.grid import WindowGrid
from geoseg.model import load_model, write_model
from geoseg.models import build
from geoseg.prediction.layout import WindowLayout

SAME = {"window": 96, "margin": 16, "blend": "hann", "runtime": "torch", "tta": True}
OPTIONS = [
    "--window",
    "96",
    "--margin",
    "16",
    "--blend",
    "hann",
    "--runtime",
    "torch",
    "--tta",
    "--device",
    "cpu",
    "--devices",
    "2",
]


@pytest.mark.parametrize("fade", [0, 32])
@pytest.mark.parametrize("height", [1, 64, 65, 300, 640])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_bands_need_the_windows_that_touch_them(fade, height, count):
    layout = WindowLayout.of(WindowGrid(height, 200, 64, 16, 8), fade)
    bands = layout.bands(count)
    assert [0, *(band.stop for band in bands)] == [*(band.start for band in bands), height]
    assert len(bands) == min(count, len(layout.rows))
    for band in bands:
        needed = {
            row
            for row in range(len(layout.rows))
            if layout.rows.extent(row).start < band.stop and layout.rows.extent(row).stop > band.start
        }
        # What fades in from below is added by the band below, which has the rows where it does.
        assert set(layout.rows_of(band.start, band.stop)) == needed - {max(needed) + 1}
        assert not len(layout.rows_of(band.stop, band.stop))


@pytest.fixture
def files(write_scene, tmp_path):
    """A model file and a scene with a hole."""
    values = np.random.default_rng(0).integers(1, 200, (2, 400, 150), dtype=np.uint8)
    values[:, 120:230, 30:90] = 0
    torch.manual_seed(0)
    network = build("unet_compact", 2, 3).train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 2, 64, 64))
    spec = replace(model_of(network, 2, 3, reach=46).spec, architecture="unet_compact")
    write_model(tmp_path / "m.safetensors", spec, network.state_dict())
    return tmp_path / "m.safetensors", write_scene(values, nodata=0)


def start(model, scene, target):
    command = [
        Path(sys.executable).with_name("geoseg"),
        "predict",
        model,
        scene,
        "-o",
        target,
        *OPTIONS,
        "--devices",
        "2",
    ]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process, code=0):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return errors


def helpers_of(process):
    """Processes that a command started to map the other bands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if parent == process.pid and "spawn_main" in words:
            found.append(int(folder.name))
    return found


def await_helpers(process):
    while process.poll() is None:
        if found := helpers_of(process):
            return found
        time.sleep(0.01)
    pytest.fail(f"no other process was started: {process.communicate()}")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def alone(files, tmp_path):
    """The map and the probabilities that one process makes."""
    made = tmp_path / "alone.tif", tmp_path / "alone_p.tif"
    geoseg.predict(*files, made[0], probabilities=made[1], **SAME)
    return made


SCRIPT = """
import sys, torch, geoseg
if __name__ == "__main__":
    model, scene, target, probabilities = sys.argv[1:]
    before = torch.get_num_threads()
    geoseg.predict(model, scene, target, probabilities=probabilities, devices=2, device="cpu", **SAME)
    assert torch.get_num_threads() == before
"""


@pytest.mark.slow
def test_their_map_is_that_of_one_process(files, alone, tmp_path):
    script, made = tmp_path / "script.py", (tmp_path / "map.tif", tmp_path / "p.tif")
    script.write_text(SCRIPT.replace("SAME", repr(SAME)))
    subprocess.run([sys.executable, script, *files, *made], check=True, timeout=300)
    for name, other in zip(made, alone, strict=True):
        with rasterio.open(name) as a, rasterio.open(other) as b:
            assert a.profile == b.profile
            assert (a.read() == b.read()).all()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_with_one_of_them_and_with_all(files, alone, tmp_path):
    target = tmp_path / "map.tif"
    # One of the others dies: an error, and nothing under the name.
    process = start(*files, target)
    os.kill(await_helpers(process)[-1], signal.SIGKILL)
    assert "a process that" in finish(process, 1)
    assert not target.exists()
    # The leader dies: the others do too, at once.
    process = start(*files, target)
    others = await_helpers(process)
    time.sleep(3)
    process.kill()
    process.communicate()
    ends = time.monotonic() + 60
    while any(map(is_alive, others)):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert not target.exists()
    finish(start(*files, target))
    with rasterio.open(alone[0]) as a, rasterio.open(target) as b:
        assert (a.read() == b.read()).all()
    assert not list(tmp_path.glob(".*"))


def test_what_several_cannot_share_is_refused(files, tmp_path):
    model, scene = files
    with pytest.raises(OptionError, match="as files"):
        geoseg.predict(load_model(model), scene, tmp_path / "map.tif", devices=2, device="cpu")
    with pytest.raises(OptionError, match="say --device cuda or cpu"):
        geoseg.predict(model, scene, tmp_path / "map.tif", devices=2, device="cuda:0")
    if torch.cuda.device_count() < 2:
        with pytest.raises(OptionError, match="--device cpu for 2 processes"):
            geoseg.predict(model, scene, tmp_path / "map.tif", devices=2)
    assert not (tmp_path / "map.tif").exists()
