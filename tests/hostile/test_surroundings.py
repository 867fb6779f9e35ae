"""What the user's environment says to GDAL, and what of it counts: nothing."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from hostile.conftest import scene_values, write
from hostile.test_processes import refused, start

from geoseg.errors import SceneError
from geoseg.readers import open_scene

# Each changes what GDAL reads from one of the scenes below, or what is in a file that it writes, or refuses to.
HARMFUL = {
    "GTIFF_IGNORE_READ_ERRORS": "YES",
    "GTIFF_POINT_GEO_IGNORE": "YES",
    "GTIFF_LINEAR_UNITS": "BROKEN",
    "GTIFF_IMPORT_FROM_EPSG": "NO",
    "GTIFF_DONT_WRITE_BLOCKS": "YES",
    "GTIFF_DIRECT_IO": "YES",
    "GTIFF_VIRTUAL_MEM_IO": "YES",
    "GTIFF_HONOUR_NEGATIVE_SCALEY": "YES",
    "GTIFF_SRS_SOURCE": "GEOKEYS",
    "GDAL_GEOREF_SOURCES": "NONE",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_ENDIANNESS": "BIG",
    "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": "NO",
    "TIFF_USE_OVR": "YES",
    "ESRI_XML_PAM": "YES",
    "OSR_DEFAULT_AXIS_MAPPING_STRATEGY": "TRADITIONAL_GIS_ORDER",
    "OGR_ORGANIZE_POLYGONS": "SKIP",
}
ONLY_COMMANDS = {"GDAL_SKIP": "GTiff", "GDAL_CONFIG_FILE": "gdalrc", "GDAL_TIFF_OVR_BLOCKSIZE": "64"}


@pytest.fixture
def point_scene(world):
    """A scene whose coordinates are those of the centres of its pixels."""
    path = write(world.inputs / "point.tif", scene_values(), nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    return path


@pytest.fixture
def damaged_scene(world):
    """A scene of which one block cannot be unpacked."""
    path = write(world.inputs / "damaged.tif", scene_values(), compress="deflate")
    with rasterio.open(path) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\x55" * size
    path.write_bytes(content)
    return path


def look(path):
    """The grid and the pixels of a scene, or the sentence that says why not.

    In a thread of its own: at the end of an Env rasterio sets what the environment said before, for its thread.
    """

    def read():
        try:
            scene = open_scene(path)
            return scene.grid, *scene.read(rasterio.windows.Window(0, 0, scene.grid.width, scene.grid.height))
        except SceneError as error:
            return str(error)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(read).result()


@pytest.mark.parametrize("name", HARMFUL)
def test_a_program_reads_the_same_whatever_its_environment_says(point_scene, damaged_scene, monkeypatch, name):
    plain = look(point_scene)
    monkeypatch.setenv(name, HARMFUL[name])
    disturbed = look(point_scene)
    assert disturbed[0] == plain[0]
    for found, expected in zip(disturbed[1:], plain[1:], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert "damaged.tif" in look(damaged_scene)
    assert os.environ[name] == HARMFUL[name]


def test_a_program_is_told_of_settings_that_nothing_is_known_of(point_scene, monkeypatch, caplog):
    monkeypatch.setenv("GTIFF_SOMETHING_NEW", "YES")
    look(point_scene)
    assert "the environment sets GTIFF_SOMETHING_NEW" in caplog.text


def test_a_command_makes_the_same_map_whatever_its_environment_says(world, point_scene):
    (world.inputs / "gdalrc").write_text("[configoptions]\nGTIFF_POINT_GEO_IGNORE=YES\nGDAL_GEOREF_SOURCES=NONE\n")
    disturbing = HARMFUL | ONLY_COMMANDS | {"GDAL_CONFIG_FILE": str(world.inputs / "gdalrc")}
    words = ("predict", world.model, point_scene, "--runtime", "torch", "-o")
    plain, disturbed = (world.out / name / "map.tif" for name in ("plain", "disturbed"))
    for path, environment in ((plain, {}), (disturbed, disturbing)):
        path.parent.mkdir()
        done = start(*words, path, **environment)
        assert done.returncode == 0, done.stderr
    assert disturbed.read_bytes() == plain.read_bytes()


def test_a_command_tells_damage_whatever_its_environment_says(world, damaged_scene):
    words = ("predict", world.model, damaged_scene, "--runtime", "torch", "-o", world.out / "map.tif")
    refused(start(*words, GTIFF_IGNORE_READ_ERRORS="YES"), "damaged.tif")
    assert not list(world.out.iterdir())


@pytest.mark.parametrize("name", ["PROJ_LIB", "PROJ_DATA"])
@pytest.mark.parametrize(
    "words",
    ["info scene.tif", "vectorize labels.tif -o OUT/p.gpkg", "evaluate labels.tif polygons.gpkg -o OUT/r", "models"],
)
def test_without_the_tables_of_proj_nothing_is_done(world, name, words):
    folder = world.inputs / "proj of another"
    words = [word.replace("OUT", str(world.out)) for word in words.split()]
    done = start(*(world.inputs / word if (world.inputs / word).is_file() else word for word in words),
                 **{name: str(folder)})  # fmt: skip
    refused(done, f"{name}={folder}", "unset it")
    assert len(done.stderr.splitlines()) == 1
    assert not list(world.out.iterdir())


def test_a_program_without_the_tables_of_proj_is_told_so(world):
    code = f"import geoseg; geoseg.open_scene({str(world.scene)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | {"PROJ_LIB": "/of/another"})  # fmt: skip
    assert "GeosegError: PROJ_LIB=/of/another: there is no proj.db" in done.stderr
