"""Run a network on windows: in eager torch, and eight times for test-time augmentation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from geoseg.model import Model
from geoseg.prediction.engine import Network


class TorchNetwork:
    """The network of a model in eager torch."""

    def __init__(self, model: Model, device: torch.device) -> None:
        """Put the network on `device`."""
        self._network = model.network.eval().to(device).to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, K, H, W) of scaled windows (N, C, H, W)."""
        found: npt.NDArray[np.float32] = self._logits(values).float().softmax(1).cpu().numpy()
        return found

    @torch.inference_mode()
    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Most probable class index (N, H, W)."""
        # Twelve times faster on a CPU than argmax, with the same result.
        found: npt.NDArray[np.uint8] = self._logits(values).max(1).indices.to(torch.uint8).cpu().numpy()
        return found

    def _logits(self, values: npt.NDArray[np.float32]) -> torch.Tensor:
        image = torch.from_numpy(values).to(self._device, memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._device.type == "cuda"):
            logits: torch.Tensor = self._network(image)
        return logits


class Turned:
    """A network that is asked about all eight flips and rotations of a window; the mean of its probabilities counts.

    The sides of a window are multiples of the network's stride, so that its samples fall on the same pixels each time.
    """

    def __init__(self, network: Network) -> None:
        """Ask `network`."""
        self._network = network

    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, K, H, W) of scaled windows (N, C, H, W)."""
        total: npt.NDArray[np.float32] | None = None
        for turn in range(4):
            for flip in (False, True):
                turned = np.rot90(values, turn, axes=(2, 3))
                asked = np.ascontiguousarray(turned[..., ::-1] if flip else turned)
                found = self._network.probabilities(asked)
                back = np.rot90(found[..., ::-1] if flip else found, -turn, axes=(2, 3))
                total = back.copy() if total is None else total + back
        assert total is not None  # noqa: S101 - there are eight
        return total / np.float32(8)

    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Most probable class index (N, H, W)."""
        found: npt.NDArray[np.uint8] = self.probabilities(values).argmax(1).astype(np.uint8)
        return found
