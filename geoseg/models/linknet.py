"""LinkNet with any convolutional encoder: Chaurasia and Culurciello 2017, LinkNet (arXiv:1707.03718)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import require_depth, smp_body

ABOUT = About(
    title="LinkNet",
    paper="Chaurasia and Culurciello 2017, arXiv:1707.03718",
    summary="a light U-shaped network that adds encoder features where a U-Net concatenates them",
    context="local",
    encoders="convolutional",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", depth: int = 5) -> SegmentationNetwork:
    """Build a LinkNet: each decoder stage upsamples by transposed convolution and adds the encoder's features.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model, with features at every stride.
        depth: 3 to 5 halvings; the stride is 2 to this power.

    Raises:
        OptionError: no such encoder or depth.
    """
    require_depth("linknet", depth)
    body = smp_body("linknet", smp.Linknet, encoder, in_channels, encoder_depth=depth, classes=classes)
    return SegmentationNetwork(body, stride=2**depth)
