"""Tversky loss: Salehi et al. 2017, Tversky loss function for image segmentation (arXiv:1706.05721)."""

from __future__ import annotations

import torch
from torch import Tensor

from geoseg.losses._labelled import Overlap, labelled_pixels, no_loss, overlap

OPTIONS = {"alpha": (0.01, 10.0), "beta": (0.01, 10.0)}


def loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, alpha: float = 0.3, beta: float = 0.7
) -> Tensor:
    """One minus the Tversky index, averaged over the classes that have labels in the batch.

    For class c: 1 - I / (I + alpha (S - I) + beta (G - I)), with I = sum(p t), S = sum(p), G = sum(t). With alpha and
    beta 0.5 it is the Dice loss, with both 1 the Jaccard loss. With nothing labelled it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: not used: the mean over classes balances them already.
        alpha: weight of what is wrongly given to a class; more of it makes the map miss more and add less.
        beta: weight of what a class misses.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        if not len(target):
            return no_loss(logits.float())
        return (1 - index(overlap(scores, target), alpha, beta)).mean()


def index(pixels: Overlap, alpha: float, beta: float) -> Tensor:
    """Tversky index of each present class (classes,), 0 to 1."""
    extra, missed = pixels.predicted - pixels.both, pixels.labelled - pixels.both
    # Where a float underflows all three are 0; the class is there, so nothing of it was found.
    return pixels.both / (pixels.both + alpha * extra + beta * missed).clamp_min(1e-12)
