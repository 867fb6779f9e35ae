"""What every loss promises, for every file in the folder, and a worked example."""

import pytest
import torch

from geoseg import losses, registry
from geoseg.errors import OptionError
from geoseg.legend import IGNORE

NAMES = registry.names("geoseg.losses")
every = pytest.mark.parametrize("name", [*NAMES, "ce+dice", "ce:0.3+dice:2"])

LOGITS = torch.tensor([[2, 0, -1], [0, 1, 0.5], [-1, 0.5, 2], [0.5, -0.5, 0]]).T[None, :, None, :]
LABELS = torch.tensor([[[0, 1, 2, IGNORE]]])


@pytest.mark.parametrize(
    ("name", "weights", "value"),
    [("ce", None, 0.3638090), ("ce", (1.0, 2.0, 4.0), 0.3565187), ("dice", None, 0.2948087)],
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
    assert float(loss(right, labels, None)) < 0.01
    assert float(loss(-right, labels, None)) > 0.5


def test_sums():
    parts = {name: float(losses.build(name)(LOGITS, LABELS, None)) for name in ("ce", "dice")}
    total = float(losses.build("ce:0.5+dice:2")(LOGITS, LABELS, None))
    assert total == pytest.approx(0.5 * parts["ce"] + 2 * parts["dice"])


@pytest.mark.parametrize("text", ["", "cee", "ce+", "ce:x", "ce:-1", "ce:0", "ce:inf", "ce dice"])
def test_what_is_no_loss_is_said(text):
    with pytest.raises(OptionError):
        losses.build(text)
