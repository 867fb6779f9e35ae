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
from geoseg.errors import BandMismatchError, ModelError, OptionError, OutputError, OutputExistsError, SceneError
from geoseg.grid import WindowGrid
from geoseg.legend import IGNORE
from geoseg.models import build
from geoseg.models._network import SegmentationNetwork, measure_reach
from geoseg.prediction.crf import CrfOptions
from geoseg.prediction.forward import Forwarder
from geoseg.prediction.predict import predict_rows, window_grid
from geoseg.prediction.stitch import RowStitcher
from geoseg.prediction.windows import read_window
from geoseg.scene import ArrayScene
from geoseg.statistics import BandStatistics

CPU = torch.device("cpu")


def labels_of(scene, model, **grid):
    windows = WindowGrid(*scene.grid.shape, **grid)
    return np.concatenate(list(predict_rows(scene, Forwarder(model, CPU), windows, tuple(range(len(scene.bands))))))


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


def test_stitched_windows_equal_the_single_pass(local_model):
    rng = np.random.default_rng(1)
    scene = ArrayScene(rng.normal(size=(2, 300, 410)).astype(np.float32))
    margin, stride = local_model.spec.reach, local_model.spec.stride
    places, statistics = (0, 1), local_model.spec.statistics
    forwarder = Forwarder(local_model, CPU)
    stitched = np.full((3, 300, 410), np.nan, np.float32)
    grid = WindowGrid(300, 410, core=96, margin=margin, stride=stride)
    assert len(grid) > 9
    for core in grid:
        values, _ = read_window(scene, grid.window(core), places, statistics)
        inside = (slice(grid.margin, grid.margin + core.height), slice(grid.margin, grid.margin + core.width))
        stitched[(slice(None), *core.toslices())] = forwarder.probabilities(values)[(slice(None), *inside)]
    whole = WindowGrid(300, 410, core=10_000, margin=margin, stride=stride)
    assert len(whole) == 1
    values, _ = read_window(scene, whole.window(next(iter(whole))), places, statistics)
    inside = (slice(whole.margin, whole.margin + 300), slice(whole.margin, whole.margin + 410))
    single = forwarder.probabilities(values)[(slice(None), *inside)].numpy()
    assert np.abs(stitched - single).max() < 1e-4
    assert single.std() > 0.01


def test_windows_off_the_stride_would_not(local_model):
    """The law above can fail: windows that begin between the strides disagree with the single pass."""
    rng = np.random.default_rng(1)
    scene = ArrayScene(rng.normal(size=(2, 300, 300)).astype(np.float32))
    whole = labels_of(scene, local_model, core=10_000, margin=local_model.spec.reach, stride=8)
    aligned = labels_of(scene, local_model, core=96, margin=local_model.spec.reach, stride=8)
    shifted = labels_of(scene, local_model, core=93, margin=local_model.spec.reach + 1, stride=1)
    assert (whole == aligned).mean() > 0.9999
    assert (whole == shifted).mean() < 0.99


def test_windows_of_the_crf_agree_with_the_single_pass(local_model):
    values = np.random.default_rng(1).normal(size=(2, 150, 210)).astype(np.float32)
    valid = np.random.default_rng(2).random((150, 210)) > 0.05
    scene, crf = ArrayScene(values, valid), CrfOptions(iterations=3, radius=3, dilation=2)

    def mapped(window, crf):
        grid = window_grid(scene, local_model.spec, window, "exact", crf.halo if crf else 0)
        return len(grid), np.concatenate(list(predict_rows(scene, Forwarder(local_model, CPU, crf), grid, (0, 1))))

    (one, whole), (many, stitched) = mapped(1000, crf), mapped(2 * (local_model.spec.reach + crf.halo) + 80, crf)
    assert one < many
    assert (whole == stitched).mean() > 0.9999
    assert (whole == IGNORE).sum() == (~valid).sum()
    assert (whole != mapped(1000, None)[1]).mean() > 0.01


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


def test_rows_come_out_as_soon_as_they_are_complete():
    stitcher = RowStitcher(10)
    assert stitcher.add(Window(0, 0, 6, 3), np.zeros((3, 6), np.uint8)) is None
    rows = stitcher.add(Window(6, 0, 4, 3), np.ones((3, 4), np.uint8))
    assert rows.shape == (3, 10)
    assert rows[:, :6].max() == 0
    assert rows[:, 6:].min() == 1


def test_windows_without_data_are_not_computed():
    class Loud(torch.nn.Module):
        def forward(self, image):
            raise AssertionError("a window without data reached the network")

    scene = ArrayScene(np.zeros((1, 50, 50), np.float32), np.zeros((50, 50), bool))
    model = model_of(SegmentationNetwork(Loud(), stride=8), 1, 2)
    assert (labels_of(scene, model, core=16, margin=8, stride=8) == IGNORE).all()


class TestMargins:
    def test_auto_is_the_reach_where_that_is_little(self, constant_model):
        scene = ArrayScene(np.zeros((2, 100, 100), np.uint8))
        spec = constant_model.spec
        assert window_grid(scene, spec, 256, "auto").margin == 0
        assert window_grid(scene, spec, 256, "exact").margin == 0
        assert window_grid(scene, spec, 256, 20).margin == 24

    def test_what_cannot_be_is_said(self, constant_model):
        from dataclasses import replace

        scene = ArrayScene(np.zeros((2, 100, 100), np.uint8))
        spec = replace(constant_model.spec, reach=None)
        with pytest.raises(OptionError, match="no margin is exact"):
            window_grid(scene, spec, 256, "exact")
        with pytest.raises(OptionError, match="--window 136"):
            window_grid(scene, spec, 100, 64)
        with pytest.raises(OptionError, match="auto, exact"):
            window_grid(scene, spec, 256, "wide")


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
        with pytest.raises(OutputError, match="the scene itself"):
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
        with pytest.raises(SceneError, match=r"cut\.tif"):
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
