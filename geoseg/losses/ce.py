"""Pixel-wise softmax cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.losses._labelled import labelled_pixels, no_loss

OPTIONS = {"smoothing": (0.0, 0.99)}


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, smoothing: float = 0.0) -> Tensor:
    """Weighted mean over the labelled pixels of -log softmax of the label.

    Sum over pixels of w(y) (-log p(y)) / sum of w(y); with nothing labelled that weighs
    anything it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: (K,) class weights, or None for 1 each.
        smoothing: share e of the target spread evenly over all classes (Szegedy et al. 2016, arXiv:1512.00567):
            the numerator is (1 - e) w(y) (-log p(y)) + e/K sum over c of w(c) (-log p(c)).
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        weighs = len(target) > 0 if weights is None else bool(weights[target].sum() > 0)
        if not weighs:
            return no_loss(logits.float())
        return F.cross_entropy(scores, target, weight=weights, label_smoothing=smoothing)
