"""Pyramid attention network: Li et al. 2018, Pyramid Attention Network for Semantic Segmentation (arXiv:1805.10180)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="PAN",
    paper="Li et al. 2018, arXiv:1805.10180",
    summary="pyramid attention over the deepest map; deeper features choose the channels of finer ones",
    context="global",
    encoders="dilating",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34") -> SegmentationNetwork:
    """Build a PAN: an encoder dilated to stride 16, feature pyramid attention, and global attention upsampling.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder that can dilate, such as the resnets.

    Raises:
        OptionError: no such encoder, or one that cannot dilate.
    """
    body = smp_body("pan", smp.PAN, encoder, in_channels, dilates_to=16, classes=classes)
    # The attention halves the map of stride 16 three times more.
    return SegmentationNetwork(body, stride=128, min_batch=2, sees_all=True)
