"""Chips are the same however they are cut: by how many processes, in one go or after a kill, with files or without."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import geoseg
from conftest import CORNER, polygons, striped
from geoseg.chips import tiler
from geoseg.chips.dataset import ChipDataset
from geoseg.chips.encode import Encoder, Template
from geoseg.chips.index import read_index
from geoseg.chips.strips import make_tasks
from geoseg.cli import main
from geoseg.errors import ChipError, LabelError, OptionError
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.raster import gdal_settings
from geoseg.readers.geotiff import GeoTiffScene


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def holed(write_scene):
    """A scene with nodata along one side and labels over all of it."""
    values, classes = striped(300, 280)
    values[:, :, :50] = 0
    return write_scene(values, nodata=0), write_scene(classes[None], "labels.tif", nodata=0)


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_any_number_of_processes_gives_the_same_bytes(holed, tmp_path, compress):
    for jobs in (1, 2):
        geoseg.tile(*holed, tmp_path / f"j{jobs}", chip_size=24, jobs=jobs, compress=compress)
    assert contents(tmp_path / "j1") == contents(tmp_path / "j2")


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(write_scene, tmp_path, jobs):
    values, classes = striped(420, 420)
    scene, labels = write_scene(values, nodata=0), write_scene(classes[None], "labels.tif", nodata=0)
    words = ["tile", scene, "--labels", labels, "--chip-size", 16, "--jobs", jobs, "-o"]
    program = [sys.executable, "-c", "from geoseg.cli import main; main()"]
    process = subprocess.Popen([*program, *map(str, [*words, tmp_path / "c"])], stderr=subprocess.DEVNULL)
    notes = tmp_path / ".c.partial" / ".geoseg-scratch" / "notes"
    while len(list(notes.glob("*.npz"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "c").exists()
    # One chip was cut short by the fall of the machine.
    victim = sorted((tmp_path / ".c.partial" / "c" / "images").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:100])
    done = CliRunner().invoke(main, [*map(str, words), str(tmp_path / "c")])
    assert done.exit_code == 0
    assert "Going on: " in done.stderr
    assert CliRunner().invoke(main, [*map(str, words), str(tmp_path / "d")]).exit_code == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "d")
    assert not list(tmp_path.glob(".*"))


def stop_half_way(monkeypatch, *arguments, **options):
    """Start to cut, and be stopped by Ctrl-C at the third task."""
    cut = tiler._cut

    def until_stopped(pairs, task, **further):
        if task.number == 2:
            raise KeyboardInterrupt
        return cut(pairs, task, **further)

    with monkeypatch.context() as patch:
        patch.setattr(tiler, "_cut", until_stopped)
        with pytest.raises(KeyboardInterrupt):
            geoseg.tile(*arguments, **options)


def test_the_same_options_go_on(holed, tmp_path, monkeypatch, caplog):
    stop_half_way(monkeypatch, *holed, tmp_path / "c", chip_size=16)
    with caplog.at_level("INFO", "geoseg"):
        geoseg.tile(*holed, tmp_path / "c", chip_size=16)
    assert "Going on: 2 of" in caplog.text
    geoseg.tile(*holed, tmp_path / "d", chip_size=16)
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


@pytest.mark.parametrize(
    "options",
    [
        {"overlap": 0.5},
        {"seed": 4},
        {"bands": ("4", "3", "2", "1")},
        {"nodata": 7.0},
        {"background": 9},
        {"legend": Legend.from_names([(1, "x"), (2, "y"), (3, "z")])},
    ],
)
def test_other_options_do_not_go_on_with_what_is_there(holed, tmp_path, monkeypatch, caplog, options):
    stop_half_way(monkeypatch, *holed, tmp_path / "c", chip_size=16)
    with caplog.at_level("INFO", "geoseg"):
        geoseg.tile(*holed, tmp_path / "c", chip_size=16, **options)
    assert "Going on" not in caplog.text
    geoseg.tile(*holed, tmp_path / "d", chip_size=16, **options)
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_a_dry_run_says_what_a_run_makes(holed, tmp_path):
    dry = geoseg.tile(*holed, tmp_path / "c", chip_size=32, compress="none", dry_run=True)
    assert not list(tmp_path.glob("*c")) + list(tmp_path.glob(".*"))
    wet = geoseg.tile(*holed, tmp_path / "c", chip_size=32, compress="none")
    assert (dry.chips, dry.classes, dry.pixels, dry.missing) == (wet.chips, wet.classes, wet.pixels, wet.missing)
    assert dry.bytes == wet.bytes
    assert "would be" in str(dry)
    assert "class 3" in str(dry)
    frame = read_index(tmp_path / "c").frame
    assert wet.chips == frame["split"].value_counts().to_dict()
    assert wet.pixels["test"]["class 1"] == frame.loc[frame["split"] == "test", "pixels_1"].sum()


def test_a_dry_run_warns_of_a_class_that_a_split_lacks(write_scene, tmp_path, caplog):
    values, classes = striped(200, 200)
    classes[:8, :8] = 9
    scene, labels = write_scene(values), write_scene(classes[None], "labels.tif", nodata=0)
    result = geoseg.tile(scene, labels, tmp_path / "c", chip_size=16, dry_run=True)
    assert ("test", "class 9") in result.missing
    assert "No test label of class 'class 9'" in caplog.text


class TestVirtual:
    @pytest.fixture
    def both(self, holed, tmp_path):
        for name, virtual in (("files", False), ("virtual", True)):
            geoseg.tile(*holed, tmp_path / name, chip_size=32, virtual=virtual)
        return read_index(tmp_path / "files"), read_index(tmp_path / "virtual")

    def test_it_writes_no_pixels_and_gives_the_same(self, both):
        files, virtual = both
        assert not list(virtual.folder.rglob("*.tif"))
        assert virtual.statistics == files.statistics
        assert (virtual.counts("train") == files.counts("train")).all()
        one, other = ChipDataset(files, "val"), ChipDataset(virtual, "val")
        for number in range(len(one)):
            for first, second in zip(one[number, None], other[number, None], strict=True):
                assert (first == second).all()

    def test_it_trains(self, both, tmp_path):
        geoseg.train(both[1].folder, tmp_path / "m.safetensors", epochs=1, chips_per_epoch=4, batch_size=2)
        assert (tmp_path / "m.safetensors").exists()

    def test_scenes_that_changed_are_refused(self, both, holed):
        os.utime(holed[0], (1, 1))
        with pytest.raises(ChipError, match="changed or moved"):
            ChipDataset(both[1], "train")


class TestTemplates:
    LEGEND = Legend.from_names([(1, "a"), (7, "b")])

    @pytest.mark.parametrize("transform", [CORNER, Affine.identity(), Affine(0.1, 0, 7, 0, -0.2, 60)])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
    def test_a_filled_template_is_what_gdal_writes(self, monkeypatch, transform, dtype):
        rng = np.random.default_rng(0)
        with gdal_settings():
            fast = Encoder(("red", "nir"), self.LEGEND, "none")
            chips = []
            for number in range(3):
                values = rng.integers(0, 100, (2, 20, 30)).astype(dtype)
                grid = Grid(rasterio.CRS.from_epsg(32632), transform @ Affine.translation(11 * number, 5), 20, 30)
                chips.append((values, grid))
            valid, indices = np.ones((20, 30), bool), rng.choice([0, 1, 255], (20, 30)).astype(np.uint8)
            made = [(fast.image(v, valid, g), fast.label(indices, g)) for v, g in chips]
            assert all(fast._templates.values()) or transform == Affine.identity()
            monkeypatch.setattr(Template, "of", classmethod(lambda *_: None))
            slow = Encoder(("red", "nir"), self.LEGEND, "none")
            assert made == [(slow.image(v, valid, g), slow.label(indices, g)) for v, g in chips]

    def test_rotated_chips_have_none(self):
        grid = Grid(None, Affine.rotation(30), 20, 30)
        with gdal_settings():
            encoder = Encoder(("red",), self.LEGEND, "none")
            content = encoder.image(np.ones((1, 20, 30), np.uint8), np.ones((20, 30), bool), grid)
            assert not any(encoder._templates.values())
        with rasterio.MemoryFile(content) as memory, memory.open() as dataset:
            assert dataset.transform.almost_equals(grid.transform)


@settings(deadline=None)
@given(st.integers(8, 40), st.integers(1, 40), st.integers(0, 10_000), st.integers(1, 4_000_000))
def test_each_window_is_in_one_strip_that_holds_it(size, stride, seed, pixel_bytes):
    rng = np.random.default_rng(seed)
    grid = [(0, r, c, size, size) for r in range(0, 200, stride) for c in range(0, 300, stride)]
    windows = np.array(grid, np.int64)[rng.random(len(grid)) < 0.3]
    strips = [strip for task in make_tasks((windows,), [pixel_bytes]) for strip in task.strips]
    found = np.concatenate([strip.windows for strip in strips]) if strips else np.empty((0, 5), np.int64)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, windows.tolist()))
    for strip in strips:
        region, own = strip.region, strip.windows
        assert (own[:, 1] >= region.row_off).all()
        assert (own[:, 2] >= region.col_off).all()
        assert (own[:, 1] + own[:, 3] <= region.row_off + region.height).all()
        assert (own[:, 2] + own[:, 4] <= region.col_off + region.width).all()
        assert region.height < 2 * size


def test_sparse_labels_read_little_of_the_scene(write_scene, tmp_path, monkeypatch):
    values, classes = striped(400, 400)
    sparse = np.zeros_like(classes)
    for row, col in ((10, 10), (10, 350), (350, 10), (350, 350), (200, 200), (100, 300)):
        sparse[row : row + 12, col : col + 40] = classes[row : row + 12, col : col + 40]
    scene, labels = write_scene(values, nodata=0), write_scene(sparse[None], "labels.tif", nodata=0)
    pixels = []
    read = GeoTiffScene.read

    def counted(self, window):
        pixels.append(window.width * window.height)
        return read(self, window)

    geoseg.tile(scene, labels, tmp_path / "a", chip_size=16, split=(1, 0, 0), dry_run=True)
    monkeypatch.setattr(GeoTiffScene, "read", counted)
    geoseg.tile(scene, labels, tmp_path / "b", chip_size=16, split=(1, 0, 0), min_labelled=0.1)
    assert sum(pixels) < 400 * 400 + 0.3 * 400 * 400  # once to see where labels are valid, then only around them


def test_jobs_below_zero_are_refused(labelled_scene, tmp_path):
    with pytest.raises(OptionError, match="jobs is -1"):
        geoseg.tile(*labelled_scene, tmp_path / "c", jobs=-1)


def test_an_unknown_compression_is_refused(labelled_scene, tmp_path):
    with pytest.raises(OptionError, match="did you mean 'deflate'"):
        geoseg.tile(*labelled_scene, tmp_path / "c", compress="deflat")


def test_a_chip_that_was_cut_short_is_named(labelled_scene, tmp_path):
    geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32)
    index = read_index(tmp_path / "c")
    image = tmp_path / "c" / index.frame["image"].iloc[0]
    image.write_bytes(image.read_bytes()[:-10])
    with pytest.raises(ChipError, match=r"has \d+ bytes and had \d+ when it was cut"):
        index.require_files()
    image.unlink()
    with pytest.raises(ChipError, match="is gone though the index lists it"):
        index.require_files()


def test_the_command_takes_all_of_it(labelled_scene, tmp_path):
    words = ["tile", *map(str, labelled_scene[:1]), "--labels", str(labelled_scene[1]), "-o", str(tmp_path / "c")]
    options = ["--folds", "3", "--chip-size", "24", "--compress", "zstd", "-j", "1", "--dry-run", "--json"]
    done = CliRunner().invoke(main, words + options)
    assert done.exit_code == 0, done.stderr
    assert set(json.loads(done.stdout)["chips"]) == {"fold_0", "fold_1", "fold_2"}


def test_labels_elsewhere_are_refused_before_anything_is_written(labelled_scene, tmp_path):
    far = tmp_path / "far.gpkg"
    polygons({"a": [(90_000, 90_000, 9, 9)], "b": [(90_020, 90_000, 9, 9)]}).to_file(far)
    with pytest.raises(LabelError, match=r"no labelled pixel lies on .*scene\.tif"):
        geoseg.tile(labelled_scene[0], far, tmp_path / "c")
