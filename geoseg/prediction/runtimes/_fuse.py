"""Fold each BatchNorm into the convolution before it: the same network with fewer steps."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoseg.grid import round_up
from geoseg.models._network import SegmentationNetwork

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest logit."""


@torch.no_grad()
def fused(network: SegmentationNetwork, in_channels: int) -> SegmentationNetwork:
    """A copy of a network in evaluation mode with every BatchNorm folded that alone takes what a convolution gives.

    The two are found by running the network once on a small window, and the copy is compared with the network on it.
    Where they differ the network itself is copied as it is.

    Args:
        network: any network, on the CPU; it is left as it is.
        in_channels: its number of bands.
    """
    plain = copy.deepcopy(network).eval() if network.training else network
    # Neither side a multiple of two strides: rows and columns that a fold treats differently show.
    side = round_up(max(plain.min_size, 64), plain.stride)
    image = torch.randn(1, in_channels, side, side + plain.stride, generator=torch.Generator().manual_seed(0))
    expected, pairs = _pairs(plain, image)
    if not pairs:
        return copy.deepcopy(plain)
    folded = copy.deepcopy(plain)
    for convolution, norm in pairs:
        _fold(folded, convolution, norm)
    difference = float((folded(image) - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not difference <= TOLERANCE:
        logger.debug("with BatchNorm folded the network differs by %.1e; it runs as it is", difference)
        return copy.deepcopy(plain)
    return folded


class _Consumers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that take each tensor; it keeps the tensors, so that no two have one identity."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taken: Counter[int] = Counter()
        self.kept: list[Tensor] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = {id(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        self.taken.update(tensors.keys())
        self.kept += tensors.values()
        return function(*args, **(kwargs or {}))


def _pairs(network: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Logits of an image, and the names of convolutions with the BatchNorm that alone takes their output."""
    made: dict[int, str] = {}
    norms: list[tuple[int, str]] = []
    calls: Counter[str] = Counter()
    consumers = _Consumers()
    hooks = []
    for name, module in network.named_modules():
        # A subclass may do more than its base: weights of its own making, an activation.
        if type(module) in (nn.Conv2d, nn.ConvTranspose2d):

            def after(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
                calls[name] += 1
                made[id(output)] = name
                consumers.kept.append(output)

            hooks.append(module.register_forward_hook(after))
        elif _is_foldable(module):

            def before(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                calls[name] += 1
                norms.append((id(inputs[0]), name))

            hooks.append(module.register_forward_pre_hook(before))
    try:
        with consumers:
            logits = network(image)
    finally:
        for hook in hooks:
            hook.remove()
    pairs = [(made[tensor], norm) for tensor, norm in norms if tensor in made and consumers.taken[tensor] == 1]
    return logits, [(conv, norm) for conv, norm in pairs if calls[conv] == 1 and calls[norm] == 1]


def _is_foldable(module: nn.Module) -> bool:
    if not isinstance(module, nn.BatchNorm2d) or module.running_mean is None:
        return False
    return type(module) is nn.BatchNorm2d or _has_activation(module)


def _has_activation(norm: nn.Module) -> bool:
    """Whether this is timm's BatchNorm with a dropout and an activation behind it."""
    return type(norm).__name__ == "BatchNormAct2d" and hasattr(norm, "drop") and hasattr(norm, "act")


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    before, after = network.get_submodule(convolution), network.get_submodule(norm)
    transposed = isinstance(before, nn.ConvTranspose2d)
    _replace(network, convolution, fuse_conv_bn_eval(before, after, transposed))  # type: ignore[type-var,arg-type]
    rest = nn.Sequential(after.drop, after.act) if _has_activation(after) else nn.Identity()  # type: ignore[arg-type]
    _replace(network, norm, rest)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
