"""SegFormer: Xie et al. 2021, SegFormer (arXiv:2105.15203)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="SegFormer",
    paper="Xie et al. 2021, arXiv:2105.15203",
    summary="a mix transformer (mit_b0 to mit_b5), its four maps brought to stride 4 and joined by 1x1 convolutions",
    context="global",
    encoders="any",
)


def build(in_channels: int, classes: int, *, encoder: str = "mit_b0", channels: int = 256) -> SegmentationNetwork:
    """Build a SegFormer.

    With a mix transformer it sees the whole window; with a convolutional encoder such as resnet18 only as far as that.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: mit_b0 to mit_b5 as in the paper, another smp encoder, or "tu-" and the name of a timm model.
        channels: of the decoder.

    Raises:
        OptionError: no such encoder.
    """
    body = smp_body(
        "segformer",
        smp.Segformer,
        encoder,
        in_channels,
        decoder_segmentation_channels=channels,
        classes=classes,
    )
    return SegmentationNetwork(body, stride=32, sees_all=encoder.startswith("mit_"))
