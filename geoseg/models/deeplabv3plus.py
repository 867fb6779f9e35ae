"""DeepLab V3+: Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution (arXiv:1802.02611)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.models._about import About
from geoseg.models._deeplab import atrous_rates
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="DeepLab V3+",
    paper="Chen et al. 2018, arXiv:1802.02611",
    summary="DeepLab V3 with separable convolutions, joined with features of stride 4 for sharper borders",
    context="global",
    encoders="dilating",
    pools=True,
)


def build(
    in_channels: int,
    classes: int,
    *,
    encoder: str = "resnet34",
    output_stride: int = 16,
    channels: int = 256,
    dropout: float = 0.5,
) -> SegmentationNetwork:
    """Build a DeepLab V3+, the encoder-decoder form.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder that can dilate, such as the resnets.
        output_stride: 16 with the rates 6, 12 and 18, or 8 with 12, 24 and 36.
        channels: of the decoder.
        dropout: share of features dropped in training, after the atrous convolutions.

    Raises:
        OptionError: no such encoder, one that cannot dilate, or another stride.
    """
    body = smp_body(
        "deeplabv3plus",
        smp.DeepLabV3Plus,
        encoder,
        in_channels,
        decoder_atrous_rates=atrous_rates("deeplabv3plus", output_stride),
        dilates_to=output_stride,
        encoder_output_stride=output_stride,
        decoder_channels=channels,
        decoder_aspp_dropout=dropout,
        classes=classes,
    )
    return SegmentationNetwork(body, stride=output_stride, min_batch=2, sees_all=True)
