"""Softmax focal loss: Lin et al. 2017, Focal Loss for Dense Object Detection (arXiv:1708.02002)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.losses._labelled import labelled_pixels, no_loss

OPTIONS = {"gamma": (0.0, 10.0)}


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, gamma: float = 2.0) -> Tensor:
    """Cross-entropy in which pixels that are right already count less.

    Mean over the labelled pixels of w(y) (1 - p(y))^gamma (-log p(y)), with p the softmax over all classes; with
    nothing labelled it is 0 with zero gradient. Without weights, gamma 0 is the cross-entropy.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: (K,) class weights, the paper's alpha, or None for 1 each.
        gamma: 0 to 10; how fast the weight of a pixel falls.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        if not len(target):
            return no_loss(logits.float())
        surprise = F.cross_entropy(scores, target, reduction="none")
        # 1 - exp(-s) without cancellation; away from 0, where a power below 1 has no finite slope.
        doubt = -torch.expm1(-surprise)
        focal = doubt.clamp_min(1e-7).pow(gamma) * surprise
        return (focal if weights is None else weights[target] * focal).mean()
