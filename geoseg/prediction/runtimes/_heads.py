"""What runtimes share that needs no torch: labels and probabilities of logits, windows of any size, their memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geoseg.grid import round_up

Floats = npt.NDArray[np.float32]
Points = Sequence[tuple[int, int]]
"""(pixels, bytes) of some windows, smallest first."""


def most_probable(logits: Floats) -> npt.NDArray[np.uint8]:
    """Index of the largest of logits (N, K, H, W) at each pixel (N, H, W), the first of equals.

    Class by class over whole planes: many times faster than `argmax` over an axis that is far apart in memory.

    >>> most_probable(np.array([0.2, 0.7, 0.7], np.float32).reshape(1, 3, 1, 1)).item()
    1
    """
    labels = np.zeros((len(logits), *logits.shape[2:]), np.uint8)
    best = logits[:, 0].copy()
    for index in range(1, logits.shape[1]):
        plane = logits[:, index]
        np.putmask(labels, plane > best, index)
        np.maximum(best, plane, out=best)
    return labels


def softmax(logits: Floats, temperature: float) -> Floats:
    """Probabilities exp(z / T) / sum(exp(z / T)) over the classes of logits z (N, K, H, W).

    >>> softmax(np.zeros((1, 4, 1, 1), np.float32), 2.0).ravel().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    values: Floats = logits - logits.max(1, keepdims=True)
    if temperature != 1:
        values /= np.float32(temperature)
    np.exp(values, out=values)
    values /= values.sum(1, keepdims=True)
    return values


def bytes_of(points: Points, height: int, width: int, batch: int = 1) -> int:
    """Bytes that a batch of windows takes, given what some windows take; between them it grows evenly.

    >>> bytes_of([(100, 1000), (400, 2500)], 10, 25), bytes_of([(100, 1000), (400, 2500)], 20, 40)
    (1750, 5000)
    """
    pixels, taken = zip((0, 0), *points, strict=True)
    share = height * width / pixels[-1]
    return int(batch * (taken[-1] * share if share > 1 else np.interp(height * width, pixels, taken)))


def pad(values: Floats, stride: int, min_size: int) -> Floats:
    """Windows (N, C, H, W) reflected on the right and below to multiples of `stride` and at least `min_size`.

    The same as `SegmentationNetwork` does inside; what has that size already is given back as it is.
    """
    height, width = values.shape[-2:]
    below = round_up(max(height, min_size), stride) - height
    right = round_up(max(width, min_size), stride) - width
    while right > 0 or below > 0:
        height, width = values.shape[-2:]
        step_right, step_below = min(right, max(width - 1, 1)), min(below, max(height - 1, 1))
        around = ((0, 0), (0, 0), (0, step_below), (0, step_right))
        if step_right < width and step_below < height:
            values = np.pad(values, around, mode="reflect")
        else:
            values = np.pad(values, around, mode="edge")
        right, below = right - step_right, below - step_below
    return values
