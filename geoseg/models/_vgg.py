"""VGG networks as trunks: Simonyan and Zisserman 2015, Very Deep Convolutional Networks (arXiv:1409.1556).

Layers are numbered as torchvision and smp number them, so weights trained for classification fit by name.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models._blocks import PoolWithSwitches, conv_block, initialise, scaled
from geoseg.registry import suggestion

_LAYOUTS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)

NAMES = tuple(name + norm for name in _LAYOUTS for norm in ("", "_bn"))
"""The encoders of this file."""


def layout(name: str) -> tuple[int, ...]:
    """Convolutions in each of the five stages."""
    return _LAYOUTS[name.removesuffix("_bn")]


def channels(width: int) -> tuple[int, ...]:
    """Channels of the five stages, for `width` in the first."""
    return tuple(scaled(width, count) for count in _CHANNELS)


def require_vgg(architecture: str, encoder: str) -> None:
    """Refuse what is no VGG, for networks that need its pooling.

    Raises:
        OptionError: another encoder.
    """
    if encoder not in NAMES:
        raise OptionError(
            f"{architecture} unpools with the places of its encoder's max pooling, which '{encoder}' does not have; "
            f"{suggestion(encoder, NAMES)}"
        )


def require_width(architecture: str, width: int) -> None:
    """Refuse widths that cannot be.

    Raises:
        OptionError: less than 4 or more than 256.
    """
    if not 4 <= width <= 256:
        raise OptionError(f"{architecture} has width {width}; it must be 4 to 256")


class _Layers(nn.Module):
    """The convolutions and poolings of the first `depth` stages, as one numbered list."""

    def __init__(
        self,
        name: str,
        in_channels: int,
        width: int,
        pool: Callable[[int], nn.Module],
        dilations: tuple[int, ...] = (1, 1, 1, 1, 1),
        depth: int = 5,
    ) -> None:
        super().__init__()
        self.channels = channels(width)
        layers: list[nn.Module] = []
        self._poolings = []
        before = in_channels
        for stage, count in enumerate(layout(name)[:depth]):
            for _ in range(count):
                after = self.channels[stage]
                layers += conv_block(before, after, norm=name.endswith("_bn"), dilation=dilations[stage])
                before = after
            self._poolings.append(len(layers))
            layers.append(pool(stage))
        self.features = nn.Sequential(*layers)
        initialise(self)


class VGG(_Layers):
    """A VGG without its classifier.

    Attributes:
        channels: of the five stages.

    Args:
        name: one of `NAMES`.
        in_channels: number of bands.
        width: channels of the first stage; the paper has 64.
        pool: the pooling after stage 0 to 4; as in the paper when None.
        dilations: of the convolutions of each stage.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        width: int = 64,
        *,
        pool: Callable[[int], nn.Module] | None = None,
        dilations: tuple[int, ...] = (1, 1, 1, 1, 1),
    ) -> None:
        super().__init__(name, in_channels, width, pool or (lambda _: nn.MaxPool2d(2)), dilations)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The outputs of the five poolings, finest first."""
        pooled = []
        x = image
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self._poolings:
                pooled.append(x)
        return pooled


class SwitchedVGG(_Layers):
    """The first stages of a VGG, whose poolings say where each maximum was.

    Args:
        name: one of `NAMES`.
        in_channels: number of bands.
        width: channels of the first stage; the paper has 64.
        depth: number of stages, 1 to 5.
    """

    def __init__(self, name: str, in_channels: int, width: int = 64, depth: int = 5) -> None:
        super().__init__(name, in_channels, width, lambda _: PoolWithSwitches(), depth=depth)

    def forward(self, image: Tensor) -> tuple[Tensor, list[tuple[Tensor, torch.Size]]]:
        """The deepest map; and per stage, finest first, the places of the maxima and the size before pooling."""
        stages = []
        x = image
        for number, layer in enumerate(self.features):
            if number in self._poolings:
                size = x.shape
                x, switches = layer(x)
                stages.append((switches, size))
            else:
                x = layer(x)
        return x, stages
