import numpy as np
import pytest

from geoseg.errors import SceneError
from geoseg.readers import find_source, find_sources, open_scene

L2A = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
L1C = (*L2A[:10], "B10", *L2A[10:])


def whole(scene):
    return scene.read(scene.grid.window)


class TestSentinel:
    @pytest.mark.parametrize(("level", "bands"), [("L2A", L2A), ("L1C", L1C)])
    def test_its_folder_is_a_scene_of_10_m(self, write_safe, level, bands):
        scene = open_scene(write_safe(level))
        assert scene.bands == bands
        assert scene.grid.shape == (48, 48)
        assert scene.grid.resolution == (10, 10)
        assert whole(scene)[1].all()

    @pytest.mark.parametrize("level", ["L2A", "L1C"])
    def test_values_are_reflectance(self, write_safe, level):
        scene = open_scene(write_safe(level, offset=-1000))
        values, _ = whole(scene)
        numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, *([10] if level == "L1C" else []), 11, 12]
        assert values.dtype == np.float32
        assert np.allclose(values, (4000 + 1000 * np.array(numbers))[:, None, None] / 10_000)

    def test_products_of_before_2022_have_no_offset(self, write_safe):
        values, _ = whole(open_scene(write_safe(offset=None), bands=("B02",)))
        assert np.allclose(values, 0.6)

    def test_each_band_is_read_at_its_finest(self, write_safe):
        source = find_source(write_safe())
        resolutions = {path[-11:-8]: path[-7:-4] for path in source.files}
        assert resolutions["B02"] == "10m"
        assert resolutions["B8A"] == "20m"
        assert resolutions["B09"] == "60m"
        assert len(source.files) == 12

    def test_bands_that_are_not_used_do_not_make_it_finer(self, write_safe):
        assert open_scene(write_safe(), bands=("B11", "B01")).grid.resolution == (20, 20)

    def test_zero_is_no_data(self, write_safe, write_band):
        root = write_safe()
        values = np.full((48, 48), 5000)
        values[3, 4] = 0
        (path,) = root.glob("GRANULE/*/IMG_DATA/R10m/*_B02_10m.tif")
        write_band(path, values)
        _, valid = whole(open_scene(root, bands=("B02", "B03")))
        assert set(zip(*np.nonzero(~valid), strict=True)) == {(3, 4)}

    def test_jpeg_2000_is_read(self, write_safe):
        assert np.allclose(whole(open_scene(write_safe(suffix=".jp2"), bands=("B03",)))[0], 0.6)

    def test_it_keeps_its_numbers_without_metadata(self, write_safe):
        root = write_safe()
        next(root.glob("MTD*.xml")).unlink()
        scene = open_scene(root, bands=("B02",))
        assert scene.dtype == "uint16"
        assert (whole(scene)[0] == 6000).all()

    def test_join_stack_says_nothing_new_of_it(self, write_safe):
        root = write_safe()
        assert open_scene(root, join="stack").bands == L2A

    def test_it_is_a_scene_in_a_folder(self, write_safe, write_band, tmp_path):
        write_safe(name="b.SAFE"), write_safe("L1C", name="a.SAFE"), write_band("c.tif", 1)
        (tmp_path / "notes").mkdir()
        assert [source.stem for source in find_sources(tmp_path)] == ["a", "b", "c"]

    def test_two_are_a_mosaic(self, write_safe):
        scene = open_scene([write_safe(name="a.SAFE"), write_safe(name="b.SAFE")], join="mosaic")
        assert scene.bands == L2A
        assert whole(scene)[1].all()

    def test_an_empty_one_is_refused(self, tmp_path):
        (tmp_path / "a.SAFE").mkdir()
        with pytest.raises(SceneError, match=r"a.SAFE: is a folder without the bands"):
            open_scene(tmp_path / "a.SAFE")

    @pytest.mark.parametrize("text", ["", "\0\xff", "<QUANTIFICATION_VALUE>0</QUANTIFICATION_VALUE>", "<a"])
    def test_broken_metadata_does_not_crash(self, write_safe, text):
        root = write_safe()
        next(root.glob("MTD*.xml")).write_text(text)
        assert open_scene(root, bands=("B02",)).dtype == "uint16"


class TestLandsat:
    def test_level_2_is_reflectance_and_kelvin(self, write_landsat):
        scene = open_scene(write_landsat())
        assert scene.bands == ("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "ST_B10")
        values, valid = whole(scene)
        assert valid.all()
        assert np.allclose(values[1], 10_002 * 2.75e-5 - 0.2)
        assert np.allclose(values[7], 40_000 * 0.00341802 + 149)

    def test_the_factors_of_its_level_1_are_not_taken(self, write_landsat):
        assert np.allclose(whole(open_scene(write_landsat(), bands=("SR_B1",)))[0], 10_001 * 2.75e-5 - 0.2)

    def test_level_1_is_reflectance_on_the_panchromatic_grid(self, write_landsat):
        scene = open_scene(write_landsat(1))
        assert scene.bands == tuple(f"B{number}" for number in range(1, 12))
        assert scene.grid.resolution == (15, 15)
        values, valid = whole(scene)
        assert valid.all()
        assert np.allclose(values[7], 10_008 * 2e-5 - 0.1)
        assert (values[9] == 10_010).all()

    def test_thirty_metre_bands_alone_keep_their_grid(self, write_landsat):
        assert open_scene(write_landsat(1), bands=("B4", "B5")).grid.resolution == (30, 30)

    def test_it_keeps_its_numbers_without_metadata(self, write_landsat):
        root = write_landsat()
        next(root.glob("*_MTL.txt")).unlink()
        assert open_scene(root, bands=("SR_B1",)).dtype == "uint16"

    def test_zero_is_no_data(self, write_landsat, write_band):
        root = write_landsat()
        values = np.full((16, 16), 10_000)
        values[3, 4] = 0
        write_band(next(root.glob("*_SR_B2.TIF")), values, 30)
        assert (~whole(open_scene(root, bands=("SR_B2", "SR_B3")))[1]).sum() == 1

    def test_quality_bands_are_left_out(self, write_landsat):
        assert not [path for path in find_source(write_landsat()).files if "QA" in path]


def test_a_folder_of_anything_else_is_no_product(write_band, tmp_path):
    write_band("Lake_B1.tif", 1)
    write_band("Lake_B2.tif", 1)
    assert len(find_sources(tmp_path)) == 2
