"""Test-time augmentation: the mean over what a network says of a window turned and flipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.prediction.engine import Network, most_probable


class Turned:
    """A network that is asked about all eight flips and rotations of a window; the mean of its probabilities counts.

    The sides of a window are multiples of the network's stride, so that its samples fall on the same pixels each time.
    """

    def __init__(self, network: Network) -> None:
        """Ask `network`."""
        self._network = network

    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, K, H, W) of scaled windows (N, C, H, W)."""
        total = sum(self._asked(values, turn, flip) for turn in range(4) for flip in (False, True))
        return np.asarray(total, np.float32) / np.float32(8)

    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Most probable class index (N, H, W)."""
        return np.stack([most_probable(one) for one in self.probabilities(values)])

    def _asked(self, values: npt.NDArray[np.float32], turn: int, flip: bool) -> npt.NDArray[np.float32]:
        turned = np.rot90(values, turn, axes=(2, 3))
        found = self._network.probabilities(np.ascontiguousarray(turned[..., ::-1] if flip else turned))
        return np.rot90(found[..., ::-1] if flip else found, -turn, axes=(2, 3))
