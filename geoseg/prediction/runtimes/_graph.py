"""Networks as graphs that run without torch: what OpenVINO and ONNX Runtime share.

The graph is the body of a network, for windows of any size that it can take; what a body cannot take is padded here.
Making it needs torch, once per model file: see `_cache` and `_export`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoseg.model import Model, ModelSpec, read_spec
from geoseg.prediction.runtimes import RuntimeUnfitError
from geoseg.prediction.runtimes._cache import find_or_make, key_of
from geoseg.prediction.runtimes._heads import Floats, bytes_of, most_probable, pad, softmax

Infer = Callable[[Floats], Floats]
"""Logits (N, K, H, W) of windows (N, C, H, W); they may be overwritten by the next call."""


class Backend(Protocol):
    """What a graph runtime knows of its graphs.

    Attributes:
        name: of the runtime.
        overhead: bytes that it takes at its peak for each that torch has in tensors.
    """

    name: str
    overhead: float

    def versions(self) -> tuple[str, ...]:
        """What makes an old graph unusable when it changes."""
        ...

    def write(self, body: object, example: object, folder: Path) -> None:
        """Write the graph of a module for windows of any size into a folder, given an example of its input."""
        ...

    def load(self, folder: Path, threads: int | None) -> Infer:
        """Open the graph in a folder."""
        ...


class GraphRuntime:
    """A graph, and what turns its logits into labels and probabilities."""

    def __init__(self, backend: Backend, source: str | Path | Model, threads: int | None, margin: int) -> None:
        """Find the graph of a model in the cache, or make it there, with answers that leave out a margin.

        Raises:
            RuntimeUnfitError: the graph cannot be made, or does not give the labels that torch gives.
        """
        self.name, self._overhead = backend.name, backend.overhead
        self.spec: ModelSpec = source.spec if isinstance(source, Model) else read_spec(source)
        self._temperature = float(getattr(self.spec, "temperature", 1.0))

        def make(folder: Path) -> dict[str, object]:
            from geoseg.prediction.runtimes._export import export

            return export(backend, source, folder, threads, margin)

        folder, about = find_or_make(_key(backend, source, margin), make)
        if about["refused"]:
            name = source.name if isinstance(source, Model) else source
            raise RuntimeUnfitError(f"{name}: the runtime {self.name} does not fit: {about['refused']}")
        self._stride, self._min_size = int(about["stride"]), int(about["min_size"])
        self._margin, self._points = margin, about["memory"]
        self._infer = backend.load(folder, threads)

    def probabilities(self, values: Floats) -> Floats:
        """Class probabilities (N, K, H, W), calibrated, of scaled windows (N, C, H, W)."""
        return softmax(self._logits(values), self._temperature)

    def classes(self, values: Floats) -> npt.NDArray[np.uint8]:
        """Index of the most probable class (N, H, W) of scaled windows (N, C, H, W)."""
        return most_probable(self._logits(values))

    def memory(self, height: int, width: int, batch: int = 1) -> int:
        """Bytes, about, that a batch of windows takes at its peak beside the network itself."""
        return int(self._overhead * bytes_of(self._points, height, width, batch))

    def room(self) -> None:
        """None: graphs run on the CPU."""

    def _logits(self, values: Floats) -> Floats:
        height, width = values.shape[-2:]
        logits = self._infer(pad(values, self._stride, self._min_size))
        return logits[..., : height - 2 * self._margin, : width - 2 * self._margin]


def _key(backend: Backend, source: str | Path | Model, margin: int) -> str:
    from geoseg import __version__

    versions = (backend.name, __version__, str(margin), *backend.versions())
    if not isinstance(source, Model):
        return key_of(Path(source), *versions)
    # Two networks may have the same weights, or none, and differ in what they do with them.
    kinds = [
        f"{name}: {type(part).__module__}.{type(part).__qualname__}" for name, part in source.network.named_modules()
    ]
    weights = source.network.state_dict()
    content = "\n".join([*kinds, repr(source.network)]).encode()
    content += b"".join(name.encode() + weights[name].cpu().numpy().tobytes() for name in sorted(weights))
    return key_of(source.spec.to_json().encode() + content, *versions)
