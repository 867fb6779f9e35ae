"""What every loss promises, for every file in the folder, and a worked example."""

import math

import pytest
import torch

from geoseg import losses, registry
from geoseg.errors import OptionError
from geoseg.legend import IGNORE
from geoseg.losses.boundary import squared_distance

NAMES = registry.names("geoseg.losses")
SUMS = ["ce+dice", "focal:1+dice:0.5", "ce(smoothing=0.001):0.3+dice(power=2):2"]
every = pytest.mark.parametrize("name", [*NAMES, *SUMS])

LOGITS = torch.tensor([[2, 0, -1], [0, 1, 0.5], [-1, 0.5, 2], [0.5, -0.5, 0]]).T[None, :, None, :]
LABELS = torch.tensor([[[0, 1, 2, IGNORE]]])


@pytest.mark.parametrize(
    ("name", "weights", "value"),
    [
        ("ce", None, 0.3638090),
        ("ce", (1.0, 2.0, 4.0), 0.3565187),
        ("ce(smoothing=0.1)", None, 0.4860312),
        ("focal", None, 0.0603082),
        ("focal(gamma=0)", None, 0.3638090),
        ("dice", None, 0.2948087),
        ("dice(power=2)", None, 0.1128690),
        ("tversky", None, 0.2929362),
        ("tversky(alpha=0.5, beta=0.5)", None, 0.2948087),
        ("tversky(alpha=1, beta=1)", None, 0.4454633),
        ("focal_tversky(gamma=1)", None, 0.2929362),
        ("lovasz", None, 0.3085278),
        ("boundary(beta=0)", (1.0, 2.0, 4.0), 0.3565187),
    ],
)
def test_worked_example(name, weights, value):
    tensor = None if weights is None else torch.tensor(weights)
    assert float(losses.build(name)(LOGITS, LABELS, tensor)) == pytest.approx(value, abs=1e-6)


@every
def test_what_is_ignored_does_not_count(name):
    loss = losses.build(name)
    changed = LOGITS.clone()
    changed[..., 3] = torch.tensor([50.0, -50.0, 3.0])[None, :, None]
    assert torch.equal(loss(LOGITS, LABELS, None), loss(changed, LABELS, None))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nothing_labelled_is_no_loss(name, dtype):
    logits = LOGITS.clone().to(dtype).requires_grad_()
    value = losses.build(name)(logits, torch.full_like(LABELS, IGNORE), None)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@every
def test_classes_that_weigh_nothing_are_no_loss(name):
    value = losses.build(name)(LOGITS, torch.full_like(LABELS, 1), torch.tensor([1.0, 0.0, 1.0]))
    assert torch.isfinite(value)


@every
def test_half_precision_is_close(name):
    logits = torch.randn(2, 5, 300, 300)
    labels = torch.randint(0, 5, (2, 300, 300))
    loss = losses.build(name)
    full, half = loss(logits, labels, None), loss(logits.half(), labels, None)
    assert torch.isfinite(half)
    assert float(half) == pytest.approx(float(full), rel=1e-2)


@every
def test_an_absent_class_leaves_it_finite(name):
    logits = torch.randn(1, 6, 8, 8, requires_grad=True)
    value = losses.build(name)(logits, torch.zeros(1, 8, 8, dtype=torch.long), torch.rand(6) + 0.1)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@every
def test_right_is_better_than_wrong(name):
    labels = torch.randint(0, 3, (1, 16, 16))
    right = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) * 10.0
    loss = losses.build(name)
    assert float(loss(right, labels, None)) < 0.02
    assert float(loss(-right, labels, None)) > 0.5


@every
def test_perfect_and_hopeless_logits_have_a_finite_gradient(name):
    labels = torch.randint(0, 3, (1, 8, 8))
    for factor in (1e4, -1e4):
        logits = (torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) * factor).requires_grad_()
        value = losses.build(name)(logits, labels, None)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()


@every
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_integer_type(name, dtype):
    loss = losses.build(name)
    assert torch.equal(loss(LOGITS, LABELS.to(dtype), None), loss(LOGITS, LABELS, None))


@every
def test_autocast_does_not_reach_inside(name):
    logits, labels = torch.randn(1, 4, 16, 16), torch.randint(0, 4, (1, 16, 16))
    loss = losses.build(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(logits, labels, None)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(logits, labels, None))


def test_lovasz_is_one_minus_iou_for_certain_predictions():
    labels = torch.tensor([[[0, 0, 1, 1, 1, IGNORE]]])
    predicted = torch.tensor([[[0, 1, 1, 1, 0, 1]]])
    logits = torch.nn.functional.one_hot(predicted, 2).movedim(-1, 1) * 1e3
    iou = (1 / 3 + 2 / 4) / 2
    assert float(losses.build("lovasz")(logits, labels, None)) == pytest.approx(1 - iou, abs=1e-6)


def test_boundary_weighs_by_the_distance_to_the_border():
    labels = torch.zeros(1, 1, 12, dtype=torch.long)
    labels[..., 4:] = 1
    labels[..., 9:] = 2
    labels[..., 8] = IGNORE
    logits = torch.randn(1, 3, 1, 12)
    far = math.inf  # beyond three sigma
    distance = torch.tensor([3.0, 2, 1, 0, 0, 1, 2, 3, far, 5, 6, far])
    weight = (1 + 2 * torch.exp(-(distance**2) / 8)) * (labels[0, 0] != IGNORE)
    pixels = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")[0, 0]
    expected = float((weight * pixels).sum() / weight.sum())
    assert float(losses.build("boundary(beta=2, sigma=2)")(logits, labels, None)) == pytest.approx(expected, abs=1e-6)


def test_distances_are_euclidean():
    points = torch.rand(2, 20, 23) < 0.03
    squared = squared_distance(points, reach=30)
    for image, found in zip(points, squared, strict=True):
        rows, cols = torch.meshgrid(torch.arange(20), torch.arange(23), indexing="ij")
        places = image.nonzero()
        every_one = (rows[..., None] - places[:, 0]) ** 2 + (cols[..., None] - places[:, 1]) ** 2
        assert torch.equal(found, every_one.min(-1).values.float())


def test_sums():
    parts = {name: float(losses.build(name)(LOGITS, LABELS, None)) for name in ("ce", "dice")}
    total = float(losses.build("ce:0.5+dice:2")(LOGITS, LABELS, None))
    assert total == pytest.approx(0.5 * parts["ce"] + 2 * parts["dice"])
    assert losses.parse("focal:1+dice:0.5") == [("focal", 1.0, {}), ("dice", 0.5, {})]


@pytest.mark.parametrize(
    "text", ["", "cee", "ce+", "ce:", "ce:x", "ce:-1", "ce:0", "ce:inf", "ce dice", "ce(", "ce()x", "_labelled"]
)
def test_what_is_no_loss_is_said(text):
    with pytest.raises(OptionError):
        losses.build(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("focla", "did you mean 'focal'"),
        ("focal(gama=2)", "did you mean 'gamma'"),
        ("lovasz(gamma=2)", "it has none"),
        ("ce(smoothing=2)", "0 to 0.99"),
        ("tversky(alpha=x)", "'x'; it must be 0.01 to 10"),
        ("focal(gamma)", "no value; write it as in gamma=1"),
        ("focal(gamma=1,gamma=2)", "given twice"),
    ],
)
def test_an_option_that_cannot_be_is_said(text, says):
    with pytest.raises(OptionError, match=says):
        losses.parse(text)
