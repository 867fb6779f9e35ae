"""Confidence that means what it says: one temperature, fitted on validation pixels, that all logits are divided by.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599. It changes no predicted class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.legend import IGNORE
from geoseg.reliability import Reliability

COLDEST, HOTTEST = 0.05, 20.0
"""Between these lies every temperature; classes that are always right would be made infinitely sure otherwise."""

MOST_LOGITS = 4_000_000
"""Logits that are kept to fit it; of more pixels, every second, fourth, ... is taken."""

_STEPS = 40  # of the golden section: far below a thousandth of the temperature


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and what it is worth.

    Attributes:
        temperature: what logits are divided by; above 1 where the network was too sure of itself.
        before, after: expected calibration error without and with it; NaN without any labelled pixel.
        pixels: labelled pixels that it was fitted on.
    """

    temperature: float
    before: float
    after: float
    pixels: int

    def __str__(self) -> str:
        if not self.pixels:
            return "temperature 1, for want of labelled validation pixels"
        return (
            f"temperature {self.temperature:.2f}, expected calibration error {self.before:.3f} before and "
            f"{self.after:.3f} after, on {self.pixels:,} validation pixels"
        )


def fit_temperature(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device | str = "cpu"
) -> Calibration:
    """Find the temperature that makes the labels of validation pixels most likely.

    Where it would not lower the calibration error, the network is left as it is (temperature 1).

    Args:
        network: images (N, C, H, W) to logits (N, K, H, W); it is used as in prediction and left as it was.
        batches: images, and labels (N, H, W) with `IGNORE` where nothing is known.
        device: where the network is.
    """
    logits, labels = _labelled_logits(network, batches, torch.device(device))
    if not len(labels):
        return Calibration(1.0, math.nan, math.nan, 0)

    def surprise(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), labels))

    temperature = math.exp(_lowest(surprise, math.log(COLDEST), math.log(HOTTEST)))
    before, after = (_reliability(logits / t, labels).expected_error for t in (1.0, temperature))
    if not after < before:
        temperature, after = 1.0, before
    return Calibration(temperature, before, after, len(labels))


def _labelled_logits(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Logits (n, K) and classes (n,) of labelled pixels, thinned."""
    was_training = network.training
    network.eval()
    kept = _Thinned()
    try:
        with torch.inference_mode():
            for image, label in batches:
                logits = network(image.to(device)).float().cpu().movedim(1, -1)
                known = label.cpu() != IGNORE
                kept.add(logits[known], label.cpu()[known].long())
    finally:
        network.train(was_training)
    return kept.pixels()


class _Thinned:
    """Every `step`-th of all pixels that come, `step` doubled whenever they grow too many.

    What is kept depends on the order of the pixels alone, not on how they are batched.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._seen = 0
        self._step = 1

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Take further pixels: logits (n, K) and classes (n,)."""
        first = -self._seen % self._step
        self._parts.append((logits[first :: self._step].clone(), labels[first :: self._step].clone()))
        self._seen += len(labels)
        most = max(1, MOST_LOGITS // logits.shape[1])
        while sum(len(classes) for _, classes in self._parts) > most:
            values, classes = self.pixels()
            self._parts = [(values[::2].clone(), classes[::2].clone())]
            self._step *= 2

    def pixels(self) -> tuple[Tensor, Tensor]:
        """What is kept."""
        if not self._parts:
            return torch.empty(0, 1), torch.empty(0, dtype=torch.long)
        logits, labels = zip(*self._parts, strict=True)
        return torch.cat(logits), torch.cat(labels)


def _reliability(logits: Tensor, labels: Tensor) -> Reliability:
    confidence, predicted = logits.softmax(1).max(1)
    return Reliability.of(confidence.numpy(), (predicted == labels).numpy())


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with a single valley is lowest between two points, by golden section.

    The likelihood of a temperature has one: it is convex in 1 / T.
    """
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
