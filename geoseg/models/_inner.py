"""Networks that answer for the inner part of a window only, and leave out the work that nobody looks at.

The margin of a window is there for the deep layers, which look far. The last layers look a few pixels to each side, so
they can do without almost all of it. They are also the large ones: in a U-Net on a resnet18 the decoder takes half of
the time, and with the first features most of the memory.
"""

from __future__ import annotations

import copy

import torch
from segmentation_models_pytorch import Unet
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn

from geoseg.models._network import SegmentationNetwork
from geoseg.models.unet_compact import CompactUNet, cut

TOLERANCE = 1e-4
"""Largest difference of logits from those of the whole network, relative to the largest logit."""

_KEPT = 2
"""Cells kept around the inner part before a block doubles them: its two convolutions, and what the next one needs."""


@torch.no_grad()
def inner(network: SegmentationNetwork, margin: int, in_channels: int) -> SegmentationNetwork:
    """A copy of a network whose logits leave out a margin of its input: (N, C, H, W) to (N, K, H - 2 m, W - 2 m).

    Args:
        network: in evaluation mode, on the CPU; it is left as it is.
        margin: m, pixels on each side, a multiple of the network's stride.
        in_channels: its number of bands.
    """
    if not margin:
        return network
    least = max(2 * margin + network.stride, network.min_size)
    image = torch.randn(1, in_channels, least, least + network.stride, generator=torch.Generator().manual_seed(0))
    expected = _Cut(margin)(network(image))
    whole, own = nn.Sequential(network.body, _Cut(margin)), _inner_body(network.body, margin)
    found = _like(network, own or whole, margin)
    # What a network is made of may be more than its type says: a hook, a block of another kind.
    apart = float((found(image) - expected).abs().max())
    return found if apart <= TOLERANCE * float(expected.abs().max().clamp(min=1e-12)) else _like(network, whole, margin)


def _like(network: SegmentationNetwork, body: nn.Module, margin: int) -> SegmentationNetwork:
    sizes = {"stride": network.stride, "min_size": network.min_size, "min_batch": network.min_batch}
    found = SegmentationNetwork(copy.deepcopy(body), **sizes, sees_all=network.sees_all, margin=margin)
    return found.train(network.training)


def _inner_body(body: nn.Module, margin: int) -> nn.Module | None:
    """The body with a decoder that follows the inner part, None for those that have none."""
    if isinstance(body, CompactUNet):
        own = copy.copy(body)
        own.margin = margin
        return own
    return _InnerUnet(body, margin) if isinstance(body, Unet) and _is_plain(body) else None


def _is_plain(unet: Unet) -> bool:
    """Whether the decoder looks around by its convolutions alone, and each feature has half the side of the last."""
    blocks = list(unet.decoder.blocks)
    return (
        all(type(block) is UnetDecoderBlock and block.interpolation_mode == "nearest" for block in blocks)
        and len(unet.encoder.out_channels) == len(blocks) + 1
        and unet.encoder.output_stride == 2 ** len(blocks)
    )


class _InnerUnet(nn.Module):
    """A U-Net of smp; its features are let go once they were used."""

    def __init__(self, unet: Unet, margin: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = unet.encoder, unet.decoder, unet.segmentation_head
        self._margin = margin

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(image)[1:]
        x = self.decoder.center(features.pop())
        around = self._margin >> len(self.decoder.blocks)
        for number, block in enumerate(self.decoder.blocks):
            kept = min(_KEPT, around)
            x = cut(x, around - kept)
            around = 2 * kept
            beyond = (self._margin >> (len(self.decoder.blocks) - number - 1)) - around
            skip = cut(features.pop(), beyond) if features else None
            x = block(x, 2 * x.shape[-2], 2 * x.shape[-1], skip)
        logits: Tensor = cut(self.head(x), around)
        return logits


class _Cut(nn.Module):
    def __init__(self, margin: int) -> None:
        super().__init__()
        self._margin = margin

    def forward(self, logits: Tensor) -> Tensor:
        return cut(logits, self._margin)
