"""How much memory a window takes in a network."""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoseg.grid import round_up
from geoseg.models._network import SegmentationNetwork

SIDES = (512, 1024)
SMALL_SIDES = (128, 256)


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Bytes that windows take: `linear` for each pixel, and `square` for each pair of pixels (attention)."""

    linear: float
    square: float = 0.0

    def bytes(self, height: int, width: int, batch: int = 1) -> int:
        """Bytes of a batch of windows."""
        pixels = height * width
        return int(batch * (self.linear * pixels + self.square * pixels**2))


def memory_of(network: SegmentationNetwork, in_channels: int) -> MemoryModel:
    """How the largest sum of tensors alive at once grows with the window.

    Two windows are sent through a copy of the network that has shapes and no values, which takes neither memory nor
    time; small ones through the network itself where an operation needs values. What the libraries below allocate
    within one operation is not seen.

    Args:
        network: on any device; it is left as it is.
        in_channels: its number of bands.
    """
    try:
        empty = copy.deepcopy(network).to("meta")
        (first, few), (second, many) = (_peak(empty, in_channels, side, "meta") for side in SIDES)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        real = copy.deepcopy(network).cpu()
        (first, few), (second, many) = (_peak(real, in_channels, side, "cpu") for side in SMALL_SIDES)
    # An architecture whose least window is larger than both gives one point, not two.
    square = max((second / many - first / few) / (many - few), 0.0) if many > few else 0.0
    return MemoryModel(first / few - square * few, square)


def _peak(network: SegmentationNetwork, in_channels: int, side: int, device: str) -> tuple[int, int]:
    """Bytes and pixels of a window."""
    side = round_up(max(side, network.min_size), network.stride)
    alive = _Alive()
    with torch.no_grad(), alive:
        network(torch.empty(1, in_channels, side, side, device=device))
    return alive.peak, side * side


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the storages that operations make, until they are let go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size
