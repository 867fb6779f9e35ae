"""How much memory a window takes in a network."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoseg.grid import round_up
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction.runtimes._heads import Points

SIDES = (256, 512, 1024, 2048, 4096)
SMALL_SIDES = (128, 256)


def memory_of(network: SegmentationNetwork, in_channels: int) -> Points:
    """How the largest sum of tensors alive at once grows with the window.

    Windows are sent through a copy of the network that has shapes and no values, which takes neither memory nor time;
    small ones through the network itself where an operation needs values, and what larger ones take follows from a
    share for each pixel and one for each pair of pixels (attention). What the libraries below allocate within one
    operation is not seen.

    Args:
        network: on any device; it is left as it is.
        in_channels: its number of bands.

    Returns:
        (pixels, bytes) of some windows, smallest first, for `bytes_of`.
    """
    try:
        empty = copy.deepcopy(network).to("meta")
        return sorted({_peak(empty, in_channels, side, "meta") for side in SIDES})
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        real = copy.deepcopy(network).cpu()
        few, many = (_peak(real, in_channels, side, "cpu") for side in SMALL_SIDES)
    # An architecture whose least window is larger than both gives one point, not two.
    square = max((many[1] / many[0] - few[1] / few[0]) / (many[0] - few[0]), 0.0) if many[0] > few[0] else 0.0
    linear = few[1] / few[0] - square * few[0]
    return [(side**2, int(linear * side**2 + square * side**4)) for side in SIDES]


def _peak(network: SegmentationNetwork, in_channels: int, side: int, device: str) -> tuple[int, int]:
    """Pixels and bytes of a window."""
    side = round_up(max(side, network.min_size, 2 * network.margin + network.stride), network.stride)
    alive = _Alive()
    with torch.no_grad(), alive:
        network(torch.empty(1, in_channels, side, side, device=device))
    return side * side, alive.peak


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
