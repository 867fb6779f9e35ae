"""Soft Dice loss over the classes that are present: Milletari et al. 2016, V-Net (arXiv:1606.04797)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.legend import IGNORE


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """One minus the Dice coefficient, averaged over the classes that have labels in the batch.

    For class c: 1 - 2 sum(p t) / (sum(p) + sum(t)), with p the softmax and t the one-hot labels over labelled pixels;
    absent classes are left out, and with nothing labelled it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: not used: the mean over classes balances them already.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        labelled = labels != IGNORE
        if not bool(labelled.any()):
            return logits.sum() * 0
        target = F.one_hot(torch.where(labelled, labels, 0).long(), logits.shape[1]).movedim(-1, 1)
        target = target * labelled[:, None]
        probability = logits.softmax(1) * labelled[:, None]
        both = (probability * target).sum((0, 2, 3))
        present = target.sum((0, 2, 3))
        dice = 2 * both / (probability.sum((0, 2, 3)) + present).clamp_min(1e-12)
        return (1 - dice)[present > 0].mean()
