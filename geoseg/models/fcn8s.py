"""FCN-8s: Shelhamer et al. 2017, Fully Convolutional Networks (arXiv:1605.06211)."""

from __future__ import annotations

from geoseg.models._about import About
from geoseg.models._fcn import PAPER, fcn
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="FCN-8s",
    paper=PAPER,
    summary="scores of stride 32, upsampled and added to those of strides 16 and 8",
    context="local",
    encoders="any",
)


def build(
    in_channels: int,
    classes: int,
    *,
    encoder: str = "vgg16",
    width: int = 64,
    kernel: int | None = None,
    dropout: float = 0.5,
    learn_upsampling: bool = False,
) -> SegmentationNetwork:
    """Build an FCN-8s: scores of strides 32, 16 and 8 are added, coarse to fine.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: vgg16 as in the paper, another VGG, an smp encoder, or "tu-" and the name of a timm model.
        width: channels of the first stage of a VGG, 4 to 256; its two wide layers have 64 times as many.
        kernel: odd side of the first wide layer; 7 for a VGG and 3 for others when None.
        dropout: share of features dropped in training after each wide layer.
        learn_upsampling: False keeps the upsampling bilinear, as the authors' trained networks do.

    Raises:
        OptionError: no such encoder, width or kernel.
    """
    return fcn(
        8,
        in_channels,
        classes,
        encoder=encoder,
        width=width,
        kernel=kernel,
        dropout=dropout,
        learn_upsampling=learn_upsampling,
    )
