"""What the DeepLabs share: rates, and a trunk that keeps a stride of 8."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models import _vgg
from geoseg.models._blocks import scaled
from geoseg.models._encoders import Features

_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


def atrous_rates(architecture: str, output_stride: int) -> tuple[int, int, int]:
    """The rates that the papers pair with a stride.

    Raises:
        OptionError: another stride than 8 or 16.
    """
    if output_stride not in _RATES:
        raise OptionError(f"{architecture} has output stride {output_stride}; it must be 8 or 16")
    return _RATES[output_stride]


class DilatedTrunk(nn.Module):
    """An encoder whose deepest map has stride 8.

    A VGG as in DeepLab V1: its poolings are 3x3, the last two keep the size, the convolutions between them are dilated
    by 2, and a 3x3 mean follows. Any other encoder is dilated by smp.

    Attributes:
        channels: of the map.
        is_vgg: True for the form of the paper.

    Args:
        architecture: what asks for it, for error messages.
        encoder: name of a VGG or of an smp encoder that can dilate.
        in_channels: number of bands.
        width: channels of the first stage of a VGG; the paper has 64.

    Raises:
        OptionError: no such encoder or width, or one that cannot dilate.
    """

    def __init__(self, architecture: str, encoder: str, in_channels: int, width: int) -> None:
        super().__init__()
        _vgg.require_width(architecture, width)
        self.is_vgg = encoder in _vgg.NAMES
        self.encoder: nn.Module
        if self.is_vgg:
            trunk = _vgg.VGG(encoder, in_channels, width, pool=_pool, dilations=(1, 1, 1, 1, 2))
            self.encoder, self.channels = trunk, trunk.channels[-1]
        else:
            features = Features(architecture, encoder, in_channels, output_stride=8)
            self.encoder, self.channels = features, features.channels[-1]

    def forward(self, image: Tensor) -> Tensor:
        """The map of stride 8 (N, channels, H / 8, W / 8)."""
        deepest: Tensor = self.encoder(image)[-1]
        return deepest


def _pool(stage: int) -> nn.Module:
    pool = nn.MaxPool2d(3, stride=2 if stage < 3 else 1, padding=1)
    return nn.Sequential(pool, nn.AvgPool2d(3, stride=1, padding=1)) if stage == 4 else pool


class LargeFOV(nn.Sequential):
    """Two wide layers that stand for the fully connected ones of VGG: a dilated 3x3 and a 1x1 convolution.

    Args:
        before: channels of the trunk.
        hidden: channels of both layers.
        rate: dilation of the first.
        dropout: share of features dropped in training after each.
    """

    def __init__(self, before: int, hidden: int, rate: int, dropout: float) -> None:
        super().__init__(
            nn.Conv2d(before, hidden, 3, padding=rate, dilation=rate),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )


def hidden_channels(width: int) -> int:
    """Channels of the layers that stand for the fully connected ones; 1024 in the paper."""
    return scaled(width, 1024)
