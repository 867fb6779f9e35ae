"""Focal Tversky loss: Abraham and Khan 2019, A novel focal Tversky loss function (arXiv:1810.07842)."""

from __future__ import annotations

import torch
from torch import Tensor

from geoseg.losses._labelled import labelled_pixels, no_loss, overlap
from geoseg.losses.tversky import index

OPTIONS = {"alpha": (0.01, 10.0), "beta": (0.01, 10.0), "gamma": (0.1, 10.0)}


def loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 0.75,
) -> Tensor:
    """Tversky loss of each class to a power, averaged over the classes that have labels in the batch.

    For class c: (1 - T)^gamma, with T the Tversky index; with nothing labelled it is 0 with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: not used: the mean over classes balances them already.
        alpha: weight of what is wrongly given to a class.
        beta: weight of what a class misses.
        gamma: below 1 the classes that are nearly right keep a strong gradient (the paper's 1/gamma with gamma 4/3);
            above 1 the poor ones dominate.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        if not len(target):
            return no_loss(logits.float())
        # A power below 1 has no finite slope at 0, where a class is perfect.
        return (1 - index(overlap(scores, target), alpha, beta)).clamp_min(1e-6).pow(gamma).mean()
