"""What runs a network, one file per runtime, found by file name.

Each file has `open_model(source, device, threads, *, margin, compiled)` that returns a `Runtime`, and `missing()` that
names the packages it lacks. Files that begin with an underscore are what they share. Neither this file nor a runtime
that finds its graph in the cache imports torch.
"""

from __future__ import annotations

import ctypes
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoseg import registry
from geoseg.errors import GeosegError, OptionError
from geoseg.model import Model, ModelSpec

logger = logging.getLogger(__name__)

PREFERRED_ON_CPU = ("openvino", "onnx", "torch")
"""The fastest first."""


class RuntimeUnfitError(GeosegError):
    """A runtime that cannot run a network, or does not give the labels that torch gives."""


class Runtime(Protocol):
    """Runs a network on batches of scaled windows.

    Attributes:
        name: of its file in `geoseg.prediction.runtimes`.
        spec: of the model.
    """

    name: str
    spec: ModelSpec

    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities, calibrated, of scaled windows (N, C, H, W) of any H and W.

        Returns:
            (N, K, H - 2 m, W - 2 m), without the margin m that the runtime was opened with.
        """
        ...

    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Index of the most probable class (N, H - 2 m, W - 2 m) of scaled windows (N, C, H, W) of any H and W."""
        ...

    def memory(self, height: int, width: int, batch: int = 1) -> int:
        """Bytes, about, that a batch of windows takes at its peak beside the network itself; of the GPU on a GPU."""
        ...

    def room(self) -> int | None:
        """Bytes that are free on a GPU; None on a CPU, where windows lie in the memory of the process."""
        ...


def runtimes() -> tuple[str, ...]:
    """Names of the runtimes that can be asked for, installed or not."""
    return registry.names(__name__)


def open_runtime(
    name: str,
    source: str | Path | Model,
    device: str = "auto",
    threads: int | None = None,
    *,
    margin: int = 0,
    compiled: bool = False,
) -> Runtime:
    """Open a model in the runtime a user asked for.

    Args:
        name: "auto" or one of `runtimes()`; "auto" is torch on a GPU, and on a CPU the fastest that is installed and
            gives the labels that torch gives.
        source: a model file, or a model that is loaded already.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: of the CPU, None for what the runtime thinks best.
        margin: pixels on each side of a window that nobody asks about, a multiple of the model's stride; what only they
            need is not computed.
        compiled: let torch compile the network for a GPU, which takes up to a minute.

    Raises:
        OptionError: no such runtime or device, its package is not installed, or it does not run on that device.
        RuntimeUnfitError: the runtime was asked for by name and the network does not fit it.
        ModelError: as `load_model`.
    """
    if name == "auto":
        return _first_fit(source, device, threads, margin, compiled)
    runtime = registry.load(__name__, name)
    lacking = runtime.missing()
    if lacking:
        raise OptionError(
            f"the runtime {name} needs {' and '.join(lacking)}, not installed here; pip install 'geoseg[{name}]'"
        )
    if name != "torch" and device.startswith("cuda"):
        raise OptionError(f"the runtime {name} runs on the CPU; take --runtime torch with --device {device}")
    opened: Runtime = runtime.open_model(source, device, threads, margin=margin, compiled=compiled)
    return opened


def _first_fit(source: str | Path | Model, device: str, threads: int | None, margin: int, compiled: bool) -> Runtime:
    on_gpu = device.startswith("cuda") or (device == "auto" and has_gpu())
    for name in () if on_gpu else PREFERRED_ON_CPU[:-1]:
        if registry.load(__name__, name).missing():
            continue
        try:
            return open_runtime(name, source, "cpu", threads, margin=margin)
        except RuntimeUnfitError as error:
            logger.warning("%s; torch runs it instead", error)
            break
    return open_runtime("torch", source, device, threads, margin=margin, compiled=compiled)


def has_gpu() -> bool:
    """Whether torch sees a GPU; torch is not asked, nor imported, where there is no driver."""
    driver = Path("/dev/kfd").exists()
    with suppress(OSError):
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        driver = True
    if not driver:
        return False
    from geoseg.device import choose_device

    return choose_device("auto").type != "cpu"
