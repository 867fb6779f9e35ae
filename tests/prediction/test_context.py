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
from geoseg.models._context import agreeing as agreeing_means
from geoseg.models._context import pooled_features
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction.context import choose_context, scene_mean, settled
from geoseg.prediction.engine import Job, read
from geoseg.prediction.layout import WindowLayout
from geoseg.prediction.runtimes import open_runtime
from geoseg.scene import ArrayScene
from small_networks import agreeing, small

CPU = torch.device("cpu")
SIZE = (40, 200)
CORES = (1000, 104)


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


def job_of(scene, model, core, margin):
    grid = WindowGrid(*SIZE, core=core, margin=margin, stride=model.spec.stride)
    return Job(scene, (0, 1), model.spec, WindowLayout.of(grid))


def probabilities(scene, model, core, margin, context, backwards=False):
    """Of the whole scene (classes, rows, cols), as it is stitched."""
    job = job_of(scene, model, core, margin)
    mean = scene_mean(job, model, CPU) if context == "scene" else None
    network = open_runtime("torch", settled(model, context, mean), "cpu")
    stitched = np.full((3, *SIZE), np.nan, np.float32)
    pieces = list(job.layout.pieces())
    for seen in read(job, pieces[::-1] if backwards else pieces):
        if seen.values is not None:
            place = (slice(None), seen.piece.rows, seen.piece.cols)
            answer = network.probabilities(seen.values[None])[0]
            stitched[place] = answer[:, *seen.piece.within(answer.shape)]
    return stitched[:, scene.read(scene.grid.window)[1]]


@pytest.mark.parametrize("context", ["chip", "scene"])
def test_windows_of_any_size_and_order_agree(model, scene, context):
    margin = model.spec.agreeing_reach[context]
    single = probabilities(scene, model, CORES[0], margin, context)
    # More margin than is needed changes nothing either.
    stitched = probabilities(scene, model, CORES[1], margin + 40, context, backwards=True)
    assert single.std() > 0.01
    assert np.abs(stitched - single).max() < 1e-5


def test_with_means_of_their_own_they_do_not(model, scene):
    single, other = (probabilities(scene, model, core, 128, "tile") for core in CORES)
    assert np.abs(single - other).max() > 1e-4


def test_a_feature_counts_as_often_as_it_has_valid_pixels(model, scene):
    margin, stride = model.spec.agreeing_reach["scene"], model.spec.stride
    (seen,) = read(job := job_of(scene, model, 1000, margin), job.layout.pieces())
    with torch.inference_mode():
        features = pooled_features(model.network, torch.from_numpy(seen.values)[None])[0].double().numpy()
    rows, cols = (np.arange(side) + job.layout.grid.margin for side in SIZE)
    expected = features[:, (rows // stride)[:, None], cols // stride][:, seen.valid].mean(1)
    found = scene_mean(job_of(scene, model, CORES[1], margin), model, CPU)
    assert np.abs(found.numpy() - expected).max() < 1e-6 * np.abs(expected).max() + 1e-7


def test_the_network_is_left_as_it_was(model):
    image = torch.randn(1, 2, 64, 64)
    with torch.inference_mode():
        before = model.network(image)
        with agreeing_means(model.network, model.spec.chip_size):
            assert not torch.equal(before, model.network(image))
        assert not torch.equal(before, settled(model, "chip").network(image))
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
    scene = ArrayScene(np.zeros((2, *SIZE), np.float32), np.zeros(SIZE, bool))
    assert not scene_mean(job_of(scene, model, 1000, 0), model, CPU).any()


class TestChoice:
    def test_auto_is_the_chip_where_it_can_be(self, model):
        assert choose_context(model.spec, "m", "auto") == "chip"
        assert settled(model, "chip").spec.reach == model.spec.agreeing_reach["chip"]
        assert choose_context(model.spec, "m", "tile") == "tile"

    def test_a_local_network_needs_none(self, constant_model):
        for asked in ("auto", "tile", "chip", "scene"):
            assert choose_context(constant_model.spec, "m", asked) == "tile"

    def test_what_cannot_be_is_said(self, constant_model):
        attentive = replace(constant_model.spec, architecture="manet", reach=None)
        assert choose_context(attentive, "m", "auto") == "tile"
        with pytest.raises(OptionError, match=r"manet sees its whole window .* pspnet"):
            choose_context(attentive, "m", "scene")
        with pytest.raises(OptionError, match="auto, tile, chip, scene"):
            choose_context(attentive, "m", "all")


def test_small_windows_are_padded_as_in_the_network():
    """A window below the least size of the network is padded; the padding is no part of the scene."""
    network = small("pspnet", 2, 3).eval()
    assert network.min_size > 16
    model = model_of(SegmentationNetwork(network.body, stride=8, min_size=48), 2, 3, reach=None)
    scene = ArrayScene(np.random.default_rng(0).normal(size=(2, 16, 24)).astype(np.float32))
    layout = WindowLayout.of(WindowGrid(16, 24, core=1000, margin=0, stride=8))
    job = Job(scene, (0, 1), model.spec, layout)
    (seen,) = read(job, layout.pieces())
    with torch.inference_mode():
        features = pooled_features(model.network, torch.from_numpy(seen.values)[None])[0]
    assert torch.allclose(scene_mean(job, model, CPU), features[:, :2, :3].double().mean((1, 2)))
