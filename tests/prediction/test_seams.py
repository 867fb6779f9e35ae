"""Seam scores: one where nothing shows, more where something does."""

import json

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.grid import WindowGrid
from geoseg.prediction.layout import WindowLayout
from geoseg.prediction.seams import compare

LAYOUT = WindowLayout.of(WindowGrid(60, 80, core=30, margin=0, stride=10))


@pytest.fixture
def single():
    """Smooth probabilities of two classes (2, 60, 80)."""
    rng = np.random.default_rng(0)
    share = rng.random((60, 80)).cumsum(1).cumsum(0)
    share = (share - share.min()) / (share.max() - share.min())
    return np.stack([share, 1 - share]).astype(np.float32)


def test_a_map_without_seams_scores_one(single):
    score = compare(single, single, np.ones((60, 80), bool), LAYOUT, "itself")
    assert (score.labels, score.fidelity, score.rows, score.cols) == (0, 0, 1, 1)


def test_a_seam_shows_in_its_direction(single):
    seamed = single.copy()
    seamed[0, :, 30:60] += 0.1
    seamed[1, :, 30:60] -= 0.1
    score = compare(seamed, single, np.ones((60, 80), bool), LAYOUT, "a single pass")
    assert score.cols > 5
    assert score.rows == pytest.approx(1, abs=0.01)
    assert 0 < score.labels < 0.2
    assert score.fidelity > 0.05


def test_pixels_without_data_do_not_count(single):
    seamed, valid = single.copy(), np.ones((60, 80), bool)
    seamed[:, :, 25:35] += 9
    valid[:, 25:35] = False
    score = compare(seamed, single, valid, LAYOUT, "a single pass")
    assert (score.labels, score.fidelity) == (0, 0)
    assert score.pixels == 60 * 70


@pytest.mark.parametrize("memory", [None, 10_000])
def test_a_network_that_sees_its_own_pixel_leaves_no_seam(constant_model, write_scene, tmp_path, memory, monkeypatch):
    scene = write_scene(np.random.default_rng(0).integers(1, 9, (2, 150, 150), dtype=np.uint8))
    if memory:
        monkeypatch.setattr("geoseg.prediction.prepare.largest_window", lambda *_: 8)
    result = geoseg.predict(constant_model, scene, tmp_path / "map.tif", window=64, margin=8, check_seams=True)
    assert result.seams.beside == ("windows shifted by half" if memory else "a single pass")
    assert (result.seams.labels, result.seams.fidelity) == (0, 0)
    assert "seams beside" in str(result)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        noted = json.loads(dataset.tags()["GEOSEG_SEAMS"], parse_constant=pytest.fail)
    assert noted == result.seams.to_dict()
