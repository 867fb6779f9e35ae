"""How far a trained network really looks: the context at which its labels no longer change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geoseg.errors import OptionError
from geoseg.grid import round_up
from geoseg.models._network import SegmentationNetwork

SHARE = 0.001
FARTHEST = 128
"""Depths looked at, in pixels: beyond it trained networks show no more than rounding."""

LEAST_STEP = 8

PIXELS = 1_000_000
"""Pixels sent through the network: two or three seconds of a resnet18 U-Net on two cores."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the depth below a window's border does to labels.

    Attributes:
        margin: pixels below which labels are those of a window without a border.
        depths: upper ends of the bands of depth, in pixels; the band before `depths[0]` begins at the border.
        shares: share of labels in each band that differ from those without a border.
    """

    margin: int
    depths: tuple[int, ...]
    shares: tuple[float, ...]


def measured_margin(
    network: SegmentationNetwork,
    images: npt.NDArray[np.float32],
    share: float = SHARE,
    reach: int | None = None,
    pixels: int = PIXELS,
) -> Look:
    """Measure the margin of a trained network on real chips.

    Each chip is repeated by reflection to a large image and predicted whole; then its middle is predicted alone, and
    the labels of both are compared by their depth below the border of the middle. The margin is the least multiple of
    the stride, 8 at least, so that of all labels at that depth or deeper at most `share` differ. Where a network looks
    everywhere and the labels never settle, it is the depth at which they stop getting nearer, a quarter of the middle
    at most.

    Args:
        network: trained; it is put in evaluation mode, and back.
        images: scaled chips (N, C, H, W), the more the smoother the curve.
        share: of labels that may differ.
        reach: how far it can look at most, None when everywhere.
        pixels: of the network's inputs, all together, that are enough; one chip is looked at in any case.

    Raises:
        OptionError: no chips.
    """
    if not len(images):
        raise OptionError("no chips were given to measure how far the network looks; give one or more")
    step = max(network.stride, round_up(LEAST_STEP, network.stride))
    if reach == 0:
        return Look(0, (step,), (0.0,))
    context = round_up(min(FARTHEST, reach if reach is not None else FARTHEST), step)
    side = 2 * context + step
    wrong, seen = np.zeros(context // step + 1), np.zeros(context // step + 1)
    depth = _depth(side) // step
    whole = side + 2 * context
    enough = max(pixels // (whole**2 + side**2), 1)
    training = network.training
    network.eval()
    try:
        for image in images[:enough]:
            differs = _differs(network, _extended(image, whole), context, side)
            wrong += np.bincount(depth[differs], minlength=len(wrong))
            seen += np.bincount(depth.ravel(), minlength=len(seen))
    finally:
        network.train(training)
    depths = tuple(step * (band + 1) for band in range(len(seen)))
    shares = tuple(float(value) for value in wrong / np.maximum(seen, 1))
    return Look(_margin(wrong, seen, step, share, reach), depths, shares)


def _margin(
    wrong: npt.NDArray[np.float64], seen: npt.NDArray[np.float64], step: int, share: float, reach: int | None
) -> int:
    """The least depth from which on at most a share is wrong."""
    # Of all bands from one on: what is left of a map when everything above is cut off.
    deeper = np.cumsum(wrong[::-1])[::-1] / np.maximum(np.cumsum(seen[::-1])[::-1], 1)
    enough = np.flatnonzero(deeper <= share)
    if len(enough):
        margin = int(enough[0]) * step
        return margin if reach is None else min(margin, reach)
    if reach is not None:
        return reach
    settled = np.flatnonzero(deeper <= 1.1 * deeper.min())
    return min(int(settled[0]) * step, round_up(len(seen) * step // 2, step))


@torch.inference_mode()
def _differs(
    network: SegmentationNetwork, image: npt.NDArray[np.float32], context: int, side: int
) -> npt.NDArray[np.bool_]:
    """Where labels (side, side) of the middle alone are not those of the image (C, H, W) whole."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    whole = torch.from_numpy(image)[None].to(device)
    middle = (..., slice(context, context + side), slice(context, context + side))
    expected = network(whole)[middle].max(1).indices
    found = network(whole[middle].contiguous()).max(1).indices
    differs: npt.NDArray[np.bool_] = (expected != found)[0].cpu().numpy()
    return differs


def _extended(image: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """An image (C, H, W) reflected to a square on all sides, its own middle in the middle; cut where it is larger."""
    around = [(0, 0)]
    for length in image.shape[1:]:
        missing = max(side - length, 0)
        around.append((missing // 2, missing - missing // 2))
    padded = np.pad(image, around, mode="reflect")
    top, left = ((length - side) // 2 for length in padded.shape[1:])
    return np.ascontiguousarray(padded[:, top : top + side, left : left + side])


def _depth(side: int) -> npt.NDArray[np.int64]:
    """Pixels between each pixel of a square (side, side) and its nearest border, 0 at the border."""
    line = np.minimum(np.arange(side), np.arange(side)[::-1])
    depth: npt.NDArray[np.int64] = np.minimum(line[:, None], line[None, :])
    return depth
