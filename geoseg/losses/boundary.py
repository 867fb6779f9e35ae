"""Cross-entropy that looks harder at the borders of classes, as the weight map of Ronneberger et al. 2015 does."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.legend import IGNORE
from geoseg.losses._labelled import labelled_pixels, no_loss

OPTIONS = {"beta": (0.0, 100.0), "sigma": (0.5, 20.0)}


def loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, beta: float = 4.0, sigma: float = 3.0
) -> Tensor:
    """Mean of the cross-entropy with more weight near the border between two labels.

    A pixel weighs w(y) (1 + beta exp(-d^2 / (2 sigma^2))), with d its distance to the nearest pixel that has a
    neighbour of another label. What is not labelled is no border. With nothing labelled that weighs anything it is 0
    with zero gradient.

    Args:
        logits: (N, K, H, W), any real numbers, any precision.
        labels: (N, H, W), class indices or `IGNORE`.
        weights: (K,) class weights, or None for 1 each.
        beta: 0 or more; how much more a pixel on a border counts than one far from it.
        sigma: width of the border, in pixels.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores, target = labelled_pixels(logits.float(), labels)
        squared = squared_distance(_edges(labels), reach=math.ceil(3 * sigma))
        near = 1 + beta * torch.exp(-squared[labels != IGNORE] / (2 * sigma**2))
        weight = near if weights is None else near * weights[target]
        if not bool(weight.sum() > 0):
            return no_loss(logits.float())
        return (weight * F.cross_entropy(scores, target, reduction="none")).sum() / weight.sum()


def _edges(labels: Tensor) -> Tensor:
    """Labelled pixels with one of their four neighbours labelled otherwise (N, H, W)."""
    edges = torch.zeros_like(labels, dtype=torch.bool)
    for first, second in (
        ((..., slice(1, None)), (..., slice(None, -1))),
        ((..., slice(1, None), slice(None)), (..., slice(None, -1), slice(None))),
    ):
        a, b = labels[first], labels[second]
        differ = (a != b) & (a != IGNORE) & (b != IGNORE)
        edges[first] |= differ
        edges[second] |= differ
    return edges


def squared_distance(points: Tensor, reach: int) -> Tensor:
    """Squared distance in pixels to the nearest point (N, H, W), infinite where none is within `reach` each way.

    The nearest point of each column first, then the nearest of these along the row.
    """
    squared = torch.where(points, 0.0, math.inf)
    for axis in (-2, -1):
        nearest = squared
        for step in range(1, min(reach, squared.shape[axis] - 1) + 1):
            length = squared.shape[axis] - step
            for target, source in ((0, step), (step, 0)):
                moved = squared.narrow(axis, source, length) + step**2
                here = nearest.narrow(axis, target, length)
                nearest = nearest.slice_scatter(torch.minimum(here, moved), axis, target, target + length)
        squared = nearest
    return squared
