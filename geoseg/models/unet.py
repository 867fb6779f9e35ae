"""U-Net with any encoder of smp or timm: Ronneberger et al. 2015, U-Net (arXiv:1505.04597)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import DECODER_CHANNELS, require_depth, smp_body

ABOUT = About(
    title="U-Net",
    paper="Ronneberger et al. 2015, arXiv:1505.04597",
    summary="encoder features of every stride are upsampled, concatenated and convolved twice",
    context="local",
    encoders="any",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", depth: int = 5) -> SegmentationNetwork:
    """Build a U-Net: encoder features of every stride are upsampled, concatenated and convolved twice.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model.
        depth: 3 to 5 halvings; the stride is 2 to this power.

    Raises:
        OptionError: no such encoder or depth.
    """
    require_depth("unet", depth)
    body = smp_body(
        "unet",
        smp.Unet,
        encoder,
        in_channels,
        encoder_depth=depth,
        decoder_channels=DECODER_CHANNELS[:depth],
        classes=classes,
    )
    return SegmentationNetwork(body, stride=2**depth)
