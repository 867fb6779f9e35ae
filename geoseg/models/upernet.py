"""UPerNet with any encoder of smp or timm: Xiao et al. 2018, Unified Perceptual Parsing (arXiv:1807.10221)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="UPerNet",
    paper="Xiao et al. 2018, arXiv:1807.10221",
    summary="pyramid pooling on the deepest map, then a feature pyramid whose levels are all joined",
    context="global",
    encoders="any",
    pools=True,
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", channels: int = 256) -> SegmentationNetwork:
    """Build a UPerNet.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model.
        channels: of the decoder.

    Raises:
        OptionError: no such encoder.
    """
    body = smp_body("upernet", smp.UPerNet, encoder, in_channels, decoder_channels=channels, classes=classes)
    return SegmentationNetwork(body, stride=32, min_batch=2, sees_all=True)
