"""Soft Dice loss over the classes that are present: Milletari et al. 2016, V-Net (arXiv:1606.04797)."""

from __future__ import annotations

import torch
from torch import Tensor

from geoseg.losses._labelled import labelled_pixels, no_loss, overlap

OPTIONS = {"power": (1.0, 2.0)}


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, power: float = 1.0) -> Tensor:
    """One minus the Dice coefficient, averaged over the classes that have labels in the batch.

    For class c: 1 - 2 sum(p t) / (sum(p) + sum(t)), with p the softmax and t the one-hot labels over labelled pixels;
    absent classes are left out, and with nothing labelled it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: not used: the mean over classes balances them already.
        power: of p in the denominator; 2 is the form of V-Net.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        if not len(target):
            return no_loss(logits.float())
        pixels = overlap(scores, target, power)
        return (1 - 2 * pixels.both / (pixels.predicted + pixels.labelled)).mean()
