"""DeepLab V2 with atrous spatial pyramid pooling: Chen et al. 2018, DeepLab (arXiv:1606.00915)."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.models._about import About
from geoseg.models._blocks import gaussian, initialise, upsample
from geoseg.models._deeplab import DilatedTrunk, LargeFOV, hidden_channels
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="DeepLab V2 (ASPP)",
    paper="Chen et al. 2018, arXiv:1606.00915",
    summary="the trunk of DeepLab V1; the logits of four branches of rates 6, 12, 18 and 24 are summed",
    context="local",
    encoders="vgg or dilating",
)

RATES = (6, 12, 18, 24)


def build(
    in_channels: int, classes: int, *, encoder: str = "vgg16", width: int = 64, dropout: float = 0.5
) -> SegmentationNetwork:
    """Build a DeepLab V2 (ASPP-L); the paper's CRF is not part of the network.

    On a VGG each branch has two wide layers before its classifier; on other encoders it is a single dilated
    convolution, as in the paper's form for ResNet-101.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16 or resnet101 as in the paper, another VGG, or an smp encoder that can dilate.
        width: channels of the first stage of a VGG, 4 to 256; its wide layers have 16 times as many.
        dropout: share of features dropped in training after each wide layer.

    Raises:
        OptionError: no such encoder or width, or one that cannot dilate.
    """
    trunk = DilatedTrunk("deeplabv2", encoder, in_channels, width)
    hidden = hidden_channels(width) if trunk.is_vgg else None
    return SegmentationNetwork(_DeepLabV2(trunk, classes, hidden, dropout), stride=8)


class _DeepLabV2(nn.Module):
    def __init__(self, trunk: DilatedTrunk, classes: int, hidden: int | None, dropout: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleList(_branch(trunk.channels, hidden, classes, rate, dropout) for rate in RATES)

    def forward(self, image: Tensor) -> Tensor:
        features = self.trunk(image)
        first, *others = (branch(features) for branch in self.branches)
        return upsample(sum(others, start=first), image)


def _branch(before: int, hidden: int | None, classes: int, rate: int, dropout: float) -> nn.Sequential:
    if hidden is None:
        wide = nn.Sequential()
        classifier = nn.Conv2d(before, classes, 3, padding=rate, dilation=rate)
    else:
        wide = LargeFOV(before, hidden, rate, dropout)
        classifier = nn.Conv2d(hidden, classes, 1)
    initialise(wide)
    gaussian(classifier, 0.01)
    return nn.Sequential(*wide, classifier)
