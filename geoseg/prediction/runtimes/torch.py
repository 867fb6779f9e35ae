"""PyTorch, on a CPU or a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from geoseg.device import choose_device
from geoseg.model import Model, load_model
from geoseg.models._inner import inner
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction.runtimes._fuse import fused
from geoseg.prediction.runtimes._heads import bytes_of
from geoseg.prediction.runtimes._memory import memory_of

logger = logging.getLogger(__name__)


def missing() -> tuple[str, ...]:
    """Nothing: torch comes with geoseg."""
    return ()


def open_model(
    source: str | Path | Model, device: str, threads: int | None = None, *, margin: int = 0, compiled: bool = False
) -> TorchRuntime:
    """Open a model; see `geoseg.prediction.runtimes.open_runtime`."""
    if threads is not None:
        torch.set_num_threads(threads)
    model = source if isinstance(source, Model) else load_model(source)
    return TorchRuntime(model, choose_device(device), margin, compiled)


class TorchRuntime:
    """A network without its BatchNorm, channels last; in half precision on a GPU."""

    name = "torch"

    def __init__(self, model: Model, device: torch.device, margin: int = 0, compiled: bool = False) -> None:
        """Put a copy of the model's network on `device`, and compile it if it is a GPU."""
        self.spec = model.spec
        self.device = device
        self._temperature = float(getattr(model.spec, "temperature", 1.0))
        bands = len(model.spec.bands)
        plain = inner(fused(model.network, bands), margin, bands)
        self._memory = memory_of(plain, bands)
        # channels_last has rank 4 in mind: other parameters are left alone.
        self._network: SegmentationNetwork = plain.to(device).to(memory_format=torch.channels_last)
        self._half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        if compiled and device.type == "cuda":
            self._network.compile(dynamic=False)

    @torch.inference_mode()
    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, K, H, W), calibrated, of scaled windows (N, C, H, W)."""
        logits = self._logits(values).float()
        if self._temperature != 1:
            logits = logits / self._temperature
        found: npt.NDArray[np.float32] = logits.softmax(1).cpu().numpy()
        return found

    @torch.inference_mode()
    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Index of the most probable class (N, H, W) of scaled windows (N, C, H, W)."""
        # Twelve times faster on a CPU than argmax, with the same result.
        indices: npt.NDArray[np.uint8] = self._logits(values).max(1).indices.to(torch.uint8).cpu().numpy()
        return indices

    def memory(self, height: int, width: int, batch: int = 1) -> int:
        """Bytes, about, that a batch of windows takes at its peak beside the network itself."""
        return bytes_of(self._memory, height, width, batch)

    def room(self) -> int | None:
        """Bytes that are free on a GPU; None on a CPU, where windows lie in the memory of the process."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None

    def _logits(self, values: npt.NDArray[np.float32]) -> torch.Tensor:
        image = torch.from_numpy(values).to(self.device, memory_format=torch.channels_last)
        with torch.autocast("cuda", self._half, enabled=self.device.type == "cuda"):
            logits: torch.Tensor = self._network(image)
        return logits
