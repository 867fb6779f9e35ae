"""PSPNet as in the paper: Zhao et al. 2017, Pyramid Scene Parsing Network (arXiv:1612.01105)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.errors import OptionError
from geoseg.models._encoders import require_encoder
from geoseg.models._network import SegmentationNetwork, align_by_pixel_areas


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
    require_encoder(encoder)
    try:
        body = smp.PSPNet(
            encoder_name=encoder,
            encoder_depth=5,
            encoder_weights=None,
            output_stride=8,
            psp_dropout=dropout,
            upsampling=8,
            in_channels=in_channels,
            classes=classes,
        )
    except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"pspnet needs an encoder that can dilate and '{encoder}' cannot; take a resnet or efficientnet"
        ) from error
    align_by_pixel_areas(body)
    # The deepest bin grid has 6 cells a side; fewer features than that would repeat them.
    return SegmentationNetwork(body, stride=8, min_size=48)
