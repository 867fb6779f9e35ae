"""What stands beside a file, and would be opened with it."""

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from conftest import CORNER, UTM
from geoseg.disk import refuse_pipes_beside, stamp, stamps
from geoseg.errors import LabelError, SceneError
from geoseg.raster import open_raster
from geoseg.vector import read_vector

RASTER_NOTES = [
    "scene.tfw", "scene.TFW", "scene.wld", "scene.tab", "scene.aux", "scene.tif.aux.xml", "scene.tif.ovr",
    "scene.tif.msk", "scene.IMD", "scene_RPC.TXT", "scene.rpb", "scene_MTL.txt", "scene.xml", "summary.txt",
    "METADATA.DIM", "HDRene.txt", "scene.prj",
]  # fmt: skip


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.tif"
    own = {"width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": UTM, "transform": CORNER}
    with rasterio.open(path, "w", driver="GTiff", **own) as dataset:
        dataset.write(np.ones((1, 4, 4), np.uint8))
    return path


@pytest.mark.parametrize("name", RASTER_NOTES)
def test_a_pipe_beside_a_raster_is_refused(scene, name):
    os.mkfifo(scene.with_name(name))
    with pytest.raises(SceneError, match=f"{name}: is a pipe, a socket or a device .* move it elsewhere"):
        open_raster(scene)


@pytest.mark.parametrize(
    ("file", "name"),
    [(f"areas{end}", f"areas{end}{log}") for end in (".gpkg",) for log in ("-wal", "-journal", "-shm")]
    + [("areas.shp", f"areas.{end}") for end in ("prj", "cpg", "qix")]
    + [("areas.geojson", "areas.geojson.aux.xml")],
)
def test_a_pipe_beside_a_vector_file_is_refused(tmp_path, file, name):
    gpd.GeoDataFrame({"class": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(tmp_path / file)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(LabelError, match=f"{name}: is a pipe, a socket or a device"):
        read_vector(tmp_path / file)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="there is no device to link to")
def test_a_link_to_a_device_is_none_of_the_files(scene):
    scene.with_suffix(".IMD").symlink_to("/dev/zero")
    with pytest.raises(SceneError, match=r"scene\.IMD: is a pipe"):
        open_raster(scene)


def test_what_has_other_names_or_ends_is_left_alone(scene):
    os.mkfifo(scene.with_name("agent.sock"))
    os.mkfifo(scene.with_name("scenery.tfw"))
    scene.with_name("scene.TFW").symlink_to("gone")
    scene.with_name("scene.tab").symlink_to("scene.tab")
    scene.with_name("scene.xml").mkdir()
    open_raster(scene).close()


def test_a_folder_is_looked_through_once_while_it_stays_as_it_is(scene, monkeypatch):
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or real(folder))
    for _ in range(3):
        refuse_pipes_beside(scene, SceneError)
    assert len(listed) == 1


def test_a_stamp_is_the_same_by_whatever_path_it_is_taken(scene, monkeypatch):
    monkeypatch.chdir(scene.parent)
    assert stamps(["scene.tif"]) == stamps([scene])
    assert stamp("https://example.org/scene.tif") == ("https://example.org/scene.tif",)
