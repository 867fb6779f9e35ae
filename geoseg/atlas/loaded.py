"""What a worker process keeps: its number of threads and the network, loaded once."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import threading
from functools import lru_cache
from pathlib import Path

from geoseg import __version__
from geoseg.atlas.tasks import Recipe
from geoseg.errors import ClusterError, ModelError
from geoseg.model import load_model
from geoseg.prediction.budget import keep_freed_memory
from geoseg.prediction.context import choose_context, settled
from geoseg.prediction.runtimes import Runtime, open_runtime
from geoseg.raster import first_line, use_threads

logger = logging.getLogger(__name__)

_LOCK = threading.Lock()


def network(recipe: Recipe) -> Runtime:
    """The network of a recipe in its runtime; loaded when this process first needs it, and kept.

    Raises:
        ClusterError: this process runs another geoseg than the one that made the recipe.
        ModelError: the model file is another one here, or cannot be read.
    """
    with _LOCK:
        use_threads(recipe.threads)
        found = _loaded(
            recipe.model,
            recipe.model_hash,
            recipe.runtime,
            own_device(recipe.device),
            recipe.threads,
            recipe.global_context,
            recipe.cutting.unasked,
            recipe.version,
        )
        if found.name == "torch":
            import torch

            # The number belongs to the thread that asks, and a worker may have several.
            torch.set_num_threads(recipe.threads)
        return found


def model_hash(path: str | Path) -> str:
    """SHA-256 of a model file.

    Raises:
        ModelError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def own_device(asked: str) -> str:
    """The device of this process: of several GPUs, workers of one machine take one each in turn."""
    if asked != "cuda":
        return asked
    import torch
    from distributed import get_worker

    count = torch.cuda.device_count()
    try:
        number = get_worker().name  # workers that geoseg starts are numbered
    except ValueError:
        return asked
    return f"cuda:{number % count}" if count > 1 and isinstance(number, int) else asked


@lru_cache(maxsize=1)
def _loaded(
    model: str, digest: str, runtime: str, device: str, threads: int, global_context: str, unasked: int, version: str
) -> Runtime:
    if version != __version__:
        raise ClusterError(
            f"this worker runs geoseg {__version__} and the command geoseg {version}; install the same on both"
        )
    if not Path(model).is_file():
        raise ModelError(f"{model}: is not there on worker {_here()}; put it where all workers can read it")
    if model_hash(model) != digest:
        raise ModelError(
            f"{model}: is another file on worker {_here()}; put the same one where all workers can read it"
        )
    if multiprocessing.parent_process() is not None:  # a worker, which does nothing else
        keep_freed_memory()
    loaded = load_model(model)
    context = choose_context(loaded.spec, model, global_context)  # type: ignore[arg-type]
    source = model if context == "tile" else settled(loaded, context)
    try:
        margin = unasked // loaded.spec.stride * loaded.spec.stride
        return open_runtime(runtime, source, device, threads, margin=margin)
    except RuntimeError as error:
        raise ModelError(f"{model}: cannot be run on {_here()}: {first_line(error)}") from error


def _here() -> str:
    return os.uname().nodename if hasattr(os, "uname") else "this machine"
