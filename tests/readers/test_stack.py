import logging

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from conftest import CORNER, UTM
from geoseg.errors import BandMismatchError, OptionError, SceneError
from geoseg.readers import find_source, find_sources, open_scene
from geoseg.readers._names import band_names

RNG = np.random.default_rng(1)


def whole(scene):
    return scene.read(scene.grid.window)


@pytest.fixture
def three(write_band, tmp_path):
    """Bands at 10, 20 and 60 m, as Sentinel-2 names them."""
    for band, metres in (("B02", 10), ("B8A", 20), ("B01", 60)):
        values = RNG.integers(1, 5000, (480 // metres, 480 // metres))
        write_band(f"T32_2022_{band}_{metres}m.tif", values, metres)
    return str(tmp_path / "T32_*.tif")


class TestGrid:
    def test_it_is_the_finest(self, three):
        scene = open_scene(three, join="stack")
        assert scene.grid.shape == (48, 48)
        assert scene.grid.resolution == (10, 10)
        assert scene.bands == ("B01", "B02", "B8A")
        assert whole(scene)[1].all()

    def test_it_is_the_finest_of_the_bands_used(self, three):
        scene = open_scene(three, join="stack", bands=("B01", "B8A"))
        assert scene.grid.shape == (24, 24)
        assert scene.bands == ("B01", "B8A")
        assert open_scene(three, join="stack", bands=("B01",)).grid.shape == (8, 8)

    def test_it_can_be_given(self, three, write_band):
        like = write_band("like.tif", np.zeros((6, 5)), transform=CORNER @ Affine.translation(3, 4) @ Affine.scale(2))
        scene = open_scene(three, join="stack", like=like)
        assert scene.grid.shape == (6, 5)
        assert scene.grid.transform == CORNER @ Affine.translation(3, 4) @ Affine.scale(2)
        assert whole(scene)[1].all()

    def test_a_given_one_may_be_in_another_crs(self, three, write_band):
        like = write_band("like.tif", np.zeros((6, 5)), crs="EPSG:4326",
                          transform=Affine(0.0001, 0, 9.001, 0, -0.0001, 48.752))  # fmt: skip
        scene = open_scene(three, join="stack", like=like)
        assert scene.grid.crs == "EPSG:4326"
        assert whole(scene)[1].all()

    def test_a_given_one_may_reach_beyond(self, three, write_band):
        like = write_band("like.tif", np.zeros((60, 60)), transform=CORNER @ Affine.translation(-6, -6))
        _, valid = whole(open_scene(three, join="stack", like=like))
        assert valid[6:54, 6:54].all()
        assert valid.sum() == 48 * 48

    def test_files_that_reach_less_far_leave_the_rest_invalid(self, write_band):
        files = [write_band("s_a.tif", 5), write_band("s_b.tif", np.full((20, 30), 7))]
        values, valid = whole(open_scene(files, join="stack"))
        assert valid[:20, :30].all()
        assert valid.sum() == 600
        assert (values[1][valid] == 7).all()


class TestNames:
    @pytest.mark.parametrize(("stems", "names"), [
        (["T32UQD_20220518T101601_B02_10m", "T32UQD_20220518T101601_B8A_20m"], ["B02", "B8A"]),
        (["T32UQD_20220518T101601_B02", "T32UQD_20220518T101601_B03"], ["B02", "B03"]),
        (["LC08_L1TP_013032_20180710_B1", "LC08_L1TP_013032_20180710_BQA"], ["B1", "BQA"]),
        (["scene_red", "scene_nir"], ["red", "nir"]),
        (["red", "nir"], ["red", "nir"]),
        (["B02_2022", "B03_2022"], ["B02", "B03"]),
        (["2022-red-a", "2022-near-infrared-a"], ["red", "near-infrared"]),
        (["x_B02_10m", "x_B02_20m"], ["10m", "20m"]),
    ])  # fmt: skip
    def test_they_are_what_tells_files_apart(self, stems, names):
        assert band_names(stems) == names

    def test_b2_comes_before_b10(self, write_band, tmp_path):
        for band in ("B10", "B1", "B2", "B8A", "B8"):
            write_band(f"scene_{band}.tif", 1)
        assert open_scene(tmp_path, join="stack").bands == ("B1", "B2", "B8", "B8A", "B10")
        assert open_scene(str(tmp_path / "scene_B*.tif"), join="stack").bands == ("B1", "B2", "B8", "B8A", "B10")

    def test_files_named_one_by_one_keep_their_order(self, write_band):
        files = [write_band(f"scene_{name}.tif", number) for number, name in enumerate(("red", "nir", "blue"), 1)]
        scene = open_scene(files, join="stack")
        assert scene.bands == ("red", "nir", "blue")
        assert (whole(scene)[0][:, 0, 0] == [1, 2, 3]).all()

    def test_bands_are_taken_in_the_order_asked(self, three):
        every, some = (open_scene(three, join="stack", bands=bands) for bands in (None, ("b8a", "2")))
        assert some.bands == ("B8A", "B02")
        assert (whole(some)[0] == whole(every)[0][[2, 1]]).all()

    def test_bands_of_one_name_are_refused(self, write_band):
        files = [write_band("one/B02.tif", 1), write_band("two/B02.tif", 1)]
        with pytest.raises(BandMismatchError, match="two bands are called 'B02'; take files whose names differ"):
            open_scene(files, join="stack")

    def test_a_band_that_is_not_there_is_refused(self, three):
        with pytest.raises(BandMismatchError, match="no band 'B99'; it has B01, B02, B8A"):
            open_scene(three, join="stack", bands=("B99",))

    def test_files_of_several_bands_join_too(self, write_scene, write_band):
        rgb = RNG.integers(1, 99, (3, 24, 24)).astype(np.uint16)
        files = [write_scene(rgb, "s_rgb.tif", bands=("red", "green", "blue")),
                 write_scene(rgb[:2], "s_ir.tif", transform=CORNER @ Affine.scale(2))]  # fmt: skip
        scene = open_scene(files, join="stack")
        assert scene.bands == ("rgb_red", "rgb_green", "rgb_blue", "ir_1", "ir_2")
        values, valid = whole(scene)
        assert valid.all()
        assert (values[:3] == rgb).all()
        some = open_scene(files, join="stack", bands=("ir_2", "rgb_green"))
        assert (whole(some)[0] == values[[4, 1]]).all()


class TestValues:
    @pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
    @pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
    def test_a_constant_band_stays_constant(self, write_band, resampling, crs):
        files = [write_band("s_a.tif", 100)]
        for metres in (20, 60):
            values = np.full((480 // metres, 480 // metres), 1234)
            values[1, 1] = 0
            files.append(write_band(f"s_{metres}.tif", values, metres, nodata=0))
        like = write_band("like.tif", 0) if crs == UTM else write_band(
            "like.tif", np.zeros((40, 40)), crs=crs, transform=Affine(0.0001, 0, 9.0, 0, -0.0001, 48.752))  # fmt: skip
        values, valid = whole(open_scene(files, join="stack", resampling=resampling, like=like))
        assert 0 < valid.sum() < valid.size
        assert (values[0][valid] == 100).all()
        assert (values[1:][:, valid] == 1234).all()

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
    @pytest.mark.parametrize(("nodata", "dtype"), [(-9999, "int16"), (0, "uint16"), (65535, "uint16"),
                                                   (-9999, "float32"), (np.nan, "float32")])  # fmt: skip
    def test_no_data_does_not_bleed(self, write_band, resampling, nodata, dtype):
        values = RNG.integers(1000, 1100, (24, 24)).astype(dtype)
        gaps = RNG.random((24, 24)) < 0.3
        values[gaps] = nodata
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", values, 20, dtype=dtype, nodata=nodata)]
        found, valid = whole(open_scene(files, join="stack", resampling=resampling))
        assert (valid == ~np.kron(gaps, np.ones((2, 2), bool))).all()
        assert found[1][valid].min() >= 1000
        assert found[1][valid].max() <= 1100

    def test_a_pixel_is_valid_where_every_file_is(self, write_band):
        a, b = np.ones((48, 48)), np.ones((48, 48))
        a[3, 4], b[7, 8] = 0, 0
        _, valid = whole(open_scene(
            [write_band("s_a.tif", a, nodata=0), write_band("s_b.tif", b, nodata=0)], join="stack"))  # fmt: skip
        assert set(zip(*np.nonzero(~valid), strict=True)) == {(3, 4), (7, 8)}

    def test_nearest_keeps_values(self, write_band):
        values = RNG.integers(1, 60_000, (8, 8))
        scene = open_scene([write_band("s_a.tif", 1), write_band("s_b.tif", values, 60)], join="stack",
                           resampling="nearest")  # fmt: skip
        assert (whole(scene)[0][1] == np.kron(values, np.ones((6, 6), int))).all()

    def test_the_finest_band_is_read_as_it_is(self, write_band):
        values = RNG.integers(1, 60_000, (48, 48))
        scene = open_scene([write_band("s_a.tif", values), write_band("s_b.tif", 1, 60)], join="stack")
        assert (whole(scene)[0][0] == values).all()

    def test_bilinear_is_a_ramp_between_pixels(self, write_band):
        ramp = np.broadcast_to(np.arange(24) * 20 + 10, (24, 24))  # metres of each pixel's centre
        scene = open_scene([write_band("s_a.tif", 1), write_band("s_b.tif", ramp, 20, "float32")], join="stack")
        found = whole(scene)[0][1]
        assert np.allclose(found[:, 1:-1], np.arange(48)[1:-1] * 10 + 5, atol=0.01)

    def test_the_type_holds_all_files(self, write_band):
        files = [write_band("s_a.tif", 255, dtype="uint8"), write_band("s_b.tif", -5, dtype="int16"),
                 write_band("s_c.tif", 0.25, dtype="float32")]  # fmt: skip
        scene = open_scene(files, join="stack")
        assert scene.dtype == "float32"
        assert (whole(scene)[0][:, 0, 0] == [255, -5, 0.25]).all()

    def test_scale_tags_count_in_a_stack(self, write_band):
        files = [write_band("s_a.tif", 1000), write_band("s_b.tif", 2000, 20)]
        for path in files:
            with rasterio.open(path, "r+") as dataset:
                dataset.scales = (0.0001,)
        assert np.allclose(whole(open_scene(files, join="stack"))[0], np.array([0.1, 0.2])[:, None, None])


class TestRefusals:
    def test_crss_that_differ(self, write_band):
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", 1, crs="EPSG:32633")]
        with pytest.raises(
            SceneError, match=r"s_b.tif: is in EPSG:32633 and .*s_a.tif in EPSG:32632.*gdalwarp.*--like"
        ):
            open_scene(files, join="stack")

    def test_crss_may_differ_when_the_grid_is_given(self, write_band):
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", 1, crs="EPSG:32633",
                                                      transform=Affine(10, 0, 59_300, 0, -10, 5_417_300))]  # fmt: skip
        scene = open_scene(files, join="stack", like=files[0])
        assert scene.grid.crs == UTM

    def test_files_that_do_not_overlap(self, write_band):
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", 1, transform=Affine.translation(900, 0) @ CORNER)]
        with pytest.raises(SceneError, match=r"does not overlap .*, so they are not bands of one scene; check"):
            open_scene(files, join="stack")

    def test_files_that_only_touch(self, write_band):
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", 1, transform=Affine.translation(480, 0) @ CORNER)]
        with pytest.raises(SceneError, match="does not overlap"):
            open_scene(files, join="stack")

    @pytest.mark.parametrize("order", [1, -1])
    def test_one_without_a_crs(self, write_band, order):
        files = [write_band("s_a.tif", 1), write_band("s_b.tif", 1, crs=None)][::order]
        with pytest.raises(SceneError, match=r"s_b.tif: has no CRS and .*s_a.tif has one"):
            open_scene(files, join="stack")

    def test_none_with_a_crs_is_no_mistake(self, write_band):
        files = [write_band("s_a.tif", 1, crs=None), write_band("s_b.tif", 7, 20, crs=None)]
        values, valid = whole(open_scene(files, join="stack"))
        assert valid.all()
        assert (values[1] == 7).all()

    def test_several_scenes_where_one_is_needed(self, write_band, tmp_path):
        for name in ("a", "b"):
            write_band(f"{name}.tif", 1)
        with pytest.raises(SceneError, match=r"are 2 scenes and one is needed; .* --join stack, .* --join mosaic"):
            open_scene(tmp_path)

    def test_folders_and_patterns_without_scenes(self, tmp_path):
        (tmp_path / "words.txt").touch()
        with pytest.raises(SceneError, match="holds no scene"):
            find_sources(tmp_path)
        with pytest.raises(SceneError, match="no file matches this pattern"):
            find_sources(str(tmp_path / "*.tif"))

    @pytest.mark.parametrize("word", ["gone.tif", "a" * 5000, "a" * 300 + "*", "nul\0l.tif", ""])
    def test_words_that_name_nothing(self, word):
        with pytest.raises(SceneError):
            open_scene(word)

    @pytest.mark.parametrize(("options", "message"), [
        ({"join": "stak"}, "join 'stak' is unknown; .*stack"),
        ({"join": "stack", "resampling": "linear"}, "resampling 'linear' is unknown; .*bilinear"),
        ({"like": "a.tif"}, "--like .* say which with --join"),
    ])  # fmt: skip
    def test_options_that_cannot_be(self, three, options, message):
        with pytest.raises(OptionError, match=message):
            find_sources(three, **options)

    def test_no_word_at_all(self):
        with pytest.raises(OptionError, match="name at least one"):
            find_sources([])


def test_what_words_stand_for(three, write_band, tmp_path):
    """Patterns are a scene each; files named one by one are one together."""
    files = [write_band("x/s_a.tif", 1), write_band("x/s_b.tif", 1)]
    groups = find_sources([three, *files], join="stack")
    assert [len(group.paths) for group in groups] == [3, 2]
    assert len(find_sources(tmp_path / "x")) == 2
    assert find_source(files, join="stack").name == f"{files[0]} and 1 more"


def test_a_window_reads_no_more_than_it_needs(write_band, monkeypatch):
    """A coarse band of a large scene is not read whole for a small window."""
    files = [write_band("s_a.tif", np.ones((960, 960))), write_band("s_b.tif", np.ones((480, 480)), 20)]
    scene = open_scene(files, join="stack")
    read, windows = type(scene.layers[0]).read, []
    monkeypatch.setattr(type(scene.layers[0]), "read", lambda self, w: windows.append(w) or read(self, w))
    scene.read(Window(100, 100, 20, 20))
    assert max(window.width * window.height for window in windows) <= 20 * 20


def test_it_says_nothing_it_need_not(three, caplog):
    with caplog.at_level(logging.DEBUG, "geoseg"):
        whole(open_scene(three, join="stack"))
    assert not caplog.records
