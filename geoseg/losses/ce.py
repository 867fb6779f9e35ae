"""Pixel-wise softmax cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.legend import IGNORE


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted mean over the labelled pixels of -log softmax of the label.

    Sum over pixels of w(y) (-log p(y)) / sum of w(y); with nothing labelled that weighs
    anything it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: (K,) class weights, or None for 1 each.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        labelled = labels[labels != IGNORE].long()
        total = float(len(labelled)) if weights is None else weights[labelled].sum().item()
        if not total:
            return logits.sum() * 0
        summed = F.cross_entropy(logits, labels.long(), weight=weights, ignore_index=IGNORE, reduction="sum")
        return summed / total
