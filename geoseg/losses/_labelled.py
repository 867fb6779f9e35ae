"""What losses share: the labelled pixels, and how the classes overlap on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.legend import IGNORE


def labelled_pixels(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (V, K) and class indices (V,) of the V pixels that have a label, in the order of the pixels.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W), class indices or `IGNORE`, of any integer type.
    """
    labelled = labels != IGNORE
    return logits.movedim(1, -1)[labelled], labels[labelled].long()


@dataclass(frozen=True, slots=True)
class Overlap:
    """Soft pixel counts of the classes that have labels, each (classes,).

    Attributes:
        both: sum of p t.
        predicted: sum of p.
        labelled: sum of t.
    """

    both: Tensor
    predicted: Tensor
    labelled: Tensor


def overlap(logits: Tensor, labels: Tensor, power: float = 1.0) -> Overlap:
    """How much the softmax p and the one-hot labels t share, for each class that is present.

    Args:
        logits: (V, K) in float32.
        labels: (V,), class indices.
        power: of p in `predicted`.
    """
    target = F.one_hot(labels, logits.shape[1]).float()
    probability = logits.softmax(1)
    counts = target.sum(0)
    present = counts > 0
    both = (probability * target).sum(0)
    return Overlap(both[present], probability.pow(power).sum(0)[present], counts[present])


def no_loss(logits: Tensor) -> Tensor:
    """0 with zero gradient, for a batch without labels.

    A sum of the logits times 0 would be NaN where one of them is infinite.
    """
    return torch.where(torch.isfinite(logits), logits, 0).sum() * 0
