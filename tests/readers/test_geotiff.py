import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geoseg.errors import BandMismatchError, SceneError
from geoseg.readers import open_scene, warn_of_doubts
from geoseg.scene import ArrayScene, Scene, is_unnamed

VALUES = np.arange(1, 3 * 20 * 30 + 1, dtype=np.uint16).reshape(3, 20, 30)


@pytest.fixture(params=["file", "memory"])
def scene(request, write_scene):
    """The same scene as a file and as the fake: what holds for one holds for the other."""
    bands = ("red", "green", "nir")
    if request.param == "memory":
        valid = (VALUES != 35).all(0)
        return ArrayScene(VALUES, valid, bands=bands)
    return open_scene(write_scene(VALUES, bands=bands, nodata=35))


class TestContract:
    def test_it_is_a_scene(self, scene):
        assert isinstance(scene, Scene)
        assert scene.bands == ("red", "green", "nir")
        assert scene.grid.shape == (20, 30)
        assert scene.dtype == "uint16"

    def test_windows_are_parts_of_the_whole(self, scene):
        values, valid = scene.read(scene.grid.window)
        assert (values == VALUES).all()
        assert valid.sum() == 599
        part, part_valid = scene.read(Window(3, 1, 7, 5))
        assert (part == values[:, 1:6, 3:10]).all()
        assert (part_valid == valid[1:6, 3:10]).all()
        assert not part_valid[0, 1]

    @pytest.mark.parametrize("window", [Window(-1, 0, 5, 5), Window(0, 0, 31, 5), Window(0, 16, 5, 5)])
    def test_windows_beyond_are_refused(self, scene, window):
        with pytest.raises(SceneError, match="beyond"):
            scene.read(window)

    def test_it_travels_to_other_processes(self, scene):
        again = pickle.loads(pickle.dumps(scene))  # noqa: S301
        assert again.bands == scene.bands
        assert (again.read(scene.grid.window)[0] == VALUES).all()

    def test_it_can_be_read_from_many_threads(self, scene):
        windows = [Window(col, row, 5, 5) for row in range(0, 15, 5) for col in range(0, 25, 5)] * 4
        with ThreadPoolExecutor(4) as pool:
            for window, (values, _) in zip(windows, pool.map(scene.read, windows), strict=True):
                assert (values == VALUES[(slice(None), *window.toslices())]).all()


def test_bands_are_chosen_by_name_or_number(write_scene):
    path = write_scene(VALUES, bands=("red", "green", "nir"))
    scene = open_scene(path, bands=("NIR", "1"))
    assert scene.bands == ("nir", "red")
    assert (scene.read(scene.grid.window)[0] == VALUES[[2, 0]]).all()
    for wrong in (("blue",), ("4",), ("0",)):
        with pytest.raises(BandMismatchError, match="red, green, nir"):
            open_scene(path, bands=wrong)
    with pytest.raises(BandMismatchError, match="twice"):
        open_scene(path, bands=("red", "1"))


def test_bands_without_names_are_counted(write_scene):
    scene = open_scene(write_scene(VALUES))
    assert scene.bands == ("band_1", "band_2", "band_3")
    assert is_unnamed(scene.bands)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_any_type_keeps_its_values(write_scene, dtype):
    values = (VALUES % 120).astype(dtype)
    scene = open_scene(write_scene(values))
    assert scene.dtype == dtype
    assert (scene.read(scene.grid.window)[0] == values).all()


def test_nan_and_infinity_are_no_data(write_scene):
    values = np.ones((2, 4, 5), np.float32)
    values[0, 0, 0], values[1, 1, 1], values[0, 2, 2] = np.nan, np.inf, -9999
    _, valid = open_scene(write_scene(values, nodata=-9999)).read(Window(0, 0, 5, 4))
    assert set(zip(*np.nonzero(~valid), strict=True)) == {(0, 0), (1, 1), (2, 2)}


def test_a_declared_nan_is_no_data(write_scene):
    values = np.ones((1, 4, 5), np.float32)
    values[0, 3, 3] = np.nan
    _, valid = open_scene(write_scene(values, nodata=np.nan)).read(Window(0, 0, 5, 4))
    assert not valid[3, 3]
    assert valid.sum() == 19


def test_the_user_knows_better_what_is_no_data(write_scene):
    path = write_scene(VALUES, nodata=5)
    _, valid = open_scene(path, nodata=7).read(Window(0, 0, 30, 20))
    assert valid[0, 4]
    assert not valid[0, 6]


@pytest.mark.parametrize("internal", [True, False])
def test_masks_are_honoured(write_scene, tmp_path, internal):
    mask = np.full((20, 30), 255, np.uint8)
    mask[5:9, 2:4] = 0
    path = write_scene(VALUES, mask=mask if internal else None)
    if not internal:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
        assert (tmp_path / "scene.tif.msk").exists()
    _, valid = open_scene(path).read(Window(0, 0, 30, 20))
    assert (valid == (mask > 0)).all()


def rgba(write_scene, fourth="alpha", description=None):
    values = np.full((4, 10, 12), 100, np.uint8)
    values[3] = 255
    values[3, :, :3] = 0
    path = write_scene(values, photometric="rgb")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:3], ColorInterp[fourth]]
        if description:
            dataset.set_band_description(4, description)
    return path


def test_an_alpha_band_is_validity(write_scene):
    scene = open_scene(rgba(write_scene))
    assert len(scene.bands) == 3
    _, valid = scene.read(scene.grid.window)
    assert not valid[:, :3].any()
    assert valid[:, 3:].all()


def test_near_infrared_that_is_tagged_alpha_is_data(write_scene):
    scene = open_scene(rgba(write_scene, description="nir"))
    assert scene.bands == ("band_1", "band_2", "band_3", "nir")
    assert scene.read(scene.grid.window)[1].all()


def test_an_alpha_band_that_is_asked_for_is_data(write_scene):
    scene = open_scene(rgba(write_scene), bands=("1", "2", "3", "4"))
    assert len(scene.bands) == 4
    assert scene.read(scene.grid.window)[1].all()


def test_rotated_and_south_up_scenes_keep_their_transform(write_scene):
    for number, transform in enumerate((Affine(1.5, -5, 7, -5, -1.5, 9), Affine(1, 0, 0, 0, 1, 0.5))):
        assert open_scene(write_scene(VALUES, f"{number}.tif", transform=transform)).grid.transform == transform


def test_a_scene_without_crs_works_and_can_say_so(write_scene, caplog):
    scene = open_scene(write_scene(VALUES, crs=None))
    assert scene.grid.crs is None
    warn_of_doubts(scene)
    assert "no CRS" in caplog.text


def test_a_mask_that_may_be_data_is_said(write_scene, caplog):
    scene = open_scene(rgba(write_scene))
    assert len(scene.bands) == 3
    assert "give --bands 1,2,3,4" in caplog.text


def test_bands_that_differ_in_case_only(write_scene):
    path = write_scene(VALUES, bands=("nir", "NIR", "red"))
    assert open_scene(path, bands=("NIR", "Red")).bands == ("NIR", "red")
    with pytest.raises(BandMismatchError, match="no band 'Nir'"):
        open_scene(path, bands=("Nir",))


def broken_files(folder):
    (folder / "empty.tif").touch()
    (folder / "text.tif").write_text("not a raster")
    (folder / "vrt.tif").write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with rasterio.open(folder / "good.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8") as d:
        d.write(np.ones((1, 64, 64), np.uint8))
    (folder / "cut.tif").write_bytes((folder / "good.tif").read_bytes()[:60])
    (folder / "folder.tif").mkdir()
    return ["empty.tif", "text.tif", "vrt.tif", "cut.tif", "folder.tif", "missing.tif"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_no_scene_is_refused_in_one_line(tmp_path):
    for name in broken_files(tmp_path):
        with pytest.raises(SceneError) as caught:
            open_scene(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_truncated_scene_is_told_when_it_is_read(write_scene):
    rng = np.random.default_rng(0)
    path = write_scene(rng.integers(0, 60000, (3, 200, 200), dtype=np.uint16), compress="deflate", tiled=True,
                       blockxsize=64, blockysize=64)  # fmt: skip
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(SceneError, match="damaged"):
        scene = open_scene(path)
        scene.read(scene.grid.window)


def test_complex_values_are_refused(write_scene):
    with pytest.raises(SceneError, match="complex"):
        open_scene(write_scene(np.ones((1, 4, 4), np.complex64), photometric=None))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_alone_are_refused_with_a_remedy(tmp_path):
    path = tmp_path / "gcps.tif"
    points = [GroundControlPoint(r, c, 8 + c / 100, 50 - r / 100) for r in (0, 9) for c in (0, 9)]
    with rasterio.open(path, "w", driver="GTiff", width=10, height=10, count=1, dtype="uint8", gcps=points,
                       crs="EPSG:4326") as dataset:  # fmt: skip
        dataset.write(np.ones((1, 10, 10), np.uint8))
    with pytest.raises(SceneError, match="gdalwarp"):
        open_scene(path)
