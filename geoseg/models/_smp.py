"""Architectures of segmentation-models-pytorch, with the contract of geoseg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPPPooling
from segmentation_models_pytorch.decoders.dpt.decoder import DPTSegmentationHead, FusionBlock
from segmentation_models_pytorch.decoders.fpn.decoder import Conv3x3GNReLU
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from segmentation_models_pytorch.decoders.upernet.decoder import PSPModule
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.models._blocks import upsample
from geoseg.models._context import AreaPool
from geoseg.models._encoders import explained, require_encoder, try_sizes

DECODER_CHANNELS = (256, 128, 64, 32, 16)
"""Channels of the U-shaped decoders, deepest first."""


def smp_body(
    architecture: str,
    model: Callable[..., Any],
    encoder: str,
    in_channels: int,
    *,
    dilates_to: int | None = None,
    **options: Any,
) -> Any:
    """Build a network of smp, without weights, that upsamples by pixel areas and whose global mean can be fixed.

    Args:
        architecture: geoseg's name for it, for error messages.
        model: smp's class.
        encoder: name of the encoder.
        in_channels: number of bands.
        dilates_to: the stride that the encoder is to keep, None for its own.
        **options: of the class.

    Raises:
        OptionError: no such encoder, or one that does not fit.
    """
    require_encoder(encoder)
    with explained(architecture, encoder, dilates_to=dilates_to):
        body = model(encoder_name=encoder, encoder_weights=None, in_channels=in_channels, **options)
        if encoder.startswith("tu-"):
            try_sizes(body.encoder, in_channels)
    _replace_blocks(body)
    return body


def require_depth(architecture: str, depth: int) -> None:
    """Refuse a depth that smp's U-shaped networks do not have.

    Raises:
        OptionError: not 3, 4 or 5.
    """
    if depth not in (3, 4, 5):
        raise OptionError(f"{architecture} has depth {depth}; it must be 3, 4 or 5")


def _replace_blocks(network: nn.Module) -> None:
    """Make every upsampling independent of the window's size, and every pooling over the window one that can be fixed.

    With `align_corners=True`, the default of several decoders, the place that an output pixel looks at depends on how
    large the window is, so windows of different size disagree.
    """
    for module in network.modules():
        if isinstance(module, nn.Upsample):
            module.align_corners = None if module.mode == "nearest" else False
        elif getattr(module, "align_corners", None):
            setattr(module, "align_corners", False)  # noqa: B010
        for name, child in module.named_children():
            if type(child) in _REPLACED:
                setattr(module, name, _REPLACED[type(child)](child))


# Each of these holds the layers of the block it replaces, under the same names, and differs in its upsampling or in its
# pooling only.


class _ImagePooling(nn.Sequential):
    def __init__(self, block: Any) -> None:
        super().__init__(AreaPool(), *list(block)[1:])

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        for layer in self:
            x = layer(x)
        return x.expand(-1, -1, *size)


class _Pyramid(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(AreaPool(pool.output_size), *rest) for pool, *rest in block.blocks)
        self.out_conv = block.out_conv

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.out_conv(torch.cat([x, *(upsample(block(x), x) for block in self.blocks)], 1))
        return joined


class _PyramidBin(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.pool = nn.Sequential(AreaPool(block.pool_size), *block.pool[1:])

    def forward(self, x: Tensor) -> Tensor:
        return upsample(self.pool(x), x)


class _PyramidConvolution(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block.block
        self._factor = 2 if block.upsample else 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return F.interpolate(x, scale_factor=self._factor, mode="bilinear", align_corners=False)


class _Fusion(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.residual_conv_block1 = block.residual_conv_block1
        self.residual_conv_block2 = block.residual_conv_block2
        self.project = block.project

    def forward(self, feature: Tensor, deeper: Tensor | None = None) -> Tensor:
        x = self.residual_conv_block1(feature)
        x = self.residual_conv_block2(x if deeper is None else x + deeper)
        projected: Tensor = self.project(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        return projected


class _FusionHead(nn.Module):
    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head.head
        self._factor = head.upsampling_factor

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.head(x), scale_factor=self._factor, mode="bilinear", align_corners=False)


_REPLACED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    ASPPPooling: _ImagePooling,
    PSPBlock: _PyramidBin,
    PSPModule: _Pyramid,
    Conv3x3GNReLU: _PyramidConvolution,
    FusionBlock: _Fusion,
    DPTSegmentationHead: _FusionHead,
}
