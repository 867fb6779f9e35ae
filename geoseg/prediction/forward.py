"""Run a network on windows, and what refines its outputs."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch

from geoseg.model import Model
from geoseg.prediction.crf import CrfOptions, refine


class Forwarder:
    """Runs the network of a model, and a CRF if asked for, on one window after another."""

    def __init__(self, model: Model, device: torch.device, crf: CrfOptions | None = None) -> None:
        """Put the network on `device`."""
        self.spec = model.spec
        self.seconds = 0.0
        self._crf = crf
        self._network = model.network.eval().to(device).to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def probabilities(self, values: npt.NDArray[np.float32]) -> torch.Tensor:
        """Class probabilities (classes, rows, cols) of scaled bands (bands, rows, cols)."""
        image = torch.from_numpy(values)[None].to(self._device, memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self._network(image)
        probabilities: torch.Tensor = (logits[0].float() / self.spec.temperature).softmax(0)
        return probabilities

    def classes(
        self, values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], kept: tuple[slice, slice]
    ) -> npt.NDArray[np.uint8]:
        """Most probable class index of the `kept` part (rows, cols) of a window, see `read_window`."""
        start = time.monotonic()
        probabilities = self.probabilities(values)
        if self._crf is None:
            probabilities = probabilities[(slice(None), *kept)]
        else:
            probabilities = self._refined(probabilities, values, valid, kept, self._crf)
        # Twelve times faster on a CPU than argmax, with the same result.
        indices = probabilities.max(0).indices.to(torch.uint8).cpu().numpy()
        self.seconds += time.monotonic() - start
        return indices

    def _refined(
        self,
        probabilities: torch.Tensor,
        values: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        kept: tuple[slice, slice],
        crf: CrfOptions,
    ) -> torch.Tensor:
        """Probabilities of the `kept` part after the CRF, which is given its halo around that part and no more."""
        around = tuple(slice(part.start - crf.halo, part.stop + crf.halo) for part in kept)
        inner = tuple(slice(crf.halo, part.stop - part.start + crf.halo) for part in kept)
        image = torch.from_numpy(values[(slice(None), *around)]).to(self._device)
        known = torch.from_numpy(valid[around]).to(self._device)
        return refine(probabilities[(slice(None), *around)], image, known, crf)[(slice(None), *inner)]
