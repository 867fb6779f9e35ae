"""FPN for segmentation: Kirillov et al. 2019, Panoptic Feature Pyramid Networks (arXiv:1901.02446)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="FPN",
    paper="Kirillov et al. 2019, arXiv:1901.02446",
    summary="a top-down pyramid of encoder features, each level convolved up to stride 4 and summed",
    context="global",
    encoders="any",
)


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", dropout: float = 0.2) -> SegmentationNetwork:
    """Build a panoptic FPN's segmentation branch.

    Its GroupNorm takes the mean over the whole window, so windows of prediction should have the size of a training
    chip or more.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model.
        dropout: share of features dropped in training, before the classifier.

    Raises:
        OptionError: no such encoder.
    """
    body = smp_body("fpn", smp.FPN, encoder, in_channels, decoder_dropout=dropout, classes=classes)
    return SegmentationNetwork(body, stride=32, sees_all=True)
