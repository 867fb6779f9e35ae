"""Networks that take a mean over their window, made to agree with themselves."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch

import geoseg
from conftest import model_of
from geoseg.errors import OptionError
from geoseg.grid import WindowGrid
from geoseg.models._context import pooled_features
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction.context import agreeing_windows, choose_context, scene_mean
from geoseg.prediction.forward import Forwarder
from geoseg.prediction.windows import core_slices, read_window
from geoseg.scene import ArrayScene
from small_networks import agreeing, small

SIZE = (40, 200)
CORES = (1000, 104)


class Backwards(WindowGrid):
    """The same windows, the last first."""

    def __iter__(self):
        return iter(list(WindowGrid.__iter__(self))[::-1])


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, *SIZE)) + np.linspace(-4, 4, SIZE[1])
    valid = rng.random(SIZE) > 0.1
    valid[:, 100:] &= rng.random(100) > 0.3
    valid[:20, :60] = False
    return ArrayScene(values.astype(np.float32), valid)


@pytest.fixture(scope="module", params=["parsenet", "pspnet", "deeplabv3plus"])
def model(request):
    """Small, untrained and awake, with settled BatchNorm statistics, so that its outputs have a natural scale."""
    network = small(request.param, 2, 3).train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(2, 2, 64, 64))
        if request.param == "parsenet":
            network.body.classifier.weight.mul_(20)
    model = model_of(network, 2, 3, reach=None)
    return replace(model, spec=replace(model.spec, architecture=request.param, agreeing_reach=agreeing(request.param)))


def probabilities(scene, forwarder, core, margin, context, kind=WindowGrid):
    """Of the whole scene (classes, rows, cols), as it is stitched."""
    grid = kind(*SIZE, core=core, margin=margin, stride=forwarder.spec.stride)
    stitched = np.full((3, *SIZE), np.nan, np.float32)
    with agreeing_windows(scene, forwarder, grid, (0, 1), context):
        for window in grid:
            values, _ = read_window(scene, grid.window(window), (0, 1), forwarder.spec.statistics)
            inside = (slice(None), *core_slices(window, grid.margin))
            stitched[(slice(None), *window.toslices())] = forwarder.probabilities(values)[inside]
    return stitched


@pytest.mark.parametrize("context", ["chip", "scene"])
def test_windows_of_any_size_and_order_agree(model, scene, context):
    forwarder, margin = Forwarder(model, torch.device("cpu")), model.spec.agreeing_reach[context]
    single = probabilities(scene, forwarder, CORES[0], margin, context)
    # More margin than is needed changes nothing either.
    stitched = probabilities(scene, forwarder, CORES[1], margin + 40, context, Backwards)
    assert single.std() > 0.01
    assert np.abs(stitched - single).max() < 1e-5


def test_with_means_of_their_own_they_do_not(model, scene):
    forwarder = Forwarder(model, torch.device("cpu"))
    single, other = (probabilities(scene, forwarder, core, 128, "tile") for core in CORES)
    assert np.abs(single - other).max() > 1e-4


def test_a_feature_counts_as_often_as_it_has_valid_pixels(model, scene):
    forwarder, stride = Forwarder(model, torch.device("cpu")), model.spec.stride
    whole = WindowGrid(*SIZE, core=1000, margin=model.spec.agreeing_reach["scene"], stride=stride)
    values, _ = read_window(scene, whole.window(next(iter(whole))), (0, 1), model.spec.statistics)
    with torch.inference_mode():
        features = pooled_features(model.network, torch.from_numpy(values)[None])[0].double().numpy()
    rows, cols = (np.arange(side) + whole.margin for side in SIZE)
    expected = features[:, (rows // stride)[:, None], cols // stride][:, scene.read(next(iter(whole)))[1]].mean(1)
    found = scene_mean(scene, forwarder, replace(whole, core=CORES[1]), (0, 1))
    assert np.abs(found.numpy() - expected).max() < 1e-6 * np.abs(expected).max() + 1e-7


def test_the_network_is_left_as_it_was(model, scene):
    forwarder, image = Forwarder(model, torch.device("cpu")), torch.randn(1, 2, 64, 64)
    with torch.inference_mode():
        before = model.network(image)
        with forwarder.agreeing(None):
            assert not torch.equal(before, model.network(image))
        assert torch.equal(before, model.network(image))


def test_maps_of_any_window_are_equal(write_scene, tmp_path):
    model = model_of(small("parsenet", 2, 3), 2, 3, reach=None)
    model = replace(model, spec=replace(model.spec, agreeing_reach=agreeing("parsenet")))
    values = np.random.default_rng(0).normal(size=(2, 30, 120)).astype(np.float32)
    values[:, 10:20, 50:90] = -9
    path = write_scene(values, nodata=-9)

    def mapped(window, context):
        geoseg.predict(model, path, tmp_path / "map.tif", window=window, margin="exact", global_context=context,
                       overwrite=True)  # fmt: skip
        with rasterio.open(tmp_path / "map.tif") as dataset:
            assert f'"global_context": "{"chip" if context == "auto" else context}"' in str(dataset.tags())
            return dataset.read(1)

    for context in ("auto", "scene"):
        assert (mapped(1000, context) == mapped(520, context)).mean() > 0.9999
    assert (mapped(1000, "auto") == 0).sum() == 10 * 40


def test_a_scene_without_data_has_no_mean(model):
    scene = ArrayScene(np.zeros((2, 30, 40), np.float32), np.zeros((30, 40), bool))
    grid = WindowGrid(30, 40, core=1000, margin=0, stride=model.spec.stride)
    assert not scene_mean(scene, Forwarder(model, torch.device("cpu")), grid, (0, 1)).any()


class TestChoice:
    def test_auto_is_the_chip_where_it_can_be(self, model):
        assert choose_context(model, "auto") == ("chip", model.spec.agreeing_reach["chip"])
        assert choose_context(model, "tile") == ("tile", None)

    def test_a_local_network_needs_none(self, constant_model):
        for asked in ("auto", "tile", "chip", "scene"):
            assert choose_context(constant_model, asked) == ("tile", constant_model.spec.reach)

    def test_what_cannot_be_is_said(self, constant_model):
        attentive = replace(constant_model, spec=replace(constant_model.spec, architecture="manet", reach=None))
        assert choose_context(attentive, "auto") == ("tile", None)
        with pytest.raises(OptionError, match=r"manet sees its whole window .* pspnet"):
            choose_context(attentive, "scene")
        with pytest.raises(OptionError, match="auto, tile, chip, scene"):
            choose_context(attentive, "all")


def test_small_windows_are_padded_as_in_the_network():
    """A window below the least size of the network is padded; the padding is no part of the scene."""
    network = small("pspnet", 2, 3)
    assert network.min_size > 16
    model = model_of(SegmentationNetwork(network.body, stride=8, min_size=48), 2, 3, reach=None)
    scene = ArrayScene(np.random.default_rng(0).normal(size=(2, 16, 24)).astype(np.float32))
    grid = WindowGrid(16, 24, core=1000, margin=0, stride=8)
    forwarder = Forwarder(model, torch.device("cpu"))
    values, _ = read_window(scene, next(iter(grid)), (0, 1), model.spec.statistics)
    expected = forwarder.pooled_features(values)[:, :2, :3].double().mean((1, 2))
    assert torch.allclose(scene_mean(scene, forwarder, grid, (0, 1)), expected)
