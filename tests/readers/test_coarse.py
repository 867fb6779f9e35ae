"""Coarse pictures of scenes: means of valid pixels, however they are read; of whole numbers rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from conftest import CORNER, UTM, WriteScene
from geoseg.grid import Grid
from geoseg.readers import open_scene, read_coarse

CRS_OF_TESTS = CRS.from_string(UTM)


@pytest.fixture
def scene(write_scene: WriteScene) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(0).integers(1, 1000, (2, 60, 80)).astype(np.uint16)
    values[:, :20, :30] = 0
    values[0, 40, 40] = 0  # one of a block of pixels, in one band
    return write_scene(values, nodata=0), values


def means(values: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of what is not 0 in blocks, and where there is any."""
    blocks = values.reshape(len(values), values.shape[1] // step, step, values.shape[2] // step, step).astype(float)
    counts = (blocks > 0).sum((2, 4))
    return blocks.sum((2, 4)) / np.maximum(counts, 1), (counts > 0).all(0)


def test_blocks_of_the_own_grid_are_means_of_what_is_valid(scene: tuple[Path, np.ndarray]) -> None:
    path, values = scene
    grid = Grid(CRS_OF_TESTS, CORNER @ Affine.scale(10), 6, 8)
    found, valid = read_coarse(open_scene(path), grid)
    expected, there = means(values, 10)
    np.testing.assert_array_equal(valid, there)
    np.testing.assert_allclose(found[:, valid], expected[:, valid], atol=0.51)


def test_the_last_block_may_reach_beyond_the_scene(scene: tuple[Path, np.ndarray]) -> None:
    path, values = scene
    found, valid = read_coarse(open_scene(path), Grid(CRS_OF_TESTS, CORNER @ Affine.scale(16), 4, 5))
    assert found.shape == (2, 4, 5)
    assert valid[3].all()
    np.testing.assert_allclose(found[:, 3, 4], values[:, 48:60, 64:80].mean((1, 2)), atol=0.51)


def test_beyond_the_scene_there_is_nothing(scene: tuple[Path, np.ndarray]) -> None:
    path, values = scene
    grid = Grid(CRS_OF_TESTS, CORNER @ Affine.translation(-20, -20) @ Affine.scale(10), 10, 12)
    found, valid = read_coarse(open_scene(path), grid)
    expected, there = means(values, 10)
    np.testing.assert_array_equal(valid[2:8, 2:10], there)
    assert not valid[:2].any()
    assert not valid[8:].any()
    assert not valid[:, 10:].any()
    np.testing.assert_allclose(found[:, 2:8, 2:10][:, there], expected[:, there], atol=0.51)


def test_a_window_is_read_as_it_is(scene: tuple[Path, np.ndarray]) -> None:
    path, values = scene
    grid = Grid(CRS_OF_TESTS, CORNER @ Affine.translation(41, 33), 9, 7)
    found, valid = read_coarse(open_scene(path), grid)
    np.testing.assert_array_equal(found, values[:, 33:42, 41:48])
    assert valid.all()


def test_nodata_that_is_given_counts(write_scene: WriteScene) -> None:
    values = np.full((1, 40, 40), 7, np.uint16)
    values[:, :20] = 9
    path = write_scene(values)
    grid = Grid(CRS_OF_TESTS, CORNER @ Affine.scale(10), 4, 4)
    found, valid = read_coarse(open_scene(path, nodata=9), grid)
    assert not valid[:2].any()
    assert valid[2:].all()
    assert (found[:, 2:] == 7).all()


def test_scenes_of_several_files_are_read_file_by_file(write_scene: WriteScene, tmp_path: Path) -> None:
    fine = np.random.default_rng(1).integers(1, 99, (1, 40, 40)).astype(np.uint16)
    coarse = np.random.default_rng(2).integers(1, 99, (1, 20, 20)).astype(np.uint16)
    coarse[0, :5] = 0
    files = [write_scene(fine, "B02.tif"), write_scene(coarse, "B05.tif", nodata=0, transform=CORNER @ Affine.scale(2))]
    stack = open_scene(files, join="stack")
    found, valid = read_coarse(stack, Grid(CRS_OF_TESTS, CORNER @ Affine.scale(10), 4, 4))
    np.testing.assert_allclose(found[0], means(fine, 10)[0][0], atol=0.51)
    np.testing.assert_allclose(found[1][1:], means(coarse, 5)[0][0][1:], atol=0.51)
    assert not valid[0].any()
    assert valid[1:].all()
    parts = [
        write_scene(fine, "west.tif"),
        write_scene(fine, "east.tif", transform=CORNER @ Affine.translation(40, 0)),
    ]
    mosaic = open_scene(parts, join="mosaic")
    found, valid = read_coarse(mosaic, Grid(CRS_OF_TESTS, CORNER @ Affine.scale(10), 4, 8))
    assert valid.all()
    np.testing.assert_allclose(found[0], np.tile(means(fine, 10)[0][0], 2), atol=1)


def test_values_are_what_they_stand_for(write_scene: WriteScene) -> None:
    import rasterio

    path = write_scene(np.full((1, 40, 40), 50, np.uint8), nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.01,), (1.0,)
    found, _ = read_coarse(open_scene(path), Grid(CRS_OF_TESTS, CORNER @ Affine.scale(10), 4, 4))
    np.testing.assert_allclose(found, 1.5, rtol=1e-6)
