"""A small plain U-Net for few labels and no pretrained weights (measured against larger ones on small scenes)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="compact U-Net",
    paper="geoseg, after Ronneberger et al. 2015, arXiv:1505.04597",
    summary="a small plain U-Net with a per-pixel spectral path; best for few labels without pretrained weights",
    context="local",
    encoders="none",
)

_KEPT = 3
"""Cells kept around an inner part before they are doubled: one for the interpolation, two for the convolutions."""


def build(in_channels: int, classes: int, *, width: int = 32, depth: int = 3) -> SegmentationNetwork:
    """Build a compact U-Net with a per-pixel spectral path.

    Levels of two 3x3 convolutions, each with BatchNorm and ReLU, joined by max pooling down and bilinear upsampling
    with concatenation up; the channels double until four times `width`. Beside it, two 1x1 convolutions look at each
    pixel's spectrum alone; both meet before the 1x1 classifier.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        width: channels of the first level, 4 or more.
        depth: halvings, 1 to 5; the stride is 2 to this power.

    Raises:
        OptionError: a width or depth that cannot be.
    """
    if width < 4 or not 1 <= depth <= 5:
        raise OptionError(f"unet_compact has width {width} and depth {depth}; it needs 4 or more, and 1 to 5")
    return SegmentationNetwork(CompactUNet(in_channels, classes, width, depth), stride=2**depth)


class CompactUNet(nn.Module):
    """The body: (N, C, H, W) to (N, K, H, W) for H and W that are multiples of 2 to the power of the depth.

    Attributes:
        margin: pixels on each side that the logits leave out, and what the decoder can leave out with them.
    """

    def __init__(self, in_channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        self.spectral = nn.Sequential(*_pixel(in_channels, width), *_pixel(width, width))
        self.down = nn.ModuleList(
            _level(before, after) for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _level(below + beside, beside) for below, beside in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(2 * width, classes, 1)
        self.margin = 0

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image."""
        features = [self.down[0](image)]
        for level in self.down[1:]:
            features.append(level(self.pool(features[-1])))
        x = features.pop()
        around = self.margin >> len(features)
        for level in self.up:
            kept = min(_KEPT, around)
            x = F.interpolate(cut(x, around - kept), scale_factor=2, mode="bilinear", align_corners=False)
            around = 2 * kept
            beside = features.pop()
            x = level(torch.cat([x, cut(beside, (self.margin >> len(features)) - around)], 1))
        x = cut(x, around)
        logits: Tensor = self.head(torch.cat([x, self.spectral(cut(image, self.margin))], 1))
        return logits


def cut(x: Tensor, cells: int) -> Tensor:
    """A tensor (N, C, H, W) without some cells on each side."""
    return x[..., cells:-cells, cells:-cells] if cells else x


def _level(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_block(before, after), *_block(after, after))


def _block(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)


def _pixel(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
