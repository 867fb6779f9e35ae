import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import model_of
from geoseg.errors import OptionError
from geoseg.model import write_model
from geoseg.models import build
from geoseg.models._inner import inner
from geoseg.models._network import SegmentationNetwork, reflect
from geoseg.prediction.runtimes import RuntimeUnfitError, _cache, open_runtime, runtimes
from geoseg.prediction.runtimes._fuse import fused
from geoseg.prediction.runtimes._heads import bytes_of, most_probable, pad, softmax
from geoseg.prediction.runtimes._memory import memory_of
from small_networks import FORMS, small

NEEDS = {"torch": (), "openvino": ("openvino",), "onnx": ("onnx", "onnxscript", "onnxruntime")}


def installed(name):
    return all(importlib.util.find_spec(package) for package in NEEDS[name])


def with_runtimes(*names):
    def mark(name):
        lacking = pytest.mark.skipif(not installed(name), reason=f"{name} is not installed; pip install geoseg[{name}]")
        return pytest.param(name, marks=lacking)

    return pytest.mark.parametrize("name", [mark(name) for name in names])


needs_openvino = pytest.mark.skipif(not installed("openvino"), reason="needs pip install geoseg[openvino]")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "geoseg" / "graphs"


def settle(network):
    """Give every BatchNorm statistics and weights of its own."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def windows(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def compact():
    return model_of(settle(build("unet_compact", 3, 4, width=4)), 3, 4, reach=None)


@pytest.fixture
def compact_file(compact, tmp_path):
    spec = replace(compact.spec, architecture="unet_compact", options={"width": 4})
    write_model(tmp_path / "m.safetensors", spec, compact.network.state_dict())
    return tmp_path / "m.safetensors"


@with_runtimes("torch", "onnx", "openvino")
@pytest.mark.parametrize("shape", [(2, 3, 96, 128), (1, 3, 45, 70), (1, 3, 1, 9)])
def test_every_runtime_gives_what_the_network_gives(name, shape, compact):
    runtime = open_runtime(name, compact, "cpu", threads=1)
    values = windows(*shape)
    with torch.inference_mode():
        logits = compact.network(torch.from_numpy(values))
    assert runtime.name == name
    assert np.allclose(runtime.probabilities(values), logits.softmax(1), atol=1e-5)
    labels = runtime.classes(values)
    assert labels.dtype == np.uint8
    assert labels.shape == (shape[0], *shape[2:])
    assert (labels != logits.max(1).indices.numpy()).mean() < 1e-4


def test_auto_is_the_fastest_that_is_installed(compact):
    best = next(name for name in ("openvino", "onnx", "torch") if installed(name))
    assert open_runtime("auto", compact, "cpu", threads=1).name == best


def test_what_is_not_there_is_said_in_one_sentence(compact):
    with pytest.raises(OptionError, match="did you mean 'torch'"):
        open_runtime("torhc", compact)
    for name in runtimes():
        if not installed(name):
            with pytest.raises(OptionError, match=rf"pip install 'geoseg\[{name}\]'"):
                open_runtime(name, compact)


@with_runtimes("onnx", "openvino")
def test_a_cpu_runtime_refuses_a_gpu(name, compact):
    with pytest.raises(OptionError, match="runs on the CPU"):
        open_runtime(name, compact, "cuda")


class OnlyThisSize(nn.Module):
    """Whose graph holds the width of the window that it was made from."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))

    def forward(self, image):
        return image.roll(int(image.shape[3]), 3) * self.weight


@needs_openvino
def test_a_network_that_does_not_fit_runs_in_torch(caplog):
    model = model_of(SegmentationNetwork(OnlyThisSize(), stride=8), 3, 3)
    with pytest.raises(RuntimeUnfitError, match="does not fit"):
        open_runtime("openvino", model, threads=1)
    assert open_runtime("auto", model, "cpu", threads=1).name == "torch"
    assert len([record for record in caplog.records if "does not fit" in record.message]) == 1


SECOND_START = """
import sys
import numpy as np
from geoseg.prediction.runtimes import open_runtime
runtime = open_runtime("openvino", sys.argv[1], "cpu", 1)
runtime.classes(np.zeros((1, 3, 64, 64), np.float32))
heavy = {"torch", "segmentation_models_pytorch", "timm", "lightning"} & set(sys.modules)
assert not heavy, heavy
"""


@needs_openvino
def test_a_second_start_needs_no_torch(compact_file, cache):
    open_runtime("openvino", compact_file, "cpu", threads=1)
    assert len(list(cache.iterdir())) == 1
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", SECOND_START, str(compact_file)], check=True, env=environment)


def entry(text):
    def make(folder):
        (folder / "graph").write_text(text)
        return {"text": text}

    return make


def test_an_entry_is_made_once_and_made_again_when_broken(cache):
    place, about = _cache.find_or_make("key", entry("first"))
    assert place == cache / "key"
    assert _cache.find_or_make("key", entry("second"))[1]["text"] == "first"
    for harm in (lambda: (place / "graph").write_text("firsT"), lambda: (place / "about.json").unlink()):
        harm()
        assert _cache.find_or_make("key", entry("first")) == (place, about)
        assert json.loads((place / "about.json").read_text())["text"] == "first"
        assert (place / "graph").read_text() == "first"


def test_a_making_that_fails_leaves_nothing(cache):
    def fail(folder):
        (folder / "graph").write_text("half")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        _cache.find_or_make("key", fail)
    assert not list(cache.iterdir())


def test_where_the_cache_cannot_be_written_the_entry_is_made_for_this_run(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place, _ = _cache.find_or_make("key", entry("text"))
    assert (place / "graph").read_text() == "text"


def test_entries_used_longest_ago_are_removed(cache, monkeypatch):
    monkeypatch.setattr(_cache, "LIMIT", 1300)
    for number in range(4):
        place, _ = _cache.find_or_make(f"key{number}", entry("x" * 200))
        os.utime(place, (number, number))
    assert sorted(path.name for path in cache.iterdir()) == ["key2", "key3"]


@pytest.mark.parametrize("name", ["unet", "deeplabv3plus", "segnet", "manet", "segformer on resnet", "dpt"])
def test_a_fused_network_gives_the_same(name):
    assert name in FORMS
    network = settle(small(name))
    folded = fused(network, 3)
    assert norms(network) > 0
    assert norms(folded) == 0
    image = torch.from_numpy(windows(1, 3, 70, 100))
    with torch.inference_mode():
        expected, found = network(image), folded(image)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


class Shared(nn.Module):
    """A convolution whose output is taken twice, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, image):
        seen = self.first(image)
        seen = self.norms[0](seen) + seen
        return self.norms[2](self.second(self.norms[1](self.second(seen))))


def test_what_others_take_too_is_not_folded():
    network = settle(SegmentationNetwork(Shared(), stride=1))
    assert norms(fused(network, 3)) == 3


def test_padding_is_that_of_the_network():
    for height, width in ((5, 7), (1, 9), (1, 1), (16, 32), (40, 3)):
        values = windows(2, 3, height, width)
        padded = pad(values, 16, 32)
        below, right = padded.shape[2] - height, padded.shape[3] - width
        assert (padded == reflect(torch.from_numpy(values), right, below).numpy()).all()


def test_heads_are_those_of_torch():
    logits = windows(2, 5, 30, 40) * 5
    assert (most_probable(logits) == torch.from_numpy(logits).max(1).indices.numpy()).all()
    expected = (torch.from_numpy(logits) / 1.7).softmax(1).numpy()
    assert np.allclose(softmax(logits, 1.7), expected, atol=1e-6)


def test_memory_counts_what_is_alive_at_once():
    body = nn.Sequential(nn.Conv2d(2, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 3, 1))
    memory = memory_of(SegmentationNetwork(body, stride=1), 2)
    # At the second convolution: the image of 2 channels, 8 in, 16 out, 4 bytes each.
    assert bytes_of(memory, 100, 200) == 4 * (2 + 8 + 16) * 100 * 200
    assert bytes_of(memory, 100, 200, batch=3) == 3 * bytes_of(memory, 100, 200)
    assert bytes_of(memory, 5000, 6000) == 4 * (2 + 8 + 16) * 5000 * 6000


def test_an_inner_part_takes_less():
    network = build("unet", 3, 4, encoder="resnet18").eval()
    whole, part = memory_of(network, 3), memory_of(inner(network, 96, 3), 3)
    assert bytes_of(part, 704, 704) < 0.7 * bytes_of(whole, 704, 704)


@with_runtimes("torch", "onnx", "openvino")
@pytest.mark.parametrize("shape", [(2, 3, 96, 128), (1, 3, 85, 70)])
def test_every_runtime_leaves_out_a_margin(name, shape, compact):
    runtime = open_runtime(name, compact, "cpu", threads=1, margin=32)
    values = windows(*shape)
    with torch.inference_mode():
        expected = compact.network(torch.from_numpy(values)).softmax(1)[..., 32:-32, 32:-32]
    assert np.allclose(runtime.probabilities(values), expected, atol=1e-5)
    assert runtime.classes(values).shape == (shape[0], shape[2] - 64, shape[3] - 64)


class Doubled(nn.Module):
    def forward(self, image):
        return image * 2


class Negated(nn.Module):
    def forward(self, image):
        return -image


@needs_openvino
def test_networks_without_weights_are_told_apart():
    values = windows(1, 3, 64, 64)
    for body, expected in ((Doubled(), values.argmax(1)), (Negated(), values.argmin(1))):
        model = model_of(SegmentationNetwork(body, stride=8), 3, 3)
        assert (open_runtime("openvino", model, "cpu", 1).classes(values) == expected).all()
