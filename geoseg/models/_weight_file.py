"""Read files of weights that others made, as tensors by name and nothing else."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geoseg.errors import ModelError
from geoseg.raster import first_line

SUFFIXES = (".safetensors", ".pth", ".pt")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file or of a state dict that torch saved.

    Nothing in the file is run: a pickle that asks for more than tensors is refused before any of it is built.

    Raises:
        ModelError: missing, truncated, of another kind, or not safe.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{path}: is no file of weights; give one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file of weights; check the path")
    if path.suffix.lower() == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"{path}: is no whole safetensors file ({first_line(error)}); download it again"
            ) from error
        return tensors
    return _state_dict(path, _unpickle(path))


def _unpickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on pickle protocols is not for our users
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: asks for more than tensors, which could run code, and was not read; "
            "give a .safetensors file or a plain state dict"
        ) from error
    # A broken file may raise anything at all.
    except Exception as error:
        raise ModelError(f"{path}: is truncated or no file of torch; download it again") from error


def _state_dict(path: Path, found: Any) -> dict[str, Tensor]:
    """The tensors of what was saved: a state dict, or one under the name that trainers give it."""
    for name in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    tensors = {}
    if isinstance(found, dict):
        tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{path}: holds no state dict but {type(found).__name__}; save network.state_dict()")
    return tensors
