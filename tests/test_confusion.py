from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchmetrics import functional as metrics

from geoseg.confusion import Accuracy, Scores, confusion, joint
from geoseg.legend import IGNORE, Legend

# Worked by hand from the definitions: rows are the reference, columns the map.
EXAMPLE = Accuracy(np.array([[50, 3, 2], [10, 30, 5], [0, 4, 6]]))


PAIRS = arrays.arrays(np.uint8, (2, 40), elements=st.integers(0, 3) | st.just(IGNORE))


def test_worked_example() -> None:
    assert EXAMPLE.overall == pytest.approx(0.7818182, abs=1e-6)
    assert EXAMPLE.mean_iou == pytest.approx(0.5663650, abs=1e-6)
    np.testing.assert_allclose(EXAMPLE.producers, [0.9090909, 0.6666667, 0.6], atol=1e-6)
    np.testing.assert_allclose(EXAMPLE.users, [0.8333333, 0.8108108, 0.4615385], atol=1e-6)
    np.testing.assert_allclose(EXAMPLE.f1, [0.8695652, 0.7317073, 0.5217391], atol=1e-6)
    np.testing.assert_allclose(EXAMPLE.iou, [0.7692308, 0.5769231, 0.3529412], atol=1e-6)
    assert EXAMPLE.mean_accuracy == pytest.approx(0.7252525, abs=1e-6)
    assert EXAMPLE.weighted_iou == pytest.approx(0.6527149, abs=1e-6)
    assert EXAMPLE.kappa == pytest.approx(0.6231263, abs=1e-6)
    assert EXAMPLE.mcc == pytest.approx(0.6275160, abs=1e-6)
    assert EXAMPLE.mean_f1 == pytest.approx((0.8695652 + 0.7317073 + 0.5217391) / 3, abs=1e-6)
    np.testing.assert_allclose(EXAMPLE.normalized[2], [0, 0.4, 0.6])


def test_quantity_and_allocation_of_pontius() -> None:
    """Pontius and Millones 2011 by the test of teamlucc: samples of strata of 100, 200, 300 and 400 pixels."""
    samples = np.add.outer([10, 20, 30, 40], [1, 2, 3, 4])  # rows are the map
    shares = samples / samples.sum(1, keepdims=True) * [[0.1], [0.2], [0.3], [0.4]]
    accuracy = Accuracy(shares.T)
    assert accuracy.quantity_disagreement == pytest.approx(0.182234, abs=1e-6)
    assert accuracy.allocation_disagreement == pytest.approx(0.567193, abs=1e-6)
    assert accuracy.quantity_disagreement + accuracy.allocation_disagreement == pytest.approx(1 - accuracy.overall)


def test_one_class_only_has_no_chance_corrected_score() -> None:
    accuracy = Accuracy(np.array([[9, 0], [0, 0]]))
    assert accuracy.overall == accuracy.mean_iou == accuracy.weighted_iou == 1
    assert np.isnan([accuracy.kappa, accuracy.mcc]).all()
    assert np.isnan(accuracy.normalized[1]).all()


def test_agrees_with_torchmetrics() -> None:
    generator = np.random.default_rng(0)
    reference = generator.integers(0, 5, 3000).astype(np.uint8)
    predicted = np.where(generator.random(3000) < 0.6, reference, generator.integers(0, 5, 3000)).astype(np.uint8)
    reference[:200] = IGNORE
    accuracy = Accuracy(confusion(reference, predicted, 5))
    options: dict[str, Any] = {"num_classes": 5, "ignore_index": IGNORE}
    tensors = torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(reference.astype(np.int64))
    matrix = metrics.classification.multiclass_confusion_matrix(*tensors, **options)
    np.testing.assert_array_equal(accuracy.matrix, matrix.numpy())
    pairs: tuple[tuple[Scores, Any], ...] = (
        (accuracy.iou, metrics.classification.multiclass_jaccard_index),
        (accuracy.f1, metrics.classification.multiclass_f1_score),
        (accuracy.users, metrics.classification.multiclass_precision),
        (accuracy.producers, metrics.classification.multiclass_recall),
    )
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs(*tensors, average="none", **options).numpy(), atol=1e-6)
    overall = metrics.classification.multiclass_accuracy(*tensors, average="micro", **options)
    assert accuracy.overall == pytest.approx(float(overall), abs=1e-6)
    means: tuple[tuple[float, Any], ...] = (
        (accuracy.kappa, metrics.classification.multiclass_cohen_kappa(*tensors, **options)),
        (accuracy.mcc, metrics.classification.multiclass_matthews_corrcoef(*tensors, **options)),
        (accuracy.mean_accuracy, metrics.classification.multiclass_accuracy(*tensors, average="macro", **options)),
        (
            accuracy.weighted_iou,
            metrics.classification.multiclass_jaccard_index(*tensors, average="weighted", **options),
        ),
        (accuracy.mean_f1, metrics.classification.multiclass_f1_score(*tensors, average="macro", **options)),
    )
    for mine, other in means:
        assert mine == pytest.approx(float(other), abs=1e-6)


def test_pixels_without_a_class_are_counted_apart() -> None:
    reference, predicted = np.array([0, 1, IGNORE, IGNORE], np.uint8), np.array([0, IGNORE, 1, IGNORE], np.uint8)
    np.testing.assert_array_equal(joint(reference, predicted, 2), [[1, 0, 0], [0, 0, 1], [0, 1, 1]])


def test_absent_classes_have_no_score() -> None:
    accuracy = Accuracy(np.array([[4, 0, 1], [0, 0, 0], [0, 0, 0]]))
    assert np.isnan(accuracy.iou[1])
    assert accuracy.iou[2] == 0  # mapped, though not in the reference: an error that counts
    assert np.isnan(accuracy.producers[2])
    assert np.isnan(accuracy.users[1])
    assert accuracy.mean_iou == pytest.approx((0.8 + 0) / 2)
    plain = accuracy.to_dict(Legend.from_names([(1, "a"), (2, "b"), (3, "c")]))
    assert plain["classes"][1]["iou"] is None


def test_nothing_compared_has_no_score() -> None:
    accuracy = Accuracy(confusion(np.full((2, 2), IGNORE, np.uint8), np.zeros((2, 2), np.uint8), 2))
    assert accuracy.matrix.sum() == 0
    assert np.isnan(accuracy.overall)
    assert np.isnan(accuracy.mean_iou)


@settings(max_examples=50, deadline=None)
@given(pair=PAIRS, cut=st.integers(0, 40))
def test_matrices_of_windows_add_up(pair: npt.NDArray[np.uint8], cut: int) -> None:
    reference, predicted = pair
    parts = [confusion(reference[part], predicted[part], 4) for part in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(sum(parts), confusion(reference, predicted, 4))


@settings(max_examples=50, deadline=None)
@given(pair=PAIRS, order=st.permutations(range(4)))
def test_renaming_classes_permutes_scores_and_nothing_else(pair: npt.NDArray[np.uint8], order: list[int]) -> None:
    table = np.full(256, IGNORE, np.uint8)
    table[:4] = order
    before = Accuracy(confusion(pair[0], pair[1], 4))
    after = Accuracy(confusion(table[pair[0]], table[pair[1]], 4))
    np.testing.assert_array_equal(after.iou[list(order)], before.iou)
    np.testing.assert_allclose(after.mean_iou, before.mean_iou)
    np.testing.assert_array_equal(after.overall, before.overall)
