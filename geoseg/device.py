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
