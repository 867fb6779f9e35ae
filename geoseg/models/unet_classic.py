"""The first U-Net, layer by layer: Ronneberger et al. 2015, U-Net (arXiv:1505.04597)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._blocks import initialise
from geoseg.models._network import SegmentationNetwork, reflect
from geoseg.models._vgg import require_width

ABOUT = About(
    title="U-Net (classic)",
    paper="Ronneberger et al. 2015, arXiv:1505.04597",
    summary="four max poolings down, four transposed convolutions up, cropped features concatenated; no BatchNorm",
    context="local",
    encoders="none",
)

MARGIN = 92
"""Pixels that the convolutions without padding lose on each side."""


def build(
    in_channels: int, classes: int, *, width: int = 64, padding: Literal["same", "valid"] = "same"
) -> SegmentationNetwork:
    """Build the U-Net of the paper.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        width: channels of the first level, 4 to 256; they double with each level, 64 to 1024 in the paper.
        padding: "same" pads each convolution with zeros. "valid" pads none, as in the paper, and reflects the image by
            92 pixels beforehand instead.

    Raises:
        OptionError: no such width or padding.
    """
    require_width("unet_classic", width)
    if padding not in ("same", "valid"):
        raise OptionError(f"unet_classic has padding '{padding}'; it must be same or valid")
    network = ClassicUNet(in_channels, classes, width, 1 if padding == "same" else 0)
    return SegmentationNetwork(network if padding == "same" else _Reflected(network), stride=16)


class ClassicUNet(nn.Module):
    """(N, C, H, W) to (N, K, H, W) with `pad` 1, for multiples of 16; to (N, K, H - 184, W - 184) with `pad` 0.

    Without padding the sides must be 16 L + 60 for some L of 8 or more; 572 gives 388.
    """

    def __init__(self, in_channels: int, classes: int, width: int, pad: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(
            _level(before, after, pad) for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        coarse_to_fine = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.twice = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in coarse_to_fine)
        self.up = nn.ModuleList(_level(below, above, pad) for below, above in coarse_to_fine)
        self.head = nn.Conv2d(width, classes, 1)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image."""
        features = [self.down[0](image)]
        for level in self.down[1:]:
            features.append(level(self.pool(features[-1])))
        x = features.pop()
        for twice, level in zip(self.twice, self.up, strict=True):
            x = twice(x)
            x = level(torch.cat([_middle(features.pop(), x), x], 1))
        logits: Tensor = self.head(x)
        return logits


class _Reflected(nn.Module):
    """Gives a network without padding its context by reflection."""

    def __init__(self, network: ClassicUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        # 184 is 12 more than a multiple of 16; 60 is as well.
        x = reflect(image, MARGIN, MARGIN)
        x = reflect(x.flip((2, 3)), MARGIN, MARGIN).flip((2, 3))
        logits: Tensor = self.network(reflect(x, 4, 4))
        return logits[..., :height, :width]


def _level(before: int, after: int, pad: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for first in (before, after):
        layers += [nn.Conv2d(first, after, 3, padding=pad), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _middle(x: Tensor, like: Tensor) -> Tensor:
    """Crop a map to the size of another, about its centre."""
    rows, cols = (x.shape[axis] - like.shape[axis] for axis in (-2, -1))
    return F.pad(x, (-(cols // 2), cols // 2 - cols, -(rows // 2), rows // 2 - rows))
