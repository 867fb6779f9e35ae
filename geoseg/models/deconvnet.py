"""DeconvNet: Noh et al. 2015, Learning Deconvolution Network for Semantic Segmentation (arXiv:1505.04366)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models import _vgg
from geoseg.models._about import About
from geoseg.models._blocks import Deconvolution, Unpool, gaussian, initialise, scaled
from geoseg.models._encoders import Features
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="DeconvNet",
    paper="Noh et al. 2015, arXiv:1505.04366",
    summary="a VGG with its wide layers, then unpooling and transposed convolutions in mirrored order",
    context="local",
    encoders="any",
)

_STAGES = ((64, 64), (128, 64), (256, 256, 128), (512, 512, 256), (512, 512, 512))
"""Channels after each transposed convolution of the stages, finest first."""

Unpooling = Literal["indices", "transpose", "nearest"]


def build(
    in_channels: int,
    classes: int,
    *,
    encoder: str = "vgg16_bn",
    unpool: Unpooling | None = None,
    width: int = 64,
) -> SegmentationNetwork:
    """Build a DeconvNet, the convolutional encoder-decoder without skips.

    The paper's wide layers shrink a 224-pixel image to one place; here they keep the size, with as many weights, so
    that scenes of any size fit.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16_bn as in the paper, another VGG, an smp encoder, or "tu-" and the name of a timm model.
        unpool: "indices" puts values back where the maxima were, on a VGG only; "transpose" learns the upsampling;
            "nearest" repeats. None takes the first that fits.
        width: channels of the first stage, 4 to 256; the two wide layers of a VGG have 64 times as many, those of
            other encoders 8 times.

    Raises:
        OptionError: no such encoder, width or unpooling, or places of maxima where there are none.
    """
    _vgg.require_width("deconvnet", width)
    chosen = unpool or ("indices" if encoder in _vgg.NAMES else "transpose")
    if chosen not in ("indices", "transpose", "nearest"):
        raise OptionError(f"deconvnet has unpool '{chosen}'; it must be indices, transpose or nearest")
    if chosen == "indices":
        _vgg.require_vgg("deconvnet", encoder)
    return SegmentationNetwork(_DeconvNet(encoder, in_channels, classes, chosen, width), stride=32)


class _DeconvNet(nn.Module):
    def __init__(self, encoder: str, in_channels: int, classes: int, unpool: Unpooling, width: int) -> None:
        super().__init__()
        is_vgg = encoder in _vgg.NAMES
        if unpool == "indices":
            switched = _vgg.SwitchedVGG(encoder, in_channels, width)
            self.encoder: nn.Module = switched
            before = switched.channels[-1]
        else:
            features = _Deepest("deconvnet", encoder, in_channels, width)
            self.encoder, before = features, features.channels
        hidden, top = scaled(width, 4096 if is_vgg else 512), scaled(width, 512)
        self.wide = nn.Sequential(
            *_normalised(nn.Conv2d(before, hidden, 7, padding=3), hidden),
            *_normalised(nn.Conv2d(hidden, hidden, 1), hidden),
            *_normalised(nn.ConvTranspose2d(hidden, top, 7, padding=3), top),
        )
        stages = [tuple(scaled(width, count) for count in stage) for stage in _STAGES]
        inputs = [*(stage[-1] for stage in stages[1:]), top]
        self.unpool = nn.ModuleList(_unpooling(unpool, channels) for channels in inputs)
        self.decoder = nn.ModuleList(_stage(first, *stage) for first, stage in zip(inputs, stages, strict=True))
        self.classifier = nn.Conv2d(stages[0][-1], classes, 1)
        initialise(self.wide)
        initialise(self.classifier)

    def forward(self, image: Tensor) -> Tensor:
        x, stages = self.encoder(image)
        x = self.wide(x)
        for unpool, convolutions, (switches, size) in zip(
            self.unpool[::-1], self.decoder[::-1], reversed(stages), strict=True
        ):
            x = convolutions(unpool(x, switches, size))
        logits: Tensor = self.classifier(x)
        return logits


class _Deepest(nn.Module):
    """Any encoder as one that gives its deepest map, and nothing to say where maxima were."""

    def __init__(self, architecture: str, encoder: str, in_channels: int, width: int) -> None:
        super().__init__()
        vgg = encoder in _vgg.NAMES
        self.encoder = _vgg.VGG(encoder, in_channels, width) if vgg else Features(architecture, encoder, in_channels)
        self.channels = self.encoder.channels[-1]

    def forward(self, image: Tensor) -> tuple[Tensor, list[tuple[None, torch.Size]]]:
        height, width = image.shape[-2:]
        sizes = [torch.Size((height >> level, width >> level)) for level in range(5)]
        return self.encoder(image)[-1], [(None, size) for size in sizes]


def _unpooling(kind: Unpooling, channels: int) -> nn.Module:
    if kind == "indices":
        return Unpool()
    return _Upsampling(Deconvolution(channels, 2) if kind == "transpose" else nn.Upsample(scale_factor=2))


class _Upsampling(nn.Module):
    """Upsampling that needs to know nothing of the pooling it undoes."""

    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.up = up

    def forward(self, x: Tensor, switches: None, size: torch.Size) -> Tensor:
        upsampled: Tensor = self.up(x)
        return upsampled


def _stage(before: int, *channels: int) -> nn.Sequential:
    """Transposed 3x3 convolutions that keep the size."""
    layers: list[nn.Module] = []
    for after in channels:
        conv = nn.ConvTranspose2d(before, after, 3, padding=1)
        gaussian(conv, 0.01)
        layers += _normalised(conv, after)
        before = after
    return nn.Sequential(*layers)


def _normalised(conv: nn.Module, channels: int) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
