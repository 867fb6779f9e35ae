"""Small parts that several architectures share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_block(before: int, after: int, *, norm: bool = True, dilation: int = 1) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size, BatchNorm if asked for, and ReLU."""
    conv = nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation)
    return [conv, *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU(inplace=True)]


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear upsampling to the size of another map, by pixel areas whatever that size is."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """Kaiming-normal convolutions (He et al. 2015, arXiv:1502.01852) without bias, BatchNorm as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


class Deconvolution(nn.ConvTranspose2d):
    """Learnable bilinear upsampling by an even factor: a transposed convolution that begins as interpolation.

    The kernel has twice the factor's side and does not mix the channels at first (Shelhamer et al. 2017, section 4.3).

    Args:
        channels: of input and output.
        factor: even, 2 or more.
        learn: False to keep it bilinear.
    """

    def __init__(self, channels: int, factor: int, *, learn: bool = True) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
        self.weight.requires_grad_(learn)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the bilinear kernel."""
        size = self.kernel_size[0]
        factor = size // 2
        line = 1 - (torch.arange(size) + 0.5 - factor).abs() / factor
        self.weight.zero_()
        channels = torch.arange(self.in_channels)
        self.weight[channels, channels] = line[:, None] * line


class PoolWithSwitches(nn.Module):
    """2x2 max pooling that also says where each maximum was (Zeiler and Fergus 2014, arXiv:1311.2901)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maxima (N, C, H / 2, W / 2), and their flat places in the map (N, C, H / 2, W / 2)."""
        pooled, switches = F.max_pool2d(x, 2, return_indices=True)
        return pooled, switches

    def opened(self) -> nn.Module:
        """What stands for it when the reach is measured: any pixel of a window may be the one that passes."""
        return _OpenPool()


class Unpool(nn.Module):
    """Puts each value back where its maximum was; everything else is 0."""

    def forward(self, x: Tensor, switches: Tensor, size: torch.Size) -> Tensor:
        """A map (N, C, H, W) of `size` from (N, C, H / 2, W / 2)."""
        # A scatter does what max_unpool2d does, in any precision, and can be exported.
        flat = x.new_zeros(*x.shape[:2], size[-2] * size[-1])
        return flat.scatter(2, switches.flatten(2), x.flatten(2)).view(*x.shape[:2], *size[-2:])

    def opened(self) -> nn.Module:
        """What stands for it when the reach is measured: a value may come to any pixel of its window."""
        return _OpenUnpool()


class _OpenPool(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.avg_pool2d(x, 2)
        return pooled, pooled


class _OpenUnpool(nn.Module):
    def forward(self, x: Tensor, switches: Tensor, size: torch.Size) -> Tensor:
        return F.interpolate(x, size=size[-2:], mode="nearest")


def gaussian(conv: nn.Conv2d | nn.ConvTranspose2d, sigma: float) -> None:
    """Normal weights of a given spread and no bias, where a paper says so."""
    nn.init.normal_(conv.weight, std=sigma)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def scaled(width: int, canonical: int) -> int:
    """Channels of a layer that has `canonical` ones when the first level has 64.

    >>> scaled(8, canonical=512)
    64
    """
    return max(1, math.ceil(canonical * width / 64))
