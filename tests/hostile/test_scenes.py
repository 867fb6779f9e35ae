"""Scenes that are broken, lie, or are something else: each is refused in one line, and nothing is left or touched."""

import gzip
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hostile.conftest import scene_values, write
from hostile.tiffs import PLACED, bomb, picture, write_tiff
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.shutil import copy

from geoseg.model import load_model, write_model

TEXTS = {
    "an empty file": (b"", "empty"),
    "text": (b"hello\n" * 30, "not a raster"),
    "noise": (np.random.default_rng(1).bytes(4000), "not a raster"),
    "a web page": (b"<!DOCTYPE html><title>404</title>", "a web page"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\nsize 12\n", "git lfs pull"),
    "a directory beyond the end": (b"II*\0\xf0\xff\xff\x7f" + bytes(64), "cannot be opened"),
    "only a head": (b"II*\0" + bytes(4000), "cannot be opened"),
    "a WMS by a TIFF's name": (b"<GDAL_WMS><Service name='TMS'/></GDAL_WMS>", "not a raster"),
    "a VRT by a TIFF's name": (b"<VRTDataset rasterXSize='9' rasterYSize='9'></VRTDataset>", "not a raster"),
}


def both_refuse(world, scene, says=""):
    """What looks at a scene, and what works with it."""
    world.refuses("info", scene, names=scene.name, says=says)
    world.refuses(*world.predict(scene), names=scene.name, says=says)
    world.refuses(*world.tile(scene, world.labels), names=scene.name, says=says)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_raster(world, name):
    content, says = TEXTS[name]
    scene = world.inputs / "odd.tif"
    scene.write_bytes(content)
    both_refuse(world, scene, says)


def test_what_is_packed(world):
    packed = world.inputs / "packed.tif"
    packed.write_bytes(gzip.compress(world.scene.read_bytes()))
    both_refuse(world, packed, "unpack it")
    with zipfile.ZipFile(world.inputs / "zipped.tif", "w") as archive:
        archive.write(world.scene, "../../scene.tif")
    both_refuse(world, world.inputs / "zipped.tif", "unpack it")


def test_what_is_no_file(world):
    pipe, loop, gone, folder = (world.inputs / f"{name}.tif" for name in ("pipe", "loop", "gone", "folder"))
    os.mkfifo(pipe)
    loop.symlink_to(loop.name)
    (world.inputs / "dangling.tif").symlink_to("nowhere.tif")
    folder.mkdir()
    both_refuse(world, pipe, "not a regular file")
    both_refuse(world, loop, "cannot be read")
    both_refuse(world, gone, "there is no such file")
    both_refuse(world, world.inputs / "dangling.tif", "there is no such file")
    world.refuses(*world.predict(folder), names="folder.tif", says="holds no scene")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_what_was_cut_off(world, share):
    """Wherever a copy stopped: the directory is at the end, the pixels before it."""
    content = write(world.inputs / "whole.tif", scene_values(), compress="deflate").read_bytes()
    scene = world.inputs / "cut.tif"
    scene.write_bytes(content[: max(9, int(len(content) * share))])
    world.refuses(*world.predict(scene), names="cut.tif")
    world.refuses(*world.tile(scene, world.labels), names="cut.tif")


def test_pixels_that_are_damaged_leave_nothing_to_go_on_with(world):
    scene = write(world.inputs / "scene2.tif", scene_values(), compress="deflate")
    with rasterio.open(scene) as dataset:
        place = int(dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
    content = bytearray(scene.read_bytes())
    content[place + 20 : place + 40] = bytes(20)
    scene.write_bytes(content)
    assert "damaged" in world.refuses(*world.predict(scene), names="scene2.tif")
    world.refuses(*world.tile(scene, world.labels), names="scene2.tif")


LIES = {
    "no pixels at all": (picture(0, 5), "cannot be opened"),
    "a picture larger than any": (picture(2**31 - 1, 2**31 - 1), "--max-pixels"),
    "a tile larger than memory": (
        picture(64, 64) | {322: ("long", [2**20]), 323: ("long", [2**20]), 324: ("long", [8]), 325: ("long", [64])},
        "--max-block",
    ),
    "thousands of bands": (picture(50, 50, 60_000), "--bands"),
    "a place that is no number": (
        picture(8, 8) | PLACED | {33550: ("double", [float("nan"), 10, 0]), 33922: ("double", [0, 0, 0, 5e5, 5e6, 0])},
        "lies.tif",
    ),
    "pixels without a size": (picture(8, 8) | PLACED | {33550: ("double", [0, 0, 0])}, "lies.tif"),
}


@pytest.mark.parametrize("name", LIES)
def test_heads_that_lie(world, name):
    tags, says = LIES[name]
    world.refuses(*world.predict(write_tiff(world.inputs / "lies.tif", tags, bytes(64))), names="lies.tif", says=says)


def test_directories_in_a_circle_end(world):
    scene = write_tiff(world.inputs / "circle.tif", picture(8, 8), bytes(64), next_directory=72)
    world.refuses(*world.predict(scene), names="circle.tif")


def test_declared_sizes_are_limited_and_the_limits_can_be_raised(world):
    scene = bomb(world.inputs / "bomb.tif", 1024)
    assert scene.stat().st_size < 20_000
    line = world.refuses("info", scene, "--max-block", "1MB", names="bomb.tif", says="3,145,728 bytes")
    assert "--max-block 3145728" in line
    world.refuses(*world.predict(scene, "--max-pixels", 1000), names="bomb.tif", says="--max-pixels 1048576")
    world.refuses(*world.tile(scene, world.labels, "--max-block", "2MB"), names="bomb.tif", says="--max-block 3145728")
    world.works("info", scene, "--max-block", "3.2MB", "--max-pixels", 1048576)


def test_a_huge_sparse_scene_is_refused_before_anything_is_made(world):
    scene = world.inputs / "huge.tif"
    size = {"width": 10**6, "height": 10**6, "count": 3, "dtype": "uint8", "photometric": "minisblack"}
    with rasterio.open(scene, "w", driver="GTiff", tiled=True, blockxsize=4096, blockysize=4096, sparse_ok=True,
                       bigtiff="yes", transform=Affine(10, 0, 0, 0, -10, 0), **size):  # fmt: skip
        pass
    both_refuse(world, scene, "1,000,000 x 1,000,000 pixels")


def test_scenes_without_a_plain_place(world):
    points = [GroundControlPoint(row, col, 5e5 + 10 * col, 5.4e6 - 10 * row) for row in (0, 72) for col in (0, 80)]
    both_refuse(world, write(world.inputs / "points.tif", scene_values(), transform=None, gcps=points), "gdalwarp")
    ones = [1.0] + [0.0] * 19
    coefficients = RPC(
        height_off=0, height_scale=1, lat_off=45, lat_scale=1, line_den_coeff=ones, line_num_coeff=ones, line_off=0,
        line_scale=1, long_off=9, long_scale=1, samp_den_coeff=ones, samp_num_coeff=ones, samp_off=0, samp_scale=1,
        err_bias=0, err_rand=0,
    )  # fmt: skip
    both_refuse(
        world, write(world.inputs / "rpc.tif", scene_values(), crs=None, transform=None, rpcs=coefficients), "RPC"
    )


def test_values_and_bands_that_cannot_be(world):
    both_refuse(world, write(world.inputs / "wave.tif", scene_values().astype(np.complex64)), "complex")
    scene = write(world.inputs / "two.tif", scene_values(bands=2))
    world.refuses(*world.predict(scene), names="two.tif", says="2 bands")
    world.refuses("info", world.scene, "--bands", "red,swir", names="scene.tif", says="no band 'swir'")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_nodata(world, value):
    values = scene_values().astype(np.float32)
    values[1, 10:20, 30:40] = value
    world.works(*world.predict(write(world.inputs / "holes.tif", values)))
    with rasterio.open(world.out / "map.tif") as made:
        valid = made.read_masks(1) > 0
    assert not valid[10:20, 30:40].any()
    assert valid.sum() == valid.size - 100


def test_a_scene_of_nodata_gives_a_map_of_nodata_and_no_chips(world):
    scene = write(world.inputs / "night.tif", np.zeros((3, 72, 80), np.uint16), nodata=0)
    world.refuses(*world.tile(scene, world.labels), names="night.tif")
    assert "no valid pixel" in world.works(*world.predict(scene)).stderr
    with rasterio.open(world.out / "map.tif") as made:
        assert not made.read_masks(1).any()


def vrt(path, inside, head=""):
    band = '<VRTRasterBand dataType="UInt16" band="{}"' + head + ">{}</VRTRasterBand>"
    source = (
        '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>{}</SourceBand></SimpleSource>'
    )
    bands = "".join(band.format(number, source.format(inside, number)) for number in (1, 2, 3))
    path.write_text(f'<VRTDataset rasterXSize="80" rasterYSize="72"><SRS>EPSG:32632</SRS>{bands}</VRTDataset>')
    return path


@pytest.mark.parametrize(("source", "says"), [
    ("gone.tif", "not there"), ("../canary/diary.txt", "outside of its folder"), ("/etc/hostname", "outside"),
    ("/vsicurl/http://127.0.0.1:9/a.tif", "--allow-remote"), ("http://127.0.0.1:9/a.tif", "--allow-remote"),
    ("half.tif", "half.tif"), ("bomb.tif", "--max-block"), ("inner.vrt", "not there"),
])  # fmt: skip
def test_virtual_rasters_lead_nowhere_else(world, source, says):
    (world.inputs / "half.tif").write_bytes(world.scene.read_bytes()[:200])
    bomb(world.inputs / "bomb.tif", 1024)
    vrt(world.inputs / "inner.vrt", "gone.tif")
    scene = vrt(world.inputs / "scene.vrt", source)
    world.refuses(*world.predict(scene, "--max-block", "1MB"), names="scene.vrt", says=says)


class TestBeside:
    """What lies beside a scene under its name is opened with it."""

    @pytest.mark.parametrize("ending", [".ovr", ".msk", ".OVR", ".MSK", ".ovr.msk", ".ovr.MSK"])
    def test_overviews_and_masks_are_what_they_are_called(self, world, ending):
        if ending.count(".") > 1:
            write(world.inputs / "scene.tif.ovr", scene_values(36, 40))
        vrt(world.inputs / f"scene.tif{ending}", "/vsicurl/http://127.0.0.1:9/a.tif")
        world.refuses(*world.predict(world.scene), names=f"scene.tif{ending}", says="is not")

    @pytest.mark.parametrize("key", ["OVERVIEW_FILE", "overview&#95;file", "X_DATASET"])
    def test_notes_lead_nowhere_else(self, world, key):
        notes = world.inputs / "scene.tif.aux.xml"
        notes.write_text(f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{key}">/etc/hostname</MDI></Metadata>'
                         "</PAMDataset>")  # fmt: skip
        world.refuses(*world.predict(world.scene), names="scene.tif.aux.xml", says="--allow-remote")

    @pytest.mark.parametrize("text", ['<MDI foo="OVERVIEW_FILE">/etc/hostname</MDI>',
                                      '<MDI key="OVERVIEW_FILE"><!--/etc/hostname--></MDI>'])  # fmt: skip
    def test_no_spelling_of_notes_leads_elsewhere(self, world, text):
        notes = world.inputs / "scene.tif.aux.xml"
        notes.write_text(f'<PAMDataset><Metadata domain="OVERVIEWS">{text}</Metadata></PAMDataset>')
        world.refuses("info", world.scene, names="scene.tif.aux.xml", says="--allow-remote")

    @pytest.mark.parametrize("ending", [".ovr", ".msk"])
    def test_what_only_begins_like_a_geotiff_is_refused(self, world, ending):
        """No other driver may have a try at it."""
        (world.inputs / f"scene.tif{ending}").write_bytes(b"II*\0" + bytes(508) + b"\x89HDF\r\n\x1a\n" + bytes(500))
        world.refuses("info", world.scene, names=f"scene.tif{ending}", says="cannot be read")

    def test_its_own_tags_lead_nowhere_else(self, world):
        elsewhere = write(world.inputs.parent / "canary" / "s.tif", scene_values(36, 40) + np.uint16(9000))
        with rasterio.open(world.scene, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(elsewhere))
        with rasterio.open(world.scene) as dataset:
            assert dataset.overviews(1), "GDAL left to itself follows it"
        says = "its tags name another file as its overviews"
        both_refuse(world, world.scene, says)
        world.refuses("info", vrt(world.inputs / "scene.vrt", "scene.tif"), names="scene.vrt", says=says)
        world.works("info", world.scene, "--allow-remote")
        write(world.inputs / "plain.tif", scene_values())
        world.scene.rename(world.inputs / "plain.tif.ovr")
        world.refuses("info", world.inputs / "plain.tif", names="plain.tif", says=says)

    @pytest.mark.parametrize("text", ["<PAMDataset><Metadata><MDI key=", "", '<PAMDataset><PAMRasterBand band="1"/>'
                                      "</PAMDataset>"])  # fmt: skip
    def test_other_notes_do_no_harm(self, world, text):
        (world.inputs / "scene.tif.aux.xml").write_text(text)
        world.works("info", world.scene)


def test_drivers_can_be_allowed(world):
    scene = world.inputs / "scene.img"
    with rasterio.open(world.scene) as dataset:
        values, profile = dataset.read(), dataset.profile
    with rasterio.open(scene, "w", driver="ENVI", **{k: profile[k] for k in ("width", "height", "count", "dtype", "crs",
                       "transform")}) as dataset:  # fmt: skip
        dataset.write(values)
    world.refuses("info", scene, names="scene.img", says="--allow-driver")
    found = json.loads(world.works("info", scene, "--allow-driver", "ENVI", "--json").stdout)
    assert found["facts"]["size"] == "72 rows x 80 columns"
    world.refuses("info", scene, "--allow-driver", "ENVY", names="ENVY", says="did you mean 'ENVI'")
    world.refuses("info", scene, "--allow-driver", "VRT", names="VRT", says="cannot be allowed")


@pytest.mark.parametrize("name", ["odd.nc", "odd.tif"])
def test_hdf5_is_opened_only_when_it_is_allowed(world, name):
    """Its pixels can lie in any file that it names."""
    made = world.inputs / "made.nc"
    copy(write(world.inputs / "one.tif", scene_values(bands=1)), made, driver="netCDF", FORMAT="NC4")
    scene = made.rename(world.inputs / name)
    assert scene.read_bytes().startswith(b"\x89HDF")
    both_refuse(world, scene, "is HDF5 or netCDF-4, which can name any other file")
    world.refuses(*world.tile(world.scene, scene), names=name, says="--allow-driver netCDF")
    found = json.loads(world.works("info", scene, "--allow-driver", "netCDF", "--json").stdout)
    assert found["facts"]["size"] == "72 rows x 80 columns"


def test_classic_netcdf_is_opened(world):
    scene = world.inputs / "scene.nc"
    copy(write(world.inputs / "one.tif", scene_values(bands=1)), scene, driver="netCDF", FORMAT="NC")
    assert scene.read_bytes().startswith(b"CDF")
    world.works("info", scene)


def test_the_rule_of_nodata_can_be_chosen_and_a_model_keeps_its_own(world):
    values = scene_values()
    values[0, :10] = 0
    values[:, 10:20] = 0
    scene = write(world.inputs / "gaps.tif", values, nodata=0)
    kept = world.inputs / "kept.safetensors"
    model = load_model(world.model)
    write_model(kept, replace(model.spec, nodata_rule="all"), model.network.state_dict())
    for used, rule, rows in ((world.model, None, 20), (world.model, "all", 10), (kept, None, 10), (kept, "any", 20)):
        words = ["predict", used, scene, "-o", world.out / "map.tif", "--runtime", "torch", "--overwrite"]
        world.works(*words, *(["--nodata-rule", rule] if rule else []))
        with rasterio.open(world.out / "map.tif") as made:
            valid = made.read_masks(1).any(axis=1)
        assert (~valid).sum() == rows, (used.name, rule)
        assert not valid[10:20].any()


class TestDoubts:
    """What is legal and suspicious is said, and works."""

    def test_blocks_that_were_never_written(self, world):
        scene = world.inputs / "killed.tif"
        with rasterio.open(world.scene) as dataset:
            profile = dataset.profile | {"sparse_ok": True, "compress": "deflate"}
        with rasterio.open(scene, "w", **profile) as dataset:
            dataset.write(scene_values(16, 80), window=((0, 16), (0, 80)))
        assert "20 of 25 blocks are absent" in world.works(*world.predict(scene)).stderr
        assert "absent" not in world.works(*world.predict(scene, "--nodata", 0, "--overwrite")).stderr
        regions = world.inputs / "polygons.gpkg"
        words = ("map", regions, "--scenes", scene, "--model", world.model, "-o", world.out / "atlas")
        (world.out / "map.tif").unlink()
        for name in ("map.tif.aux.xml", "map.qml"):
            (world.out / name).unlink(missing_ok=True)
        world.refuses(*words, names="killed.tif", says="absent")

    def test_a_black_corner(self, world):
        values = scene_values()
        values[:, :40, 40:] = 0
        scene = write(world.inputs / "collar.tif", values)
        assert "--nodata 0" in world.works(*world.predict(scene)).stderr

    def test_a_world_file_that_says_another_place(self, world):
        (world.inputs / "scene.tfw").write_text("10\n0\n0\n-10\n500005\n5399995\n")
        assert "scene.tfw" not in world.works(*world.predict(world.scene)).stderr
        (world.inputs / "scene.tfw").write_text("30\n0\n0\n-30\n100\n200\n")
        assert (
            "scene.tfw beside it says another place" in world.works(*world.predict(world.scene, "--overwrite")).stderr
        )

    def test_no_place(self, world):
        scene = write(world.inputs / "flat.tif", scene_values(), crs=None, transform=None)
        assert "no CRS" in world.works(*world.predict(scene)).stderr
        scene = write(world.inputs / "crs.tif", scene_values(), transform=None)
        assert "no place in it" in world.works(*world.predict(scene, "--overwrite")).stderr

    def test_a_band_that_may_be_alpha(self, world):
        scene = write(world.inputs / "rgba.tif", scene_values(bands=4).astype(np.uint8), photometric="rgb", alpha="yes")
        assert "tagged alpha" in world.works("info", scene).stderr
