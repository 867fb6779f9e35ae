import errno
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

import geoseg
from conftest import Constant, model_of
from geoseg import progress
from geoseg.errors import BandMismatchError, ModelError, OptionError, OutputError, OutputExistsError, SceneError
from geoseg.grid import Grid, WindowGrid
from geoseg.legend import IGNORE
from geoseg.models import build
from geoseg.models._network import SegmentationNetwork, measure_reach
from geoseg.prediction.crf_options import CrfOptions
from geoseg.prediction.engine import Job, fill
from geoseg.prediction.layout import Request, WindowLayout, plan
from geoseg.prediction.pipeline import Timing
from geoseg.prediction.runtimes import open_runtime
from geoseg.prediction.runtimes.torch import TorchRuntime
from geoseg.prediction.store import Store
from geoseg.prediction.windows import read_window
from geoseg.scene import ArrayScene
from geoseg.statistics import BandStatistics


def pixels(rows, cols):
    """What a window costs, where nothing else is asked."""
    return rows * cols


def stored(scene, model, layout, classes=0, network=None):
    """The map of a scene in a store, with probabilities when classes are given."""
    with tempfile.TemporaryDirectory() as folder, progress.bar("", 1, "MP") as bar:
        store = Store(Path(folder) / "map", *scene.grid.shape, classes)
        job = Job(scene, tuple(range(len(scene.bands))), model.spec, layout)
        fill(store, job, network or open_runtime("torch", model, "cpu"), bar, Timing(), bool(classes))
        assert store.is_complete
        everything = slice(None)
        return store.labels(everything), store.probabilities(everything) if classes else None


def labels_of(scene, model, fade=0, **grid):
    return stored(scene, model, WindowLayout.of(WindowGrid(*scene.grid.shape, **grid), fade))[0]


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (257, 1000), (2000, 2000)])
@pytest.mark.parametrize("holes", [False, True])
def test_a_constant_network_gives_its_constant_at_every_valid_pixel(
    shape, holes, write_scene, tmp_path, constant_model
):
    values = np.random.default_rng(0).integers(1, 200, (2, *shape), dtype=np.uint8)
    if holes:
        values[:, ::7, ::5] = 0
        values[:, : shape[0] // 3, shape[1] // 2 :] = 0
    scene = write_scene(values, nodata=0)
    geoseg.predict(constant_model, scene, tmp_path / "map.tif", window=512, margin=64)
    with rasterio.open(tmp_path / "map.tif") as mapped, rasterio.open(scene) as source:
        assert (mapped.transform, mapped.crs, mapped.shape) == (source.transform, source.crs, source.shape)
        assert (mapped.read(1) == np.where((values != 0).all(0), 2, mapped.nodata)).all()


@pytest.fixture(scope="module")
def local_model():
    """A U-Net with settled BatchNorm statistics, so that its outputs have a natural scale."""
    torch.manual_seed(0)
    network = build("unet", 2, 3, encoder="resnet18", depth=3)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(4, 2, 64, 64))
    return model_of(network, 2, 3, reach=measure_reach(network, 2))


@pytest.mark.parametrize("blend", ["none", "hann"])
def test_stitched_windows_equal_the_single_pass(local_model, blend):
    values = np.random.default_rng(1).normal(size=(2, 200, 300)).astype(np.float32)
    scene = ArrayScene(values, np.random.default_rng(2).random((200, 300)) > 0.02)
    reach = local_model.spec.reach
    # The fade lies within half of the margin, so that all that counts has its whole context.
    many = plan(scene.grid, local_model.spec, Request(window=4 * reach + 96, margin=2 * reach, blend=blend), pixels)
    one = plan(scene.grid, local_model.spec, Request(window=10_000, margin=reach), pixels)
    assert len(many.grid) > 9 > len(one.grid) == 1
    assert many.fades == (blend == "hann")
    labels, probabilities = stored(scene, local_model, many, 3)
    wanted, single = stored(scene, local_model, one, 3)
    known = labels != IGNORE
    assert (labels == wanted).mean() > 0.9999
    assert np.abs(probabilities - single)[:, known].max() < 1e-3  # half precision, as kept
    assert single[:, known].std() > 0.01


def test_windows_off_the_stride_would_not(local_model):
    """The law above can fail: windows that begin between the strides disagree with the single pass."""
    rng = np.random.default_rng(1)
    scene = ArrayScene(rng.normal(size=(2, 300, 300)).astype(np.float32))
    whole = labels_of(scene, local_model, core=10_000, margin=local_model.spec.reach, stride=8)
    aligned = labels_of(scene, local_model, core=96, margin=local_model.spec.reach, stride=8)
    shifted = labels_of(scene, local_model, core=93, margin=local_model.spec.reach + 1, stride=1)
    assert (whole == aligned).mean() > 0.9999
    assert (whole == shifted).mean() < 0.99


def test_the_crf_of_windows_is_that_of_the_whole(local_model, write_scene, tmp_path, monkeypatch):
    values = np.random.default_rng(1).normal(size=(2, 150, 210)).astype(np.float32)
    values[0, np.random.default_rng(2).random((150, 210)) < 0.05] = -99
    scene, crf = write_scene(values, nodata=-99), CrfOptions(iterations=3, radius=3, dilation=2)
    found = {}
    for side in (40, 512):
        monkeypatch.setattr("geoseg.prediction.crf_options.SIDES", (side,))
        geoseg.predict(local_model, scene, tmp_path / f"{side}.tif", crf=crf, window=10_000)
        with rasterio.open(tmp_path / f"{side}.tif") as mapped:
            found[side] = mapped.read(1)
    geoseg.predict(local_model, scene, tmp_path / "rough.tif", window=10_000)
    with rasterio.open(tmp_path / "rough.tif") as mapped:
        rough = mapped.read(1)
        assert ((rough == mapped.nodata) == (values == -99).any(0)).all()
        assert ((found[40] == mapped.nodata) == (values == -99).any(0)).all()
    assert (found[40] == found[512]).mean() > 0.9999
    assert (found[512] != rough).mean() > 0.01


def test_the_crf_mends_single_pixels(write_scene, tmp_path):
    class Dim(torch.nn.Module):
        def forward(self, image):
            return torch.cat([-image[:, :1], image[:, :1]], 1)

    values = np.where(np.mgrid[:40, :50][1] < 25, -1, 1).astype(np.float32)[None].repeat(2, 0)
    truth = (values[0] > 0) + 1
    values[0, ::9, ::7] *= -1
    model = model_of(SegmentationNetwork(Dim(), stride=1), 2, 2)
    scene = write_scene(values)
    for crf, share in ((False, 0.99), (True, 1.0)):
        geoseg.predict(model, scene, tmp_path / f"{crf}.tif", crf=crf)
        with rasterio.open(tmp_path / f"{crf}.tif") as mapped:
            assert (mapped.read(1) == truth).mean() == pytest.approx(share, abs=0.015 if not crf else 0)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), core=st.integers(1, 40), margin=st.integers(0, 30),
    stride=st.sampled_from([1, 4, 8]),
)  # fmt: skip
def test_every_pixel_gets_its_own_label(height, width, core, margin, stride):
    """A network that only looks at its own pixel must map every pixel to itself, whatever the windows."""

    class Same(torch.nn.Module):
        def forward(self, image):
            return torch.cat([-image, image], 1)

    truth = np.random.default_rng(height * width).integers(0, 2, (height, width))
    scene = ArrayScene((truth * 2 - 1)[None].astype(np.float32), truth > -1)
    model = model_of(SegmentationNetwork(Same(), stride=stride), 1, 2)
    assert (labels_of(scene, model, core=core, margin=margin, stride=stride) == truth).all()


def test_the_scene_is_reflected_at_its_edges():
    scene = ArrayScene(np.arange(12, dtype=np.float32).reshape(1, 3, 4))
    plain = BandStatistics((0.0,), (1.0,), (0.0,), (1.0,))
    values, valid = read_window(scene, Window(-2, -1, 8, 5), (0,), plain)
    expected = np.pad(np.arange(12).reshape(3, 4), ((1, 1), (2, 2)), mode="reflect").clip(-10, 10)
    assert (values[0] == expected).all()
    assert valid.all()


def test_windows_without_data_are_not_computed(constant_model):
    class Loud:
        def classes(self, values):
            raise AssertionError("a window without data reached the network")

        probabilities = classes

    scene = ArrayScene(np.zeros((2, 50, 50), np.float32), np.zeros((50, 50), bool))
    layout = WindowLayout.of(WindowGrid(50, 50, core=16, margin=8, stride=8), 8)
    for classes in (0, 3):
        assert (stored(scene, constant_model, layout, classes, Loud())[0] == IGNORE).all()


class TestMargins:
    GRID = Grid(None, Affine.identity(), 100, 100)

    def margin(self, spec, **request):
        return plan(self.GRID, spec, Request(**request), pixels).grid.margin

    def test_auto_is_the_reach_where_that_is_little(self, constant_model):
        spec = constant_model.spec
        assert self.margin(spec, window=256) == 0
        assert self.margin(spec, window=256, margin="exact") == 0
        assert self.margin(spec, window=256, margin=20) == 24

    def test_windows_are_as_large_as_the_memory_allows(self, constant_model):
        grid = Grid(None, Affine.identity(), 5000, 5000)
        for memory in (1e6, 4e6, 1e9):
            rows, cols = plan(
                grid, constant_model.spec, Request(memory=int(memory), margin=16), pixels
            ).grid.window_shape
            assert pixels(rows, cols) <= memory
        assert rows > 1000

    def test_what_cannot_be_is_said(self, constant_model):
        spec = replace(constant_model.spec, reach=None)
        for wrong, words in (
            ({"window": 256, "margin": "exact"}, "no margin is exact"),
            ({"window": 100, "margin": 64}, "--window 136"),
            ({"window": 0, "margin": 64}, "a window of 0 pixels"),
            ({"window": 256, "margin": "wide"}, "auto, exact"),
            ({"window": 256, "blend": "soft"}, "auto, none or hann"),
            ({"memory": 10_000, "margin": 64}, "--memory"),
        ):
            with pytest.raises(OptionError, match=words):
                self.margin(spec, **wrong)


def test_a_map_that_does_not_fit_fills_no_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match="No space") as caught:
        Store(tmp_path / "map", free // 1000 + 1, 2000)
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "map" / "labels.bin").stat().st_size == 0


class TestGoingOn:
    """A run that was stopped is started again, and ends as if it had never been."""

    @pytest.fixture
    def scene(self, write_scene):
        return write_scene(np.random.default_rng(0).integers(1, 200, (2, 200, 150), dtype=np.uint8))

    @pytest.fixture
    def model_file(self, local_model, tmp_path):
        from geoseg.model import write_model

        spec = replace(local_model.spec, architecture="unet", options={"encoder": "resnet18", "depth": 3})
        write_model(tmp_path / "m.safetensors", spec, local_model.network.state_dict())
        return tmp_path / "m.safetensors"

    @pytest.mark.parametrize(
        "options", [{"blend": "none"}, {"blend": "hann"}, {"blend": "hann", "probabilities": "p.tif", "crf": True}]
    )
    def test_stopped_at_any_window(self, scene, model_file, tmp_path, monkeypatch, options):
        monkeypatch.chdir(tmp_path)
        options = {"window": 72, "margin": 16, "runtime": "torch"} | options
        further = {"probabilities": "w.tif"} if "probabilities" in options else {}
        geoseg.predict(model_file, scene, "whole.tif", **(options | further))
        run = TorchRuntime.probabilities if options["blend"] == "hann" else TorchRuntime.classes
        asked = []
        for stop in (1, 7, 12, 10_000):

            def stopping(self, values, stop=stop):
                asked[-1] += 1
                if asked[-1] > stop:
                    raise KeyboardInterrupt
                return run(self, values)

            asked.append(0)
            monkeypatch.setattr(TorchRuntime, run.__name__, stopping)
            if stop < 10_000:
                with pytest.raises(KeyboardInterrupt):
                    geoseg.predict(model_file, scene, "map.tif", **options)
                assert not (tmp_path / "map.tif").exists()
            else:
                geoseg.predict(model_file, scene, "map.tif", **options)
        # What was complete was not done again: but for the row that was broken off, and the one that fades into it.
        assert asked[-1] < 15
        for made, wanted in [("map.tif", "whole.tif"), *([("p.tif", "w.tif")] if further else [])]:
            with rasterio.open(made) as one, rasterio.open(wanted) as other:
                assert (one.read() == other.read()).all()
        assert not list(tmp_path.glob(".*"))

    def test_other_memory_changes_no_windows(self, scene, model_file, tmp_path, monkeypatch):
        free = "geoseg.prediction.prepare.for_windows"
        run, asked = TorchRuntime.classes, []

        def stopping(self, values):
            asked.append(values.shape)
            if len(asked) == 3:
                raise KeyboardInterrupt
            return run(self, values)

        monkeypatch.setattr(TorchRuntime, "classes", stopping)
        monkeypatch.setattr(free, lambda *_: 10_000_000)
        with pytest.raises(KeyboardInterrupt):
            geoseg.predict(model_file, scene, tmp_path / "map.tif", margin=8, blend="none", runtime="torch")
        monkeypatch.setattr(free, lambda *_: 900_000_000)
        result = geoseg.predict(model_file, scene, tmp_path / "map.tif", margin=8, blend="none", runtime="torch")
        assert len({shape[2:] for shape in asked}) == 1
        assert result.windows == asked[0][2:]

    def test_other_options_begin_anew(self, scene, model_file, tmp_path, monkeypatch, caplog):
        def stopped(self, values):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(TorchRuntime, "probabilities", stopped)
            geoseg.predict(model_file, scene, tmp_path / "map.tif", window=72, margin=16, runtime="torch")
        geoseg.predict(model_file, scene, tmp_path / "map.tif", window=88, margin=16, runtime="torch")
        assert "other options" in caplog.text


class TestBadInput:
    @pytest.fixture
    def scene(self, write_scene):
        return write_scene(np.ones((2, 30, 40), np.uint8))

    def test_output_exists(self, constant_model, scene, tmp_path):
        (tmp_path / "map.tif").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"map\.tif exists"):
            geoseg.predict(constant_model, scene, tmp_path / "map.tif")
        assert (tmp_path / "map.tif").read_text() == "precious"

    def test_the_scene_is_not_overwritten(self, constant_model, scene):
        before = scene.read_bytes()
        with pytest.raises(OutputError, match="one of the files that are read"):
            geoseg.predict(constant_model, scene, scene, overwrite=True)
        assert scene.read_bytes() == before

    def test_other_bands(self, constant_model, write_scene, tmp_path):
        scene = write_scene(np.ones((3, 30, 40), np.uint8), "three.tif")
        with pytest.raises(BandMismatchError, match=r"three\.tif has 3 bands .* needs 2"):
            geoseg.predict(constant_model, scene, tmp_path / "map.tif")
        result = geoseg.predict(constant_model, scene, tmp_path / "map.tif", bands=("3", "1"))
        assert result.shares["class 2"] == 1

    def test_bands_of_an_open_scene_are_taken_in_the_order_asked(self, tmp_path):
        class First(torch.nn.Module):
            def forward(self, image):
                return torch.cat([image[:, :1], -image[:, :1]], 1)

        scene = ArrayScene(np.stack([np.ones((9, 9)), -np.ones((9, 9))]).astype(np.float32), bands=("nir", "red"))
        model = model_of(SegmentationNetwork(First(), stride=1), 2, 2)
        for bands, winner in ((("nir", "red"), "class 1"), (("red", "nir"), "class 2"), (("2", "1"), "class 2")):
            result = geoseg.predict(model, scene, tmp_path / "map.tif", bands=bands, overwrite=True)
            assert result.shares[winner] == 1
        with pytest.raises(OptionError, match="nodata"):
            geoseg.predict(model, scene, tmp_path / "map.tif", nodata=0, overwrite=True)

    def test_missing_files(self, constant_model, scene, tmp_path):
        with pytest.raises(SceneError, match=r"gone\.tif"):
            geoseg.predict(constant_model, tmp_path / "gone.tif", tmp_path / "map.tif")
        with pytest.raises(ModelError, match=r"gone\.safetensors"):
            geoseg.predict(tmp_path / "gone.safetensors", scene, tmp_path / "map.tif")

    def test_other_extensions(self, constant_model, scene, tmp_path):
        with pytest.raises(OptionError, match=r"map\.png"):
            geoseg.predict(constant_model, scene, tmp_path / "map.png")

    def test_all_nodata(self, constant_model, write_scene, tmp_path, caplog):
        scene = write_scene(np.zeros((2, 30, 40), np.uint8), "void.tif", nodata=0)
        result = geoseg.predict(constant_model, scene, tmp_path / "map.tif")
        assert result.nodata == 1
        assert "no valid pixel" in caplog.text

    def test_a_scene_that_breaks_half_way_leaves_nothing(self, write_scene, tmp_path, constant_model):
        values = np.random.default_rng(0).integers(0, 255, (2, 600, 300), dtype=np.uint8)
        scene = write_scene(values, "cut.tif", compress="deflate", tiled=True, blockxsize=64, blockysize=64)
        scene.write_bytes(scene.read_bytes()[:-60_000])
        with pytest.raises(SceneError, match=r"cut\.tif.*Window"):
            geoseg.predict(constant_model, scene, tmp_path / "map.tif", window=128)
        assert [p.name for p in tmp_path.iterdir()] == ["cut.tif"]


@pytest.mark.parametrize("transform", [Affine(1.5, -5, 7, -5, -1.5, 9), Affine(1, 0, 0, 0, 1, 0.5)])
def test_rotated_and_south_up_scenes(write_scene, tmp_path, constant_model, transform):
    scene = write_scene(np.ones((2, 30, 40), np.uint8), transform=transform)
    geoseg.predict(constant_model, scene, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as mapped:
        assert mapped.transform == transform


def test_the_winner_can_be_any_class(write_scene, tmp_path):
    scene = write_scene(np.ones((1, 20, 20), np.uint8))
    for winner in range(3):
        model = model_of(SegmentationNetwork(Constant(3, winner), stride=4), 1, 3)
        result = geoseg.predict(model, scene, tmp_path / f"{winner}.tif")
        assert result.shares[f"class {winner + 1}"] == 1
