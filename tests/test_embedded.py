"""What rasters name inside of them: it is told from their bytes, as GDAL would open it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from conftest import CORNER
from geoseg.errors import SceneError
from geoseg.limits import Limits
from geoseg.raster import open_raster

OPEN = """
import sys
from geoseg.errors import SceneError
from geoseg.raster import open_raster
try:
    open_raster(sys.argv[1])
except SceneError as error:
    print(error)
"""


def raster(path, crs=None, **options):
    with rasterio.open(
        path, "w", width=8, height=8, count=1, dtype="uint8", crs=crs, transform=CORNER, **options
    ) as new:
        new.write(np.ones((1, 8, 8), np.uint8))
    return path


def said(path):
    """What is said of a raster; GDAL would wait for ever for a grid that is a pipe."""
    done = subprocess.run([sys.executable, "-c", OPEN, path], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scene.tif", {"GEOTIFF_KEYS_FLAVOR": "ESRI_PE"}),
        ("scene.tif", {"GEOTIFF_KEYS_FLAVOR": "ESRI_PE", "BIGTIFF": "YES"}),
        ("scene.tif", {"GEOTIFF_KEYS_FLAVOR": "ESRI_PE", "ENDIANNESS": "BIG"}),
        ("scene.img", {}),
        ("scene.jp2", {}),
    ],
)
def test_a_grid_that_a_raster_names_is_not_opened(tmp_path, name, options):
    grid = tmp_path / "grid.gsb"
    crs = f"+proj=utm +zone=33 +ellps=bessel +nadgrids={grid} +type=crs"
    path = tmp_path / name
    if name.endswith(".jp2"):
        copy(raster(tmp_path / "own.tif", crs, GEOTIFF_KEYS_FLAVOR="ESRI_PE"), path, driver="JP2OpenJPEG")
    else:
        raster(path, crs, **options)
    os.mkfifo(grid)
    assert f"{name}: its coordinate system names the file {grid}, " in said(path)


@pytest.mark.parametrize("ending", [".hdr", ".prj"])
def test_a_grid_named_beside_a_raster_is_not_opened(tmp_path, ending):
    path = raster(tmp_path / "scene.tif")
    path.with_suffix(ending).write_text('EXTENSION["PROJ4_GRIDS","/a/grid.gsb"]')
    with pytest.raises(SceneError, match=rf"scene\{ending}: its coordinate system names the file /a/grid.gsb, "):
        open_raster(path)


def imagine(folder, pixels):
    """An Erdas Imagine file in a folder, its pixels in a file of another name."""
    folder.mkdir(exist_ok=True)
    path = folder / "spill.img"
    with rasterio.open(path, "w", driver="HFA", width=64, height=64, count=1, dtype="uint8", USE_SPILL="YES") as file:
        file.write(np.full((1, 64, 64), 7, np.uint8))
    (folder / "spill.ige").rename(folder / pixels)
    path.write_bytes(path.read_bytes().replace(b"spill.ige", pixels.encode()))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
class TestImagine:
    def test_pixels_beside_it_are_read(self, tmp_path):
        with open_raster(imagine(tmp_path, "other.ige")) as dataset:
            assert (dataset.read() == 7).all()

    @pytest.mark.parametrize("name", ["../up.ige", "a/up7.ige"])
    def test_pixels_elsewhere_are_not(self, tmp_path, name):
        (tmp_path / "sub" / "a").mkdir(parents=True)
        path = imagine(tmp_path / "sub", name)
        with pytest.raises(SceneError, match=r"spill\.img: .* --allow-driver HFA"):
            open_raster(path)
        with open_raster(path, limits=Limits(drivers=("HFA",))) as dataset:
            assert (dataset.read() == 7).all()

    def test_nor_by_way_of_notes_beside_another_raster(self, tmp_path):
        (tmp_path / "sub").mkdir()
        path = raster(tmp_path / "sub" / "scene.tif")
        imagine(tmp_path / "sub", "../up.ige").rename(path.with_suffix(".aux"))
        with pytest.raises(SceneError, match=r"scene\.aux: "):
            open_raster(path)

    def test_notes_of_other_programs_are_left_alone(self, tmp_path):
        path = raster(tmp_path / "scene.tif")
        path.with_suffix(".aux").write_text(r"\relax")
        open_raster(path).close()
