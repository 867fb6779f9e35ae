"""DeepLab V1 with a large field of view: Chen et al. 2015, Deep Convolutional Nets and CRFs (arXiv:1412.7062)."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.models._about import About
from geoseg.models._blocks import gaussian, initialise, upsample
from geoseg.models._deeplab import DilatedTrunk, LargeFOV, hidden_channels
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="DeepLab V1 (LargeFOV)",
    paper="Chen et al. 2015, arXiv:1412.7062",
    summary="a VGG that keeps stride 8 by dilation, one 3x3 convolution of rate 12, bilinear upsampling",
    context="local",
    encoders="vgg or dilating",
)


def build(
    in_channels: int, classes: int, *, encoder: str = "vgg16", width: int = 64, dropout: float = 0.5
) -> SegmentationNetwork:
    """Build a DeepLab-LargeFOV; the paper's CRF is not part of the network.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16 as in the paper, another VGG, or an smp encoder that can dilate.
        width: channels of the first stage of a VGG, 4 to 256; the two wide layers have 16 times as many.
        dropout: share of features dropped in training after each wide layer.

    Raises:
        OptionError: no such encoder or width, or one that cannot dilate.
    """
    trunk = DilatedTrunk("deeplabv1", encoder, in_channels, width)
    return SegmentationNetwork(_DeepLabV1(trunk, classes, hidden_channels(width), dropout), stride=8)


class _DeepLabV1(nn.Module):
    def __init__(self, trunk: DilatedTrunk, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.wide = LargeFOV(trunk.channels, hidden, 12, dropout)
        self.classifier = nn.Conv2d(hidden, classes, 1)
        initialise(self.wide)
        gaussian(self.classifier, 0.01)

    def forward(self, image: Tensor) -> Tensor:
        return upsample(self.classifier(self.wide(self.trunk(image))), image)
