"""PSPNet as in the paper: Zhao et al. 2017, Pyramid Scene Parsing Network (arXiv:1612.01105)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="PSPNet",
    paper="Zhao et al. 2017, arXiv:1612.01105",
    summary="a dilated encoder of stride 8, its map pooled in 1, 2, 3 and 6 bins a side and joined with them",
    context="global",
    encoders="dilating",
    pools=True,
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", dropout: float = 0.2) -> SegmentationNetwork:
    """Build a PSPNet: a dilated encoder of stride 8 over all five stages, pooled in bins of 1, 2, 3 and 6.

    smp's default pools the third stage and leaves the deeper ones unused; this is the paper's form. It sees the whole
    window (global context), so windows of prediction should have the size of a training chip or more.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder that can dilate, such as the resnets.
        dropout: share of features dropped in training, before the classifier.

    Raises:
        OptionError: no such encoder, or one that cannot dilate.
    """
    body = smp_body(
        "pspnet",
        smp.PSPNet,
        encoder,
        in_channels,
        dilates_to=8,
        encoder_depth=5,
        output_stride=8,
        psp_dropout=dropout,
        upsampling=8,
        classes=classes,
    )
    # The deepest bin grid has 6 cells a side; fewer features than that would repeat them.
    return SegmentationNetwork(body, stride=8, min_size=48, sees_all=True)
