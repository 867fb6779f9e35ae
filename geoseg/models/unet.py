"""U-Net with any encoder of smp or timm: Ronneberger et al. 2015, U-Net (arXiv:1505.04597)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.errors import OptionError
from geoseg.models._encoders import require_encoder
from geoseg.models._network import SegmentationNetwork, align_by_pixel_areas
from geoseg.raster import first_line


def build(in_channels: int, classes: int, *, encoder: str = "resnet34", depth: int = 5) -> SegmentationNetwork:
    """Build a U-Net: encoder features of every stride are upsampled, concatenated and convolved twice.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model.
        depth: 3 to 5 halvings; the stride is 2 to this power.

    Raises:
        OptionError: no such encoder or depth.
    """
    require_encoder(encoder)
    if depth not in (3, 4, 5):
        raise OptionError(f"unet has depth {depth}; it must be 3, 4 or 5")
    try:
        body = smp.Unet(
            encoder_name=encoder,
            encoder_depth=depth,
            encoder_weights=None,
            decoder_channels=(256, 128, 64, 32, 16)[:depth],
            in_channels=in_channels,
            classes=classes,
        )
    except (ValueError, TypeError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"unet cannot take the encoder '{encoder}' at depth {depth}: {first_line(error)}; take a resnet or convnext"
        ) from error
    align_by_pixel_areas(body)
    return SegmentationNetwork(body, stride=2**depth)
