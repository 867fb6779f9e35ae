"""Encoders from segmentation-models-pytorch and timm, checked before they are built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models import _vgg
from geoseg.models._about import Encoders
from geoseg.raster import first_line
from geoseg.registry import suggestion

_UNDILATING = ("vgg", "densenet", "inception", "xception")


def fitting(kind: Encoders) -> tuple[str, ...]:
    """Encoders of smp that fit a kind of architecture; those of timm are too many to tell.

    Args:
        kind: a key of `geoseg.models._about.FITTING`.
    """
    # smp has the timm- ones under newer names too.
    known = tuple(name for name in sorted(smp.encoders.get_encoder_names()) if not name.startswith("timm-"))
    dilating = tuple(name for name in known if not name.startswith(_UNDILATING))
    names: dict[str, tuple[str, ...]] = {
        "any": known,
        "convolutional": tuple(name for name in known if not name.startswith("mit_")),
        "dilating": dilating,
        "vgg": _vgg.NAMES,
        "vgg or dilating": (*_vgg.NAMES, *dilating),
    }
    return names.get(kind, ())


def require_encoder(name: str) -> None:
    """Refuse an encoder that smp and timm do not have.

    Raises:
        OptionError: suggests the nearest name.
    """
    if name.startswith("tu-"):
        import timm

        known = [f"tu-{model}" for model in timm.list_models()]
    else:
        known = sorted(smp.encoders.get_encoder_names())
    if name not in known:
        # There are hundreds; the list of those that fit is told where there is room for it.
        near = suggestion(name, known).partition("There are: ")[0].strip()
        hint = " ".join(filter(None, (near, "geoseg models NAME lists those that fit a network")))
        raise OptionError(f"there is no encoder '{name}'; {hint}")


@contextmanager
def explained(architecture: str, encoder: str, *, dilates_to: int | None = None) -> Iterator[None]:
    """Turn what smp and timm raise for an encoder that does not fit into one sentence.

    Args:
        architecture: what is being built.
        encoder: with what.
        dilates_to: the stride that the encoder is to keep by dilation, None for its own.

    Raises:
        OptionError: says what fits instead.
    """
    try:
        yield
    except OptionError:
        raise
    except (ValueError, TypeError, RuntimeError, AssertionError, NotImplementedError, AttributeError) as error:
        if dilates_to is not None:
            raise OptionError(
                f"{architecture} needs an encoder that can dilate to a stride of {dilates_to} and '{encoder}' cannot; "
                "take a resnet or efficientnet"
            ) from error
        raise OptionError(
            f"{architecture} cannot take the encoder '{encoder}': {first_line(error)}; take a resnet or convnext"
        ) from error


@torch.no_grad()
def try_sizes(encoder: nn.Module, in_channels: int) -> None:
    """Let an encoder fail that takes images of one size only, as some transformers of timm do.

    Args:
        encoder: (N, C, H, W) to a list of maps; must take sides that are multiples of 32.
        in_channels: number of bands.
    """
    device = next(encoder.parameters()).device
    encoder.eval()
    encoder(torch.zeros(1, in_channels, 64, 96, device=device))
    encoder.train()


class Features(nn.Module):
    """An encoder of smp or timm as a list of maps at strides 2, 4, 8, 16 and 32.

    Attributes:
        channels: of each map; 0 where the encoder has none at that stride.

    Args:
        architecture: what asks for it, for error messages.
        name: of the encoder.
        in_channels: number of bands.
        output_stride: 32, or 16 or 8 to dilate instead of going deeper.

    Raises:
        OptionError: no such encoder, or one that cannot do this.
    """

    def __init__(self, architecture: str, name: str, in_channels: int, output_stride: int = 32) -> None:
        super().__init__()
        require_encoder(name)
        with explained(architecture, name, dilates_to=output_stride if output_stride < 32 else None):
            self.encoder = smp.encoders.get_encoder(
                name, in_channels=in_channels, depth=5, weights=None, output_stride=output_stride
            )
            if name.startswith("tu-"):
                try_sizes(self.encoder, in_channels)
        self.channels = tuple(self.encoder.out_channels[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five maps, finest first."""
        features: list[Tensor] = list(self.encoder(image))
        return features[1:]


def pooled_features(architecture: str, name: str, in_channels: int, width: int) -> _vgg.VGG | Features:
    """A VGG as in its paper, whose maps are the outputs of its poolings, or any other encoder.

    Raises:
        OptionError: no such encoder, or one that does not fit.
    """
    _vgg.require_width(architecture, width)
    return _vgg.VGG(name, in_channels, width) if name in _vgg.NAMES else Features(architecture, name, in_channels)
