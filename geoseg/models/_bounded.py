"""A network that was described by others is built only as large as the file that describes it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from geoseg.errors import OptionError

SPARE = 1_000_000_000
"""Bytes of weights that building may take beside those it keeps: encoders make heads that are thrown away."""


class BoundedWeights(TorchFunctionMode):
    """Inside of this, layers are made until their weights take more than some bytes."""

    def __init__(self, most: int) -> None:
        """Let weights take `most` bytes, and `SPARE`."""
        super().__init__()
        self._most, self._left = most, most + SPARE

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what `torch.empty` makes, which is how layers get their weights.

        Raises:
            OptionError: that is too much.
        """
        if function is torch.empty:
            shape = args[0] if args and isinstance(args[0], tuple | list) else args
            self._left -= 4 * math.prod(shape)
            if self._left < 0:
                raise OptionError(f"its options make a network of more weights than the {self._most} bytes of its file")
        return function(*args, **(kwargs or {}))
