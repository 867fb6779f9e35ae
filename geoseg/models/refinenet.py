"""RefineNet: Lin et al. 2017, Multi-Path Refinement Networks (arXiv:1611.06612)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._blocks import initialise, upsample
from geoseg.models._encoders import Features
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="RefineNet",
    paper="Lin et al. 2017, arXiv:1611.06612",
    summary="four paths, coarse to fine, of residual units, fusion with the next finer features and chained pooling",
    context="local",
    encoders="any",
)


def build(
    in_channels: int,
    classes: int,
    *,
    encoder: str = "resnet34",
    width: int = 256,
    output_units: int = 3,
    dropout: float = 0.5,
) -> SegmentationNetwork:
    """Build a RefineNet of four paths.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model; resnet101 in the paper.
        width: channels of the three finer paths, 4 or more; the coarsest has twice as many.
        output_units: residual units at the end of each path, 1 or more; the authors' networks have 3, the paper 1.
        dropout: share of features dropped in training before the classifier.

    Raises:
        OptionError: no such encoder, width or number of units.
    """
    if width < 4 or output_units < 1:
        raise OptionError(f"refinenet has width {width} and {output_units} output units; it needs 4 and 1 or more")
    features = Features("refinenet", encoder, in_channels)
    return SegmentationNetwork(_RefineNet(features, classes, width, output_units, dropout), stride=32)


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), without BatchNorm.

    Its last convolution begins at zero, so an untrained unit is the identity; without it the many sums of a RefineNet
    begin with very large logits.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        result: Tensor = x + self.last(self.relu(self.first(self.relu(x))))
        return result


class ChainedPooling(nn.Module):
    """The sum of relu(x) and of four links, each a 5x5 max pooling and a convolution of the link before.

    The convolutions begin at zero, as the last ones of `ResidualUnit`.
    """

    def __init__(self, channels: int, links: int = 4) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.convolutions = nn.ModuleList(_conv(channels, channels) for _ in range(links))

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        link: Tensor = self.relu(x)
        total = link
        for convolution in self.convolutions:
            link = convolution(self.pool(link))
            total = total + link
        return total


class Fusion(nn.Module):
    """Brings the finer and the coarser path to as many channels as the thinner has, and adds them at the finer size."""

    def __init__(self, finer: int, coarser: int) -> None:
        super().__init__()
        self.finer = _conv(finer, min(finer, coarser))
        self.coarser = _conv(coarser, min(finer, coarser))

    def forward(self, finer: Tensor, coarser: Tensor) -> Tensor:
        """Features of the finer map's size."""
        own: Tensor = self.finer(finer)
        return own + upsample(self.coarser(coarser), own)


class _RefineNet(nn.Module):
    def __init__(self, features: Features, classes: int, width: int, output_units: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        # Finest first: strides 4, 8, 16 and 32.
        widths = (width, width, width, 2 * width)
        self.adapt = nn.ModuleList(
            nn.Sequential(_conv(before, after), ResidualUnit(after), ResidualUnit(after))
            for before, after in zip(features.channels[1:], widths, strict=True)
        )
        self.fuse = nn.ModuleList(Fusion(*pair) for pair in pairwise(widths))
        self.refine = nn.ModuleList(
            nn.Sequential(ChainedPooling(channels), *(ResidualUnit(channels) for _ in range(output_units)))
            for channels in widths
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(width, classes, 3, padding=1))
        for part in (self.adapt, self.fuse, self.refine, self.head):
            initialise(part)
        _begin_as_identity(self)

    def forward(self, image: Tensor) -> Tensor:
        paths = [adapt(x) for adapt, x in zip(self.adapt, self.features(image)[1:], strict=True)]
        x = self.refine[-1](paths.pop())
        for fuse, refine in zip(self.fuse[::-1], self.refine[-2::-1], strict=True):
            x = refine(fuse(paths.pop(), x))
        return upsample(self.head(x), image)


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def _begin_as_identity(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            nn.init.zeros_(module.last.weight)
        elif isinstance(module, ChainedPooling):
            for convolution in module.convolutions:
                nn.init.zeros_(convolution.get_parameter("weight"))
