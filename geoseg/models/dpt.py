"""Dense prediction transformer: Ranftl et al. 2021, Vision Transformers for Dense Prediction (arXiv:2103.13413)."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._encoders import require_encoder
from geoseg.models._network import SegmentationNetwork
from geoseg.models._smp import smp_body

ABOUT = About(
    title="DPT",
    paper="Ranftl et al. 2021, arXiv:2103.13413",
    summary="a plain vision transformer, four of its layers reassembled into maps and fused from coarse to fine",
    context="global",
    encoders="vit",
)


def build(
    in_channels: int, classes: int, *, encoder: str = "tu-vit_small_patch16_224", channels: int = 256
) -> SegmentationNetwork:
    """Build a DPT: every token sees every other, in windows of any size.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: "tu-" and the name of a plain vision transformer of timm, with 16-pixel tokens.
        channels: of the decoder.

    Raises:
        OptionError: no such encoder, or not a vision transformer.
    """
    require_encoder(encoder)
    if not encoder.startswith("tu-"):
        raise OptionError(f"dpt needs a vision transformer and '{encoder}' is none; take tu-vit_small_patch16_224")
    body = smp_body(
        "dpt",
        smp.DPT,
        encoder,
        in_channels,
        decoder_fusion_channels=channels,
        decoder_intermediate_channels=(channels, 2 * channels, 4 * channels, 4 * channels),
        classes=classes,
        dynamic_img_size=True,
    )
    # What classifies whole images would be weights that never learn.
    body.encoder.model.prune_intermediate_layers(body.encoder._output_indices, prune_norm=True, prune_head=True)
    return SegmentationNetwork(body, stride=32, sees_all=True)
