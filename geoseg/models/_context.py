"""Means over the whole window, which may be taken otherwise so that all windows of a scene agree.

A network that pools over its window says something else of a pixel in each window that holds it. Two other means make
it agree with itself, without training it anew; what is left of it then looks at pixels up to some distance only:

- "chip": at each place the mean of what is around it, as far as a training chip goes. It is what the network has seen
  in training, and takes no second pass.
- "scene": the mean over the scene, found in a first pass (Liu et al. 2015, ParseNet, arXiv:1506.04579, whose mean is
  that of the image).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.grid import round_up

if TYPE_CHECKING:
    from geoseg.models._network import SegmentationNetwork


class AreaPool(nn.Module):
    """Means of k x k cells that share out the window, or at each place the mean of a cell of fixed side around it.

    Where a window of training has the middle of a cell both are the same; between the middles the one is interpolated
    and the other runs. With a mean of the scene, too, the finer cells of a pyramid stay as large on the ground as they
    were in training. Cells that share out the scene would be exact as well, but k is 6 at most: of a scene of thousands
    of pixels they would have sides of hundreds, which the network has never seen.

    Attributes:
        cells: k, of a window's side. A network has at most one with a single cell, on the map of its stride.
        side: of a running cell, in features, odd; None for k x k cells.
        fixed: (C,) or (1,), what to give whatever the window holds; None for means.
    """

    def __init__(self, cells: int = 1) -> None:
        super().__init__()
        self.cells = cells
        self.side: int | None = None
        self.fixed: Tensor | None = None
        self._stops = False

    def forward(self, features: Tensor) -> Tensor:
        """Of features (N, C, h, w) means (N, C, k, k), of running cells (N, C, h, w), or what is fixed (N, C, 1, 1)."""
        if self._stops:
            raise _Reached(features)
        if self.fixed is not None:
            return self.fixed.to(features).view(1, -1, 1, 1).expand(*features.shape[:2], 1, 1)
        if self.side is None:
            return F.adaptive_avg_pool2d(features, self.cells)
        half = self.side // 2
        # One axis after the other, as the mean over a rectangle is the mean of the means of its rows.
        down = F.avg_pool2d(features, (self.side, 1), stride=1, padding=(half, 0), count_include_pad=False)
        return F.avg_pool2d(down, (1, self.side), stride=1, padding=(0, half), count_include_pad=False)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Let the network end here: it raises what the pool was given."""
        self._stops = True
        try:
            yield
        finally:
            self._stops = False


class _Reached(Exception):  # noqa: N818 - it tells of no error
    """Carries what a pool was given out of a network that need not go on."""

    def __init__(self, features: Tensor) -> None:
        super().__init__("the pool was reached")
        self.features = features


def global_pool(network: nn.Module) -> AreaPool | None:
    """What takes the mean over the window in a network, None where nothing does or it is no `AreaPool`."""
    return next((module for module in _pools(network) if module.cells == 1), None)


def pooled_features(network: SegmentationNetwork, image: Tensor) -> Tensor:
    """What the mean over the window is taken of: (N, C, h, w) of an image (N, bands, H, W), one per `stride` pixels.

    The image is padded as it is in `SegmentationNetwork.forward`. What comes after the pool is not computed.

    Raises:
        LookupError: the network has no such mean.
    """
    pool = global_pool(network)
    if pool is None:
        raise LookupError("the network takes no mean over the window")
    with pool.stopping():
        try:
            network(image)
        except _Reached as reached:
            return reached.features
    raise LookupError("the network goes by its pool")


@contextmanager
def agreeing(network: SegmentationNetwork, chip_size: int, mean: Tensor | None = None) -> Iterator[None]:
    """Let the means of a network depend on the place and not on the window, for a while; see `settle`."""
    try:
        settle(network, chip_size, mean)
        yield
    finally:
        for pool in _pools(network):
            pool.side = pool.fixed = None


def settle(network: SegmentationNetwork, chip_size: int, mean: Tensor | None = None) -> None:
    """Let the means of a network depend on the place and not on the window, for good.

    Args:
        network: one with a mean over the window.
        chip_size: side of the training chips, in pixels: cells have the size that they had in them.
        mean: of the pooled features over a scene (C,), or (1,) where only what depends on what is asked; None for
            running means of a chip's size.
    """
    across = round_up(max(chip_size, network.min_size), network.stride) / network.stride
    for pool in _pools(network):
        pool.side = _nearest_odd(across / pool.cells)
        pool.fixed = mean if pool.cells == 1 else None


def _pools(network: nn.Module) -> Iterator[AreaPool]:
    return (module for module in network.modules() if isinstance(module, AreaPool))


def _nearest_odd(length: float) -> int:
    """The odd whole number nearest to a length, so that what has it as its side has a middle.

    >>> [_nearest_odd(length) for length in (0.5, 5.3, 10.7, 16)]
    [1, 5, 11, 17]
    """
    return 2 * int(length / 2) + 1
