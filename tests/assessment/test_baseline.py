from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from geoseg.assessment.baseline import GaussianClassifier, fit
from geoseg.errors import LabelError, OptionError
from geoseg.legend import IGNORE

GENERATOR = np.random.default_rng(0)


Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint8]


def blobs(counts: list[int], distance: float = 8.0, bands: int = 3) -> tuple[Floats, Indices]:
    """Pixels (n, bands) and indices (n,) of normal clouds along the first band."""
    parts = [
        GENERATOR.normal(size=(count, bands)) + [distance * index, 0, 0][:bands] for index, count in enumerate(counts)
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(counts)), counts).astype(np.uint8)


def classify(classifier: GaussianClassifier, pixels: npt.NDArray[Any]) -> Indices:
    return classifier.predict(pixels.T[:, :, None])[:, 0]


def test_separable_classes_are_told_apart() -> None:
    pixels, indices = blobs([300, 300, 300])
    assert (classify(fit(pixels, indices, 3), pixels) == indices).mean() > 0.99


def test_agrees_with_the_discriminant_written_out() -> None:
    pixels, indices = blobs([400, 300], distance=1.5)
    pixels[indices == 1] *= [1.0, 2.0, 0.5]
    classifier = fit(pixels, indices, 2)
    pooled = sum(np.cov(pixels[indices == k].T, bias=True) * (indices == k).mean() for k in (0, 1))
    scores = []
    for k in (0, 1):
        members = pixels[indices == k]
        weight = 3 / len(members)
        covariance = (1 - weight) * np.cov(members.T, bias=True) + weight * pooled
        deviations = pixels - members.mean(0)
        squared = (deviations @ np.linalg.inv(covariance) * deviations).sum(1)
        scores.append(-0.5 * np.log(np.linalg.det(covariance)) - 0.5 * squared)
    assert (classify(classifier, pixels) == np.argmax(scores, axis=0)).mean() > 0.998  # the ridge may move a tie


def test_class_without_pixels_is_never_predicted() -> None:
    pixels, indices = blobs([50, 0, 50])
    assert set(classify(fit(pixels, indices, 4), pixels).tolist()) == {0, 2}


def test_a_single_pixel_is_enough_for_a_class() -> None:
    pixels, indices = blobs([200, 1])
    assert classify(fit(pixels, indices, 2), pixels)[-1] == 1


def test_constant_and_doubled_bands_do_no_harm() -> None:
    pixels, indices = blobs([100, 100])
    wide = np.column_stack([pixels, pixels[:, 0], np.full(len(pixels), 7.0)])
    assert (classify(fit(wide, indices, 2), wide) == indices).mean() > 0.99


def test_units_of_the_bands_do_not_matter() -> None:
    pixels, indices = blobs([200, 200], distance=2.0)
    scaled = pixels * [1e-4, 1e4, 1.0] + [3.0, -2e4, 0.0]
    np.testing.assert_array_equal(classify(fit(pixels, indices, 2), pixels), classify(fit(scaled, indices, 2), scaled))


def test_values_that_are_not_finite_are_not_classified() -> None:
    pixels, indices = blobs([50, 50])
    holed = pixels.copy()
    holed[3, 1] = np.nan
    indices[5] = IGNORE
    found = classify(fit(holed, indices, 2), holed)
    assert found[3] == IGNORE
    assert (found == IGNORE).sum() == 1


def test_shape_is_kept_across_chunks() -> None:
    pixels, indices = blobs([50, 50])
    values = GENERATOR.normal(size=(3, 300, 301)).astype(np.float32)
    classifier = fit(pixels, indices, 2)
    whole = classifier.predict(values)
    assert whole.shape == (300, 301)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole[250:], classifier.predict(values[:, 250:]))


def test_errors() -> None:
    pixels, indices = blobs([5, 5])
    with pytest.raises(LabelError, match="no labelled pixel"):
        fit(pixels, np.full(10, IGNORE, np.uint8), 2)
    with pytest.raises(OptionError, match="must be"):
        fit(pixels, indices[:3], 2)
    with pytest.raises(OptionError, match="not one of 1"):
        fit(pixels, indices, 1)
    with pytest.raises(OptionError, match="3 bands"):
        fit(pixels, indices, 2).predict(np.zeros((2, 4, 4)))
