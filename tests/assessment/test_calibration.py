"""Calibration of maps from rasters: against a worked example, the definitions and torchmetrics."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.windows import Window
from torchmetrics.functional.classification import multiclass_calibration_error

from geoseg.assessment.calibration import CalibrationTally, calibration
from geoseg.assessment.sight import Sight
from geoseg.errors import MapError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend
from geoseg.shares import open_confidence, open_probabilities

LEGEND = Legend.from_names([(1, "forest"), (2, "water"), (5, "town")])


def grid_of(rows: int, cols: int) -> Grid:
    return Grid(None, Affine.scale(10, -10), rows, cols)


def write(path: Path, values: np.ndarray, names: tuple[str, ...] = (), scale: float | None = None) -> Path:
    profile = {"driver": "GTiff", "height": values.shape[1], "width": values.shape[2], "count": len(values)}
    with rasterio.open(path, "w", **profile, dtype=values.dtype, transform=Affine.scale(10, -10)) as dataset:
        dataset.write(values)
        if names:
            dataset.descriptions = names
        if scale is not None:
            dataset.scales = (scale,) * len(values)
    return path


def sight(mapped: np.ndarray, reference: np.ndarray, rows: slice = slice(None)) -> Sight:
    first, last, _ = rows.indices(len(mapped))
    mapped, reference = mapped[rows], reference[rows]
    grid = grid_of(*mapped.shape)
    inside = np.ones(grid.shape, bool)
    return Sight(grid, first, 0, slice(0, last - first), slice(0, mapped.shape[1]), mapped, reference, inside)


def test_worked_example(tmp_path: Path) -> None:
    values = np.array([[[0.95, 0.9, 0.85, 0.8, 0.65, 0.6, 0.55, 0.4, 0.35, 0.3]]])
    right = np.array([[1, 1, 1, 0, 1, 0, 1, 0, 1, 0]], np.uint8)
    shares = open_confidence(write(tmp_path / "c.tif", values), grid_of(1, 10))
    tally = CalibrationTally(shares, 2, of_classes=False, bins=5)
    tally.add(sight(np.ones((1, 10), np.uint8), right))
    found = calibration([tally])
    assert found.ece == pytest.approx(0.095)
    assert found.mce == pytest.approx(0.225)
    assert found.brier == pytest.approx(((values[0] - right) ** 2).mean())
    bins = [(one.pixels, one.accuracy, one.confidence) for one in found.bins if one.pixels]
    expected = [(3, 1 / 3, 0.35), (2, 0.5, 0.575), (2, 0.5, 0.725), (3, 1, 0.9)]
    np.testing.assert_allclose(bins, expected, atol=1e-6)
    assert found.log_loss is None
    assert found.bins[0].accuracy is None


def test_probabilities_agree_with_torchmetrics_and_the_definitions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], (20, 30)).astype(np.float32).transpose(2, 0, 1)
    mapped = shares.argmax(0).astype(np.uint8)
    reference = np.where(rng.random((20, 30)) < 0.5, mapped, rng.integers(0, 3, (20, 30))).astype(np.uint8)
    reference[:3] = IGNORE
    raster = open_probabilities(write(tmp_path / "p.tif", shares), grid_of(20, 30), LEGEND)
    parts = []
    for rows in (slice(0, 9), slice(9, 20)):
        parts.append(CalibrationTally(raster, 3, of_classes=True))
        parts[-1].add(sight(mapped, reference, rows))
    found = calibration(parts)
    known = reference != IGNORE
    flat, truth = shares[:, known].T, reference[known]
    assert found.pixels == known.sum()
    tensors = torch.from_numpy(flat.copy()), torch.from_numpy(truth.astype(np.int64))
    for ours, norm in ((found.ece, "l1"), (found.mce, "max")):
        theirs = multiclass_calibration_error(*tensors, num_classes=3, n_bins=15, norm=norm)
        assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert found.brier == pytest.approx(((flat - np.eye(3)[truth]) ** 2).sum(1).mean(), abs=1e-6)
    nll = torch.nn.functional.nll_loss(torch.log(tensors[0]), tensors[1])
    assert found.log_loss == pytest.approx(float(nll), abs=1e-5)
    assert found.class_ece is not None
    assert len(found.class_ece) == 3


def test_bytes_with_a_scale_and_bands_in_another_order(tmp_path: Path) -> None:
    steps = np.array([[[0, 250]], [[250, 0]], [[0, 0]]], np.uint8)
    path = write(tmp_path / "p.tif", steps, ("Town", "forest", "water"), scale=1 / 250)
    tally = CalibrationTally(open_probabilities(path, grid_of(1, 2), LEGEND), 3, of_classes=True)
    tally.add(sight(np.array([[0, 2]], np.uint8), np.array([[0, 1]], np.uint8)))
    found = calibration([tally])
    assert found.ece == pytest.approx(0.5)
    assert found.brier == pytest.approx(1.0)
    assert found.log_loss == pytest.approx(-np.log(1 / 500) / 2, rel=1e-6)  # half a step for a probability of 0


def test_nothing_with_a_confidence_has_no_score(tmp_path: Path) -> None:
    shares = open_confidence(write(tmp_path / "c.tif", np.full((1, 2, 2), np.nan)), grid_of(2, 2))
    tally = CalibrationTally(shares, 2, of_classes=False)
    tally.add(sight(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)))
    found = calibration([tally])
    assert found.ece is found.mce is found.brier is None


def test_rasters_that_do_not_fit_are_named(tmp_path: Path) -> None:
    small = write(tmp_path / "small.tif", np.zeros((1, 2, 2)))
    with pytest.raises(MapError, match=r"small\.tif: has 2 x 2 pixels.*3 x 3"):
        open_confidence(small, grid_of(3, 3))
    other = write(tmp_path / "other.tif", np.zeros((3, 2, 2)), ("forest", "water", "snow"))
    with pytest.raises(MapError, match=r"other\.tif: has no band called 'town'"):
        open_probabilities(other, grid_of(2, 2), LEGEND)
    with pytest.raises(MapError, match="has 3 bands and none called 'confidence'"):
        open_confidence(other, grid_of(2, 2))


@pytest.mark.parametrize("value", [7.0, 1.2, -0.1])
def test_values_that_are_no_shares_are_refused(tmp_path: Path, value: float) -> None:
    """A map of classes for a confidence, or one in percent, would give figures without sense."""
    shares = open_confidence(write(tmp_path / "c.tif", np.array([[[0.5, value, np.nan]]])), grid_of(1, 3))
    with pytest.raises(MapError, match=rf"c\.tif: holds {value:g}, and the confidence of a map lies between 0 and 1"):
        shares.read(Window(0, 0, 3, 1))
