"""SegNet: Badrinarayanan et al. 2017, SegNet (arXiv:1511.00561)."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models import _vgg
from geoseg.models._about import About
from geoseg.models._blocks import Unpool, conv_block, initialise
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="SegNet",
    paper="Badrinarayanan et al. 2017, arXiv:1511.00561",
    summary="a VGG and its mirror image; each pooling hands the places of its maxima to the matching unpooling",
    context="local",
    encoders="vgg",
)


def build(
    in_channels: int, classes: int, *, encoder: str = "vgg16_bn", depth: int = 5, width: int = 64
) -> SegmentationNetwork:
    """Build a SegNet: as many unpoolings as poolings, convolutions between them, no skips and no wide layers.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16_bn as in the paper, or another VGG; without _bn the decoder has no BatchNorm either.
        depth: 1 to 5 poolings; the stride is 2 to this power.
        width: channels of the first stage, 4 to 256.

    Raises:
        OptionError: not a VGG, or no such depth or width.
    """
    _vgg.require_vgg("segnet", encoder)
    _vgg.require_width("segnet", width)
    if not 1 <= depth <= 5:
        raise OptionError(f"segnet has depth {depth}; it must be 1 to 5")
    return SegmentationNetwork(_SegNet(encoder, in_channels, classes, depth, width), stride=2**depth)


class _SegNet(nn.Module):
    def __init__(self, encoder: str, in_channels: int, classes: int, depth: int, width: int) -> None:
        super().__init__()
        self.encoder = _vgg.SwitchedVGG(encoder, in_channels, width, depth)
        self.unpool = Unpool()
        channels = self.encoder.channels
        norm = encoder.endswith("_bn")
        stages = [
            _mirrored(count, channels[stage], channels[stage - 1], norm=norm)
            for stage, count in enumerate(_vgg.layout(encoder)[:depth])
            if stage
        ]
        first = _mirrored(_vgg.layout(encoder)[0] - 1, channels[0], channels[0], norm=norm)
        self.decoder = nn.ModuleList([nn.Sequential(first, nn.Conv2d(channels[0], classes, 3, padding=1)), *stages])
        initialise(self.decoder)

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor
        x, stages = self.encoder(image)
        for convolutions, (switches, size) in zip(self.decoder[::-1], reversed(stages), strict=True):
            x = convolutions(self.unpool(x, switches, size))
        return x


def _mirrored(count: int, channels: int, after: int, *, norm: bool) -> nn.Sequential:
    """`count` convolutions, of which the last has the channels of the next finer stage."""
    layers: list[nn.Module] = []
    for number in range(count):
        layers += conv_block(channels, after if number == count - 1 else channels, norm=norm)
    return nn.Sequential(*layers)
