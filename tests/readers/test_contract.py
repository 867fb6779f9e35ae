"""What holds for every kind of scene, whatever files it is made of."""

import json
import pickle
import pkgutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

import geoseg.readers
from geoseg.errors import SceneError
from geoseg.readers import Source, find_source, reprojected
from geoseg.scene import Scene

NUMBERS = np.random.default_rng(0).integers(1, 10_000, (48, 48))

# Kind of scene: the module that reads it.
KINDS = {
    "geotiff": "geotiff",
    "scaled geotiff": "geotiff",
    "vrt": "geotiff",
    "remote cog": "geotiff",
    "jpeg 2000": "geotiff",
    "stack": "stack",
    "stack of 10, 20 and 60 m": "stack",
    "sentinel-2": "stack",
    "landsat": "stack",
    "mosaic": "mosaic",
    "mosaic of two CRSs": "mosaic",
    "mosaic of products": "mosaic",
}
# All pixels of these have data; the others have one that has not.
FULL = {"sentinel-2", "landsat", "mosaic of products", "stack of 10, 20 and 60 m"}


def test_every_reader_is_held_to_the_contract():
    public = {module.name for module in pkgutil.iter_modules(geoseg.readers.__path__) if module.name[0] != "_"}
    assert public == set(KINDS.values())


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def source(kind, request, write_band, tmp_path):
    """A source of each kind; those that are not FULL have a pixel without data at (5, 7)."""
    numbers = NUMBERS.astype(np.uint16)
    numbers[5, 7] = 0
    if kind == "geotiff":
        return find_source(write_band("a.tif", numbers, nodata=0))
    if kind == "scaled geotiff":
        path = write_band("a.tif", numbers, nodata=0)
        with rasterio.open(path, "r+") as dataset:
            dataset.scales, dataset.offsets = (0.0001,), (-0.1,)
        return find_source(path)
    if kind == "jpeg 2000":
        return find_source(
            write_band("a.jp2", numbers, nodata=0, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
        )
    if kind == "vrt":
        write_band("a.tif", numbers)
        (tmp_path / "a.vrt").write_text(
            '<VRTDataset rasterXSize="48" rasterYSize="48"><VRTRasterBand dataType="UInt16" band="1">'
            "<NoDataValue>0</NoDataValue><SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename>"
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
        return find_source(tmp_path / "a.vrt")
    if kind == "remote cog":
        write_band("a.tif", numbers, nodata=0, driver="COG")
        return find_source(request.getfixturevalue("web").url("a.tif"))
    if kind == "stack":
        return find_source([write_band(f"s_{name}.tif", numbers, nodata=0) for name in ("red", "nir")], join="stack")
    if kind == "stack of 10, 20 and 60 m":
        files = [write_band(f"s_{m}.tif", NUMBERS[: 480 // m, : 480 // m], m, nodata=0) for m in (10, 20, 60)]
        return find_source(files, join="stack", bands=("60", "10", "20"))
    if kind == "sentinel-2":
        return find_source(request.getfixturevalue("write_safe")(suffix=".jp2"))
    if kind == "landsat":
        return find_source(request.getfixturevalue("write_landsat")(1))
    if kind == "mosaic":
        return find_source([write_band(f"{n}.tif", numbers, nodata=0, transform=Affine(
            10, 0, 500_000 + 300 * n, 0, -10, 5_400_000)) for n in range(3)], join="mosaic")  # fmt: skip
    if kind == "mosaic of two CRSs":
        files = [
            write_band("32.tif", numbers, nodata=0),
            write_band(
                "33.tif", numbers, nodata=0, crs="EPSG:32633", transform=Affine(10, 0, 59_300, 0, -10, 5_417_300)
            ),
        ]
        return find_source(files, join="mosaic")
    write = request.getfixturevalue("write_safe")
    return find_source([write(name=f"{n}.SAFE") for n in range(2)], join="mosaic", bands=("B02", "B8A"))


@pytest.fixture
def scene(source):
    return source.open()


def windows_of(scene):
    height, width = scene.grid.shape
    cut = [Window(0, 0, width, 1), Window(width - 1, 0, 1, height), Window(width // 3, height // 4, 9, 7)]
    cut += [Window(col, row, 5, 11) for row in range(0, height - 11, 13) for col in range(0, width - 5, 9)][:40]
    return [*cut, scene.grid.window]


def same(one, other):
    (values, valid), (others, other_valid) = one, other
    assert (valid == other_valid).all()
    assert (values[:, valid] == others[:, valid]).all()


def test_it_is_a_scene(scene):
    assert isinstance(scene, Scene)
    values, valid = scene.read(scene.grid.window)
    assert values.shape == (len(scene.bands), *scene.grid.shape)
    assert values.dtype == scene.dtype
    assert valid.shape == scene.grid.shape
    assert valid.dtype == bool
    assert valid.any()
    assert np.isfinite(values[:, valid]).all()
    assert len(set(scene.bands)) == len(scene.bands)
    assert valid.all() or not scene.is_complete


def test_a_window_is_a_part_of_the_whole(scene):
    values, valid = scene.read(scene.grid.window)
    for window in windows_of(scene):
        rows, cols = window.toslices()
        same(scene.read(window), (values[:, rows, cols], valid[rows, cols]))


def test_where_a_pixel_of_another_crs_lies_does_not_depend_on_the_window(write_scene):
    """GDAL places the ends of each row, and takes the pixels between them to lie between."""
    places = np.mgrid[:500, :500].astype(np.float32)
    path = write_scene(places, transform=Affine(0.01, 0, 5, 0, -0.01, 62), crs="EPSG:4326")
    whole = reprojected(find_source(path).open(), "EPSG:3035", "bilinear")
    values, valid = whole.read(whole.grid.window)
    window = Window(101, 103, 150, 161)
    rows, cols = window.toslices()
    found, there = whole.read(window)
    assert there.all()
    assert valid[rows, cols].all()
    np.testing.assert_allclose(found, values[:, rows, cols], atol=1e-4)


def test_a_pixel_without_data_is_invalid(scene, kind):
    assert scene.read(Window(7, 5, 1, 1))[1].any() == (kind in FULL)


def test_it_is_lazy(source, monkeypatch):
    """No pixel is read before it is asked for."""
    monkeypatch.setattr("geoseg.readers.geotiff.GeoTiffScene.read", None)
    source.open()


def test_it_travels_to_other_processes(scene):
    scene.read(Window(0, 0, 3, 3))
    again = pickle.loads(pickle.dumps(scene))  # noqa: S301
    assert (again.name, again.grid, again.bands, again.dtype) == (scene.name, scene.grid, scene.bands, scene.dtype)
    for one, other in zip(again.read(scene.grid.window), scene.read(scene.grid.window), strict=True):
        assert np.array_equal(one, other)


# Rasterio hushes this one by means that threads undo for each other.
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_it_can_be_read_from_many_threads(scene):
    windows = windows_of(scene) * 3
    with ThreadPoolExecutor(4) as pool:
        for window, found in zip(windows, pool.map(scene.read, windows), strict=True):
            for one, other in zip(found, scene.read(window), strict=True):
                assert np.array_equal(one, other)


def test_windows_beyond_are_refused(scene):
    height, width = scene.grid.shape
    for window in (Window(-1, 0, 3, 3), Window(0, -1, 3, 3), Window(width - 2, 0, 3, 3), Window(0, height - 2, 3, 3)):
        with pytest.raises(SceneError, match="beyond"):
            scene.read(window)


def test_it_can_be_written_down(source, scene, tmp_path, monkeypatch):
    text = json.dumps(source.to_dict())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = Source.from_dict(json.loads(text))
    assert again.to_dict() == source.to_dict()
    opened = again.open()
    assert (opened.name, opened.grid, opened.bands, opened.dtype) == (scene.name, scene.grid, scene.bands, scene.dtype)
    assert np.array_equal(opened.read(scene.grid.window)[0], scene.read(scene.grid.window)[0])


def test_relative_paths_are_written_down_from_the_root(write_band, tmp_path, monkeypatch):
    write_band("a.tif", NUMBERS)
    monkeypatch.chdir(tmp_path)
    source = find_source("a.tif")
    assert source.to_dict()["paths"] == [str(tmp_path / "a.tif")]
    assert source.name == "a.tif"


def test_its_files_are_there(source):
    assert source.files
    assert all("://" in name or Path(name).is_file() for name in source.files)
