"""Lovasz-softmax loss: Berman et al. 2018, The Lovasz-Softmax loss (arXiv:1705.08790)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.losses._labelled import labelled_pixels, no_loss


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The convex closure of 1 - IoU, averaged over the classes that have labels in the batch.

    For class c the errors |t - p| of all labelled pixels are sorted, largest first, and each is multiplied with what
    the Jaccard loss grows by when that pixel becomes wrong too. With nothing labelled it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: not used: the mean over classes balances them already.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        if not len(target):
            return no_loss(logits.float())
        truth = F.one_hot(target, scores.shape[1]).float()
        present = truth.sum(0) > 0
        truth = truth[:, present]
        errors, order = (truth - scores.softmax(1)[:, present]).abs().sort(dim=0, descending=True)
        return (errors * _growth(truth.gather(0, order))).sum(0).mean()


def _growth(truth: Tensor) -> Tensor:
    """By how much the Jaccard loss grows with each pixel that becomes wrong, in order (V, classes)."""
    union = truth.sum(0) + (1 - truth).cumsum(0)
    kept = truth.sum(0) - truth.cumsum(0)
    jaccard = 1 - kept / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
