"""Fewer bands for a network: a learned projection of each pixel's spectrum that begins as principal components.

Hundreds of bands are nearly copies of each other; their first components (Pearson 1901, On Lines and Planes of Closest
Fit) hold most of what differs, and training goes on from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models._network import SegmentationNetwork


class BandReducer(nn.Conv2d):
    """A 1x1 convolution (N, C, H, W) to (N, reduced bands, H, W)."""

    def __init__(self, bands: int, reduced: int) -> None:
        super().__init__(bands, reduced, 1)

    @torch.no_grad()
    def begin_as_components(self, pixels: npt.NDArray[Any]) -> None:
        """Set the weights to the principal components of pixels, by falling variance.

        All are scaled alike, so that the first has unit deviation; the outputs have zero mean over the pixels.

        Args:
            pixels: (n, bands), scaled as the network will see them; n of any size.
        """
        values = pixels.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        variances, axes = np.linalg.eigh(centred.T @ centred / max(len(values), 1))
        largest = np.argsort(variances)[::-1][: self.out_channels]
        components = axes[:, largest].T
        # The sign of a component is free; one rule makes it the same on every machine.
        strongest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
        components = components * np.sign(strongest)[:, None] / np.sqrt(max(float(variances.max()), 1e-12))
        self.weight.copy_(torch.from_numpy(components)[:, :, None, None])
        if self.bias is not None:
            self.bias.copy_(torch.from_numpy(-components @ mean))


class ReducedBody(nn.Module):
    """A body that sees the reduced bands."""

    def __init__(self, bands: int, reduced: int, body: nn.Module) -> None:
        super().__init__()
        self.reducer = BandReducer(bands, reduced)
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image (N, C, H, W)."""
        logits: Tensor = self.body(self.reducer(image))
        return logits


def require_reducible(bands: int, reduced: int) -> None:
    """Refuse a number of reduced bands that cannot be.

    Raises:
        OptionError: less than 1, or not less than there are.
    """
    if not 1 <= reduced < bands:
        raise OptionError(f"reduce_bands is {reduced} and there are {bands} bands; it must be 1 or more, and fewer")


def put_before(network: SegmentationNetwork, bands: int, reduced: int) -> None:
    """Let a network that was built for `reduced` bands see `bands`."""
    network.body = ReducedBody(bands, reduced, network.body)
