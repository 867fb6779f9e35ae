"""Sizes as people give them: 20 or 20px in pixels, 0.5ha or 5000m2 on the ground; 1.5 or 15m for distances; 2GB."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from geoseg.errors import OptionError

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d_]*[2²]?)\s*")
_DISTANCES = {"": None, "px": None, "pixel": None, "pixels": None, "m": 1.0, "km": 1000.0}
_AREAS = {"": None, "px": None, "pixel": None, "pixels": None, "m2": 1.0, "m²": 1.0, "ha": 1e4, "km2": 1e6, "km²": 1e6}

_BYTES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True, slots=True)
class Size:
    """A distance or an area.

    Attributes:
        value: how much, 0 or more.
        on_ground: in metres or square metres; else in pixels.
    """

    value: float
    on_ground: bool = False

    def __str__(self) -> str:
        return f"{self.value:g}{' on the ground' if self.on_ground else ' pixels'}"


def distance(text: str | float, what: str) -> Size:
    """A distance from "1.5", "1.5px", "15m" or a number of pixels.

    >>> distance("15m", "a tolerance")
    Size(value=15.0, on_ground=True)

    Raises:
        OptionError: it cannot be read, is negative or not finite.
    """
    return _size(text, what, _DISTANCES, "a number of pixels such as 1.5, or metres such as 15m")


def area(text: str | float, what: str) -> Size:
    """An area from "20", "20px", "5000m2", "0.5ha", "1km2" or a number of pixels.

    >>> area("0.5ha", "an area")
    Size(value=5000.0, on_ground=True)

    Raises:
        OptionError: it cannot be read, is negative or not finite.
    """
    return _size(text, what, _AREAS, "a number of pixels such as 20, or an area such as 500m2 or 0.5ha")


def parse_bytes(text: str, what: str) -> int:
    """Bytes from words such as "2GB", "1.5 GiB" or "800M".

    >>> parse_bytes("1.6GB", "memory"), parse_bytes("512MiB", "memory")
    (1600000000, 536870912)

    Args:
        text: the words.
        what: what they are of, for the sentence.

    Raises:
        OptionError: no such words.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text, re.IGNORECASE)
    if match is None or match[2].upper() not in _BYTES:
        raise OptionError(f"{what} is '{text}'; write it as 2GB, 1.5GiB or 800MB")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def _size(text: str | float, what: str, units: dict[str, float | None], expected: str) -> Size:
    match = _NUMBER.fullmatch(str(text))
    if match is None or match[2].lower() not in units:
        raise OptionError(f"{what} of '{text}' cannot be read; give {expected}, 0 or more")
    value, factor = float(match[1]), units[match[2].lower()]
    if not (math.isfinite(value) and value >= 0):
        raise OptionError(f"{what} of '{text}' cannot be; it must be 0 or more")
    return Size(value if factor is None else value * factor, factor is not None)
