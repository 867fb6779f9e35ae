"""ParseNet: Liu et al. 2015, ParseNet: Looking Wider to See Better (arXiv:1506.04579)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._blocks import gaussian, initialise, upsample
from geoseg.models._context import AreaPool
from geoseg.models._deeplab import DilatedTrunk, LargeFOV, hidden_channels
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="ParseNet",
    paper="Liu et al. 2015, arXiv:1506.04579",
    summary="DeepLab V1 whose features are normalised and joined with their normalised mean over the window",
    context="global",
    encoders="vgg or dilating",
    pools=True,
)


def build(
    in_channels: int,
    classes: int,
    *,
    encoder: str = "vgg16",
    width: int = 64,
    dropout: float = 0.5,
    scale: float = 10.0,
) -> SegmentationNetwork:
    """Build a ParseNet on the trunk of DeepLab-LargeFOV.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16 as in the paper, another VGG, or an smp encoder that can dilate.
        width: channels of the first stage of a VGG, 4 to 256; the two wide layers have 16 times as many.
        dropout: share of features dropped in training after each wide layer.
        scale: length of the normalised features at first; features of length 1 learn slowly.

    Raises:
        OptionError: no such encoder, width or scale, or an encoder that cannot dilate.
    """
    if not 0 < scale <= 1000:
        raise OptionError(f"parsenet has scale {scale}; it must be more than 0 and at most 1000")
    trunk = DilatedTrunk("parsenet", encoder, in_channels, width)
    body = _ParseNet(trunk, classes, hidden_channels(width), dropout, scale)
    return SegmentationNetwork(body, stride=8, sees_all=True)


class ScaledNorm(nn.Module):
    """Divides the features at each place by their length and multiplies each channel with a learned factor.

    Args:
        channels: of the features.
        scale: the factor at first.
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, H, W) of length `scale` over C, in float32; all zero stays all zero."""
        with torch.autocast(x.device.type, enabled=False):
            normalised = F.normalize(x.to(self.scale.dtype), dim=1, eps=1e-10)
            return normalised * self.scale[:, None, None]


class _ParseNet(nn.Module):
    def __init__(self, trunk: DilatedTrunk, classes: int, hidden: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.wide = LargeFOV(trunk.channels, hidden, 12, dropout)
        self.everywhere = AreaPool()
        self.norm_here = ScaledNorm(hidden, scale)
        self.norm_everywhere = ScaledNorm(hidden, scale)
        self.classifier = nn.Conv2d(2 * hidden, classes, 1)
        initialise(self.wide)
        gaussian(self.classifier, 0.01)

    def forward(self, image: Tensor) -> Tensor:
        features = self.wide(self.trunk(image))
        here = self.norm_here(features)
        everywhere = self.norm_everywhere(self.everywhere(features))
        return upsample(self.classifier(torch.cat([here, everywhere.expand_as(here)], 1)), image)
