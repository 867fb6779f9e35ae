"""What else a prediction can be asked for: areas, other grids, shares, estimates, several scenes."""

import errno
import json
from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from click.testing import CliRunner
from rasterio.crs import CRS

import geoseg
from conftest import CORNER, model_of, write_small_model
from geoseg.cli import main
from geoseg.errors import OptionError, OutputError, OutputExistsError, SceneError
from geoseg.grid import Grid
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction import outputs, predict
from geoseg.prediction.budget import parse_memory
from geoseg.prediction.outputs import confidence
from geoseg.scene import ArrayScene
from geoseg.statistics import BandStatistics
from geoseg.writers._cog import CogWriter


class Brightness(torch.nn.Module):
    """Three classes, by how bright the first band is."""

    def forward(self, image):
        return torch.cat([-image[:, :1], torch.zeros_like(image[:, :1]), image[:, :1]], 1)


@pytest.fixture
def model():
    return model_of(SegmentationNetwork(Brightness(), stride=4), 2, 3)


@pytest.fixture
def scene(write_scene):
    values = np.random.default_rng(0).normal(size=(2, 90, 130)).astype(np.float32) * 2
    values[:, 40:50, 60:90] = -9999
    return write_scene(values, nodata=-9999)


def read(path):
    with rasterio.open(path) as dataset:
        about = SimpleNamespace(names=dataset.descriptions, grid=(dataset.transform, dataset.crs, dataset.shape))
        return dataset.read(), dataset.read_masks(1) > 0, about


def test_probabilities_and_confidence_agree_with_the_map(model, scene, tmp_path):
    geoseg.predict(model, scene, tmp_path / "m.tif", probabilities=tmp_path / "p.tif", confidence=tmp_path / "c.tif")
    classes, valid, mapped = read(tmp_path / "m.tif")
    steps, known, shares = read(tmp_path / "p.tif")
    sure, _, told = read(tmp_path / "c.tif")
    assert (known == valid).all()
    assert shares.names == ("class 1", "class 2", "class 3")
    assert told.names == ("confidence", "margin", "certainty")
    assert shares.grid == mapped.grid
    assert np.abs(steps[:, valid].sum(0) / 250.0 - 1).max() < 0.01
    # Of two that are equal after rounding either may be the map's.
    best = np.take_along_axis(steps, classes[:1].astype(int).clip(1, 3) - 1, 0)[0]
    assert (best[valid] >= steps.max(0)[valid] - 1).all()
    assert np.abs(sure[0][valid].astype(int) - steps.max(0)[valid]).max() <= 1


def test_confidence_is_of_its_definition():
    probabilities = np.array([[1.0, 1 / 3, 0.5], [0.0, 1 / 3, 0.5], [0.0, 1 / 3, 0.0]], np.float32)[:, None]
    highest, lead, certainty = confidence(probabilities)[:, 0]
    assert highest == pytest.approx([1, 1 / 3, 0.5])
    assert lead == pytest.approx([1, 0, 0], abs=1e-6)
    assert certainty == pytest.approx([1, 0, 1 - np.log(2) / np.log(3)], abs=1e-5)


def test_turning_changes_nothing_for_a_network_that_sees_its_own_pixel(model, scene, tmp_path):
    geoseg.predict(model, scene, tmp_path / "m.tif", window=40, margin=4)
    geoseg.predict(model, scene, tmp_path / "t.tif", window=40, margin=4, tta=True)
    assert (read(tmp_path / "m.tif")[0] == read(tmp_path / "t.tif")[0]).all()


class TestArea:
    def area(self, scene, tmp_path, crs=None):
        with rasterio.open(scene) as dataset:
            left, top = dataset.transform @ (10, 20)
            right, bottom = dataset.transform @ (50, 60)
            frame = gpd.GeoDataFrame(geometry=[shapely.box(left, bottom, right, top)], crs=dataset.crs)
        (frame.to_crs(crs) if crs else frame).to_file(tmp_path / "area.gpkg")
        return tmp_path / "area.gpkg"

    @pytest.mark.parametrize("crs", [None, "EPSG:4326"])
    def test_only_what_is_inside_is_mapped(self, model, scene, tmp_path, crs):
        geoseg.predict(model, scene, tmp_path / "m.tif", aoi=self.area(scene, tmp_path, crs), window=40, margin=4)
        geoseg.predict(model, scene, tmp_path / "all.tif")
        (inside, valid, _), (whole, known, _) = read(tmp_path / "m.tif"), read(tmp_path / "all.tif")
        wanted = np.zeros_like(known)
        wanted[20:60, 10:50] = True
        # The edges of a box are no longer straight in another CRS.
        assert (valid == (wanted & known)).mean() > (0.99 if crs else 0.99999)
        assert (inside[:, valid] == whole[:, valid]).all()

    def test_what_cannot_be_is_said(self, model, scene, tmp_path):
        far = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
        far.to_file(tmp_path / "far.gpkg")
        gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_file(tmp_path / "points.gpkg")
        for name, words in (("far", "do not touch"), ("points", "no polygons"), ("gone", r"gone\.gpkg")):
            with pytest.raises(OptionError, match=words):
                geoseg.predict(model, scene, tmp_path / "m.tif", aoi=tmp_path / f"{name}.gpkg")


def test_the_map_may_have_another_crs(model, scene, tmp_path):
    geoseg.predict(model, scene, tmp_path / "m.tif", dst_crs="EPSG:4326")
    _, valid, mapped = read(tmp_path / "m.tif")
    assert mapped.grid[1].to_epsg() == 4326
    assert valid.mean() > 0.5
    with pytest.raises(SceneError, match="EPSG:32632"):
        geoseg.predict(model, scene, tmp_path / "n.tif", dst_crs="the moon")


def test_a_scene_that_is_turned_keeps_the_size_of_its_pixels_in_another_crs(model, tmp_path):
    values = np.full((2, 30, 240), 100, np.uint8)
    grid = Grid(CRS.from_epsg(32632), CORNER @ Affine.rotation(45), 30, 240)
    geoseg.predict(model, ArrayScene(values, grid=grid), tmp_path / "m.tif", dst_crs="EPSG:3035")
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.res == pytest.approx((10, 10), rel=0.05)


class TestAcrossTheAntimeridian:
    """Scenes in degrees go on beyond 180 there."""

    GRID = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 179, 0, -0.01, -16), 100, 200)

    def test_both_sides_are_there_in_another_crs(self, model, tmp_path):
        values = np.full((2, 100, 200), 100, np.uint8)
        geoseg.predict(model, ArrayScene(values, grid=self.GRID), tmp_path / "m.tif", dst_crs="EPSG:32701")
        _, valid, _ = read(tmp_path / "m.tif")
        assert valid.mean() > 0.95

    @pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
    def test_a_crs_that_is_cut_there_is_refused(self, model, tmp_path, crs):
        grid = Grid(CRS.from_epsg(32760), Affine(1000, 0, 750_000, 0, -1000, 8_200_000), 50, 200)
        scene = ArrayScene(np.full((2, 50, 200), 100, np.uint8), grid=grid)
        with pytest.raises(SceneError, match="antimeridian"):
            geoseg.predict(model, scene, tmp_path / "m.tif", dst_crs=crs)


def test_an_estimate_makes_nothing(model, scene, tmp_path):
    before = set(tmp_path.iterdir())
    asked = {"window": 40, "margin": 4, "runtime": "torch"}
    found = geoseg.predict(model, scene, tmp_path / "m.tif", **asked, dry_run=True, crf=True)
    assert set(tmp_path.iterdir()) == before
    assert (found.windows, found.margin, found.runtime) == (15, 4, "torch")
    assert found.seconds > 0
    assert found.disk > 90 * 130
    assert "would be 0.0117 MP in 15 windows" in str(found)


def test_outputs_may_not_collide(model, scene, tmp_path):
    with pytest.raises(OptionError, match="two outputs"):
        geoseg.predict(model, scene, tmp_path / "m.tif", probabilities=tmp_path / "m.tif")
    (tmp_path / "here").symlink_to(tmp_path)
    for spelled in (tmp_path / "here" / "m.tif", tmp_path / "here" / ".." / tmp_path.name / "m.tif"):
        with pytest.raises(OptionError, match="two outputs"):
            geoseg.predict(model, scene, tmp_path / "m.tif", confidence=spelled)
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(OutputError, match="one of the files that are read"):
        geoseg.predict(model, scene, tmp_path / "m.tif", confidence=scene, overwrite=True)
    (tmp_path / "p.tif").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"p\.tif exists"):
        geoseg.predict(model, scene, tmp_path / "m.tif", probabilities=tmp_path / "p.tif")
    assert (tmp_path / "p.tif").read_text() == "precious"


@pytest.mark.parametrize("failing", range(3))
def test_a_disk_that_is_full_before_all_is_written_costs_none_of_the_old_rasters(
    model, scene, tmp_path, monkeypatch, failing
):
    asked = {"probabilities": tmp_path / "p.tif", "confidence": tmp_path / "c.tif"}
    geoseg.predict(model, scene, tmp_path / "m.tif", **asked)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    verify, done = CogWriter._verify, []

    def full(writer):
        if len(done) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(writer)
        verify(writer)

    monkeypatch.setattr(CogWriter, "_verify", full)
    with pytest.raises(OutputError, match="No space left"):
        geoseg.predict(model, scene, tmp_path / "m.tif", **asked, overwrite=True, tta=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class TestKilled:
    """A run that was killed, which leaves all as it is, where its hidden folder stays."""

    @pytest.fixture
    def asked(self, scene, tmp_path):
        statistics = BandStatistics((0.0,) * 2, (1.0,) * 2, (-1.0,) * 2, (1.0,) * 2)
        write_small_model(tmp_path / "model.safetensors", statistics)
        return {
            "model": tmp_path / "model.safetensors",
            "scene": scene,
            "output": tmp_path / "m.tif",
            "probabilities": tmp_path / "p.tif",
            "confidence": tmp_path / "c.tif",
            "runtime": "torch",
        }

    def killed(self, asked, monkeypatch, place, name, first=lambda *_: None):
        def stop(*args):
            first(*args)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(place, name, stop)
            with pytest.raises(KeyboardInterrupt):
                geoseg.predict(**asked)

    def test_a_file_of_the_users_own_is_not_taken_for_its_output(self, asked, tmp_path, monkeypatch):
        self.killed(asked, monkeypatch, outputs, "MapWriter")
        (tmp_path / "c.tif").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"c\.tif exists"):
            geoseg.predict(**asked)
        assert (tmp_path / "c.tif").read_text() == "precious"
        assert not (tmp_path / "m.tif").exists()

    def test_its_own_rasters_are_replaced_and_no_others(self, asked, tmp_path, monkeypatch):
        self.killed(asked, monkeypatch, predict, "write_outputs", predict.write_outputs)
        assert not (tmp_path / "m.tif").exists()
        own = (tmp_path / "p.tif").read_bytes()
        (tmp_path / "p.tif").unlink()
        (tmp_path / "p.tif").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"p\.tif exists"):
            geoseg.predict(**asked)
        assert (tmp_path / "p.tif").read_text() == "precious"
        (tmp_path / "p.tif").unlink()
        geoseg.predict(**asked)
        assert (tmp_path / "p.tif").read_bytes() == own
        assert not list(tmp_path.glob(".*"))


def test_memory_in_words():
    assert [parse_memory(text) for text in ("2GB", "1.5 GiB", "800m")] == [2_000_000_000, 1_610_612_736, 800_000_000]
    for wrong in ("much", "", "-1GB", "2 parsec"):
        with pytest.raises(OptionError, match="2GB"):
            parse_memory(wrong)


def test_too_little_memory_says_how_much_more(model, scene, tmp_path):
    with pytest.raises(OptionError, match=r"takes \d+\.\d\d GB more; give that much more with --memory"):
        geoseg.predict(model, scene, tmp_path / "m.tif", memory=1000)


def test_several_scenes_go_into_a_folder(write_scene, tmp_path):
    from geoseg.model import write_model
    from geoseg.models import build

    network = build("unet_compact", 2, 3, width=4, depth=1)
    spec = model_of(network, 2, 3).spec
    spec = replace(spec, architecture="unet_compact", options={"width": 4, "depth": 1}, reach=None, stride=2)
    write_model(tmp_path / "m.safetensors", spec, network.state_dict())
    scenes = [write_scene(np.ones((2, 30, 40), np.uint8), name) for name in ("one.tif", "two.tif")]
    words = ["predict", str(tmp_path / "m.safetensors"), *map(str, scenes), "-o", str(tmp_path / "maps")]
    done = CliRunner().invoke(main, [*words, "--json", "-q", "--runtime", "torch", "--memory", "4GB"])
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["height"] for line in done.stdout.splitlines()] == [30, 30]
    assert sorted(p.name for p in (tmp_path / "maps").glob("*.tif")) == ["one.tif", "two.tif"]
    twice = CliRunner().invoke(main, [*words[:3], *words[2:3], "-o", str(tmp_path / "more")])
    assert twice.exit_code == 2
    assert "both become one.tif" in twice.stderr
