"""Where networks run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from geoseg.errors import OptionError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """The device a user asked for: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        OptionError: no such device on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise OptionError(f"device is '{name}'; it must be auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise OptionError(
            f"device is '{name}' but this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    return device


def device_among(name: str, number: int, count: int) -> str:
    """The name of the device of one of several processes that share a machine's: a GPU each, or the CPU.

    Args:
        name: as in `choose_device`.
        number: which process, from 0.
        count: of processes.

    Raises:
        OptionError: fewer devices than processes, or one that several cannot share.
    """
    if count == 1 or name == "cpu":
        return name
    import torch

    there = torch.cuda.device_count()
    if name not in ("auto", "cuda"):
        raise OptionError(f"device is '{name}' and --devices {count}; say --device cuda or cpu for several")
    if there < count:
        raise OptionError(
            f"--devices {count}, but this machine has {there} CUDA devices; take --devices {max(there, 1)}, "
            f"or --device cpu for {count} processes on its cores"
        )
    return f"cuda:{number}"
