"""MA-Net with any encoder of smp or timm: Fan et al. 2020, MA-Net (doi:10.1109/ACCESS.2020.3025372)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import DECODER_CHANNELS, require_depth, smp_body

ABOUT = About(
    title="MA-Net",
    paper="Fan et al. 2020, doi:10.1109/ACCESS.2020.3025372",
    summary="a U-Net that attends over all places of its deepest map, and over channels where features meet",
    context="global",
    encoders="any",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", depth: int = 5) -> SegmentationNetwork:
    """Build an MA-Net: a U-Net with position-wise and multi-scale channel attention.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model.
        depth: 3 to 5 halvings; the stride is 2 to this power.

    Raises:
        OptionError: no such encoder or depth.
    """
    require_depth("manet", depth)
    body = smp_body(
        "manet",
        smp.MAnet,
        encoder,
        in_channels,
        encoder_depth=depth,
        decoder_channels=DECODER_CHANNELS[:depth],
        classes=classes,
    )
    return SegmentationNetwork(body, stride=2**depth, sees_all=True)
