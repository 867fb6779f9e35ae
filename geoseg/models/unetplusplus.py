"""U-Net++ with any convolutional encoder: Zhou et al. 2018, UNet++ (arXiv:1807.10165)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import DECODER_CHANNELS, require_depth, smp_body

ABOUT = About(
    title="U-Net++",
    paper="Zhou et al. 2018, arXiv:1807.10165",
    summary="a U-Net whose skips are dense chains of convolutions, so that what is joined is alike in depth",
    context="local",
    encoders="convolutional",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", depth: int = 5) -> SegmentationNetwork:
    """Build a U-Net++: between encoder and decoder lies a triangle of nested, densely connected U-Nets.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model, with features at every stride.
        depth: 3 to 5 halvings; the stride is 2 to this power.

    Raises:
        OptionError: no such encoder or depth.
    """
    require_depth("unetplusplus", depth)
    body = smp_body(
        "unetplusplus",
        smp.UnetPlusPlus,
        encoder,
        in_channels,
        encoder_depth=depth,
        decoder_channels=DECODER_CHANNELS[:depth],
        classes=classes,
    )
    return SegmentationNetwork(body, stride=2**depth)
