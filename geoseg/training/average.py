"""The moving average of a network's weights, which is what is validated and kept."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of weights and buffers, moved on in a few calls whatever the number of layers.

    Attributes:
        module: a network that holds the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self.follow(network)

    def follow(self, network: nn.Module) -> None:
        """Take the tensors of `network`, which moving it to a device may have replaced, and its device."""
        self.module.to(next(network.parameters()).device)
        pairs = [
            (mine, theirs.detach())
            for mine, theirs in zip(
                chain(self.module.parameters(), self.module.buffers()),
                chain(network.parameters(), network.buffers()),
                strict=True,
            )
        ]
        self._numbers = _columns([pair for pair in pairs if pair[0].is_floating_point()])
        self._counts = _columns([pair for pair in pairs if not pair[0].is_floating_point()])

    @torch.no_grad()
    def update(self, first: bool) -> None:
        """Move on by a step; the first one sets the average."""
        if first:
            torch._foreach_copy_(*self._numbers)
        else:
            torch._foreach_lerp_(*self._numbers, 1 - self._decay)
        for mine, theirs in zip(*self._counts, strict=True):
            mine.copy_(theirs)


def _columns(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
