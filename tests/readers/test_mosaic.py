import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.windows import Window

import geoseg.readers.geotiff
from conftest import CORNER
from geoseg.errors import BandMismatchError, SceneError
from geoseg.readers import open_scene
from geoseg.readers.mosaic import OPEN_AT_ONCE

VALUES = np.random.default_rng(2).integers(1, 5000, (48, 48))


def whole(scene):
    return scene.read(scene.grid.window)


def moved(cols, rows):
    return CORNER @ Affine.translation(cols, rows)


def mosaic(*files, **options):
    return open_scene(list(files), join="mosaic", **options)


def test_two_halves_are_the_whole(write_band):
    west, east = write_band("w.tif", VALUES[:, :20]), write_band("e.tif", VALUES[:, 20:], transform=moved(20, 0))
    for files in ((west, east), (east, west)):
        scene = mosaic(*files)
        values, valid = whole(scene)
        assert scene.grid.transform == CORNER
        assert (values == VALUES).all()
        assert valid.all()
        assert scene.dtype == "uint16"


def test_a_folder_is_one_mosaic(write_band, tmp_path):
    for number in range(3):
        write_band(f"{number}.tif", VALUES, transform=moved(48 * number, 0))
    assert open_scene(tmp_path, join="mosaic").grid.shape == (48, 144)


def test_the_first_that_is_valid_counts(write_band):
    first, second = np.full((48, 48), 1), np.full((48, 48), 2)
    first[10:20, 10:20], second[15:30, 15:30] = 0, 0
    values, valid = whole(mosaic(write_band("a.tif", first, nodata=0), write_band("b.tif", second, nodata=0)))
    expected = np.where(first, first, second)
    assert (valid == (expected > 0)).all()
    assert (values[0][valid] == expected[valid]).all()


def test_gaps_are_invalid(write_band):
    files = [write_band("a.tif", VALUES), write_band("b.tif", VALUES, transform=moved(60, 50))]
    scene = mosaic(*files)
    _, valid = whole(scene)
    assert scene.grid.shape == (98, 108)
    assert valid.sum() == 2 * 48 * 48
    assert not valid[:48, 48:].any()
    assert not scene.read(Window(50, 0, 5, 5))[1].any()


def test_scenes_off_by_part_of_a_pixel_are_resampled(write_band):
    ramp = np.broadcast_to(np.arange(48), (48, 48)).astype(float)
    files = [write_band("a.tif", ramp, dtype="float32"),
             write_band("b.tif", ramp, dtype="float32", transform=moved(48.5, 0.0))]  # fmt: skip
    values, valid = whole(mosaic(*files))
    assert np.allclose(values[0][10, 55:90], np.arange(55, 90) - 48.5)
    assert valid[:, 50:95].all()


def test_another_crs_is_warped(write_band):
    """UTM 32 and 33 of the same ground: a plane of the easting in both agrees with itself."""
    from rasterio.warp import transform

    x, y = transform("EPSG:32632", "EPSG:32633", [500_480], [5_400_000])
    place = Affine(10, 0, round(x[0], -1) - 100, 0, -10, round(y[0], -1) + 100)
    cols, rows = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5)
    east, north = place @ (cols.ravel(), rows.ravel())
    eastings = np.array(transform("EPSG:32633", "EPSG:32632", east, north)[0]).reshape(48, 48) - 500_000
    own = np.broadcast_to(np.arange(48) * 10 + 5.0, (48, 48))
    scene = mosaic(write_band("a.tif", own, dtype="float32"),
                   write_band("b.tif", eastings, dtype="float32", crs="EPSG:32633", transform=place))  # fmt: skip
    values, valid = whole(scene)
    assert scene.grid.crs == "EPSG:32632"
    assert valid.sum() > 1.5 * 48 * 48
    truth = scene.grid.transform.c + 10 * (np.arange(scene.grid.width) + 0.5) - 500_000
    error = np.abs(values[0] - truth)[valid]
    assert np.quantile(error, 0.9) < 0.1
    assert error.max() < 6  # along the border, where a pixel's half has no neighbour


def test_the_grid_can_be_given(write_band):
    like = write_band("like.tif", np.zeros((7, 9)), transform=moved(40, 3))
    scene = mosaic(write_band("a.tif", VALUES), write_band("b.tif", VALUES, transform=moved(48, 0)), like=like)
    values, valid = whole(scene)
    assert valid.all()
    assert scene.grid.shape == (7, 9)
    assert (values[0] == np.hstack([VALUES, VALUES])[3:10, 40:49]).all()


def test_a_grid_that_lies_elsewhere_is_refused(write_band):
    like = write_band("like.tif", np.zeros((7, 9)), transform=moved(4000, 0))
    with pytest.raises(SceneError, match=r"none of its scenes overlaps .*like.tif, .* check --like"):
        mosaic(write_band("a.tif", VALUES), like=like)


@pytest.mark.parametrize("asked", [None, ("nir", "red")])
def test_bands_are_matched_in_all(write_scene, asked):
    values = np.random.default_rng(0).integers(1, 99, (2, 9, 9)).astype(np.uint8)
    files = [write_scene(values, f"{number}.tif", bands=bands, transform=moved(9 * number, 0))
             for number, bands in enumerate((("red", "nir"), ("RED", "NIR")))]  # fmt: skip
    scene = mosaic(*files, bands=asked)
    assert scene.bands == (asked or ("red", "nir"))
    assert (whole(scene)[0][:, :, 9:] == (values if asked is None else values[::-1])).all()


def test_bands_that_differ_are_refused(write_scene):
    values = np.ones((2, 9, 9), np.uint8)
    files = [write_scene(values, "a.tif", bands=("red", "nir")), write_scene(values, "b.tif", bands=("red", "blue"))]
    with pytest.raises(BandMismatchError, match=r"b.tif has the bands red, blue and .*a.tif has red, nir; .*--bands"):
        mosaic(*files)
    assert mosaic(*files, bands=("red",)).bands == ("red",)


def test_one_without_a_crs_is_refused(write_band):
    with pytest.raises(SceneError, match=r"b.tif: has no CRS and .*a.tif has one"):
        mosaic(write_band("a.tif", VALUES), write_band("b.tif", VALUES, crs=None))


def test_one_that_lies_far_away_is_refused(write_band):
    far = write_band("far.tif", VALUES, transform=Affine(10, 0, 1e12, 0, -10, 1e12))
    with pytest.raises(SceneError, match="leave out the one that lies far away, or give the grid with --like"):
        mosaic(write_band("a.tif", VALUES), far)


@pytest.mark.parametrize("like", [True, False])
def test_one_that_has_no_place_in_the_crs_is_refused_or_left_out(write_band, like):
    files = [write_band("a.tif", VALUES), write_band("b.tif", VALUES, crs="EPSG:4326",
                                                     transform=Affine(1, 0, 5000, 0, -1, 5000))]  # fmt: skip
    if like:
        assert (whole(mosaic(*files, like=files[0]))[0] == VALUES).all()
    else:
        with pytest.raises(SceneError, match=r"cannot be placed|lies far away"):
            mosaic(*files)


def test_missing_ones_are_named(write_band, tmp_path):
    with pytest.raises(SceneError, match=r"gone.tif: there is no such file"):
        mosaic(write_band("a.tif", VALUES), tmp_path / "gone.tif")


def handles(folder):
    """Files of a folder that this process has open."""
    links = [str(link) for link in Path("/proc/self/fd").iterdir()]
    return sum(os.path.exists(link) and os.readlink(link).startswith(str(folder)) for link in links)  # noqa: PTH110, PTH115


@pytest.fixture
def tiles(write_band, tmp_path, monkeypatch):
    """A folder of 45 x 45 tiles of 8 pixels, and the names of those that are opened from now on."""
    first = write_band("tiles/0.tif", VALUES[:8, :8])
    import rasterio

    data = first.read_bytes()
    for number in range(1, 45 * 45):
        path = first.with_name(f"{number}.tif")
        path.write_bytes(data)
        with rasterio.open(path, "r+") as dataset:
            dataset.transform = moved(8 * (number % 45), 8 * (number // 45))
    opened = []
    opener = geoseg.readers.geotiff.open_raster
    monkeypatch.setattr(
        geoseg.readers.geotiff, "open_raster", lambda path, **o: opened.append(path) or opener(path, **o)
    )
    return tmp_path / "tiles", opened


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted where /proc is")
def test_thousands_of_files_cost_no_more_than_those_under_a_window(tiles):
    folder, opened = tiles
    scene = open_scene(folder, join="mosaic")
    assert scene.grid.shape == (360, 360)
    assert len(opened) == 45 * 45
    assert handles(folder) == 0
    opened.clear()
    values, valid = scene.read(Window(20, 20, 10, 10))
    assert valid.all()
    assert (values[0] == np.tile(VALUES[:8, :8], (45, 45))[20:30, 20:30]).all()
    # A pixel's margin may touch neighbours.
    assert {int(Path(path).stem) for path in opened} <= {row * 45 + col for row in (1, 2, 3, 4) for col in (1, 2, 3, 4)}
    opened.clear()
    assert whole(scene)[1].all()
    assert handles(folder) <= OPEN_AT_ONCE
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(scene.read, [Window(0, 80 * row, 360, 8) for row in range(4)] * 2))
        assert handles(folder) <= 3 * OPEN_AT_ONCE


def test_products_are_closed_too(write_safe, tmp_path):
    """Each part may be many files."""
    parts = [write_safe(name=f"{number}.SAFE") for number in range(OPEN_AT_ONCE + 4)]
    scene = open_scene(parts, join="mosaic", bands=("B02", "B8A"), like=next(parts[0].rglob("*B02_10m.tif")))
    scene.read(scene.grid.window)
    for part in scene._parts:
        part.read(Window(0, 0, 2, 2))
        scene._keep_open(scene._parts.index(part))
    assert handles(tmp_path) <= 2 * OPEN_AT_ONCE
