"""How much memory a process may take, and what of it is left for windows."""

from __future__ import annotations

import os
import re
import sys

from geoseg.errors import OptionError

MOST = 3_000_000_000
"""Bytes that are taken at most when nobody says how many: beyond, larger windows gain next to nothing."""

ASIDE = 200_000_000
"""Bytes for what is not a window: GDAL's cache of blocks, the map's blocks on their way to the disk, the graph."""

_UNITS = {"": 1, "B": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_memory(text: str) -> int:
    """Bytes from words such as "2GB", "1.5 GiB" or "800M".

    Raises:
        OptionError: no such words.

    >>> parse_memory("1.6GB"), parse_memory("512MiB")
    (1600000000, 536870912)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text, re.IGNORECASE)
    if match is None or match[2].upper() not in _UNITS:
        raise OptionError(f"memory is '{text}'; write it as 2GB, 1.5GiB or 800MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def default_memory() -> int:
    """Half of the memory that is free on this machine now, `MOST` at most."""
    return min(MOST, _free() // 2)


def left_for_windows(memory: int) -> int:
    """Bytes of `memory` that this process does not take yet, less what is set aside."""
    return memory - peak_memory() - ASIDE


def _free() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - no file of the user's
            available = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
        if available:
            return int(available[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2 * MOST


def peak_memory() -> int:
    """Resident bytes of this process at its peak so far."""
    try:
        import resource
    except ImportError:  # Windows
        return 700_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
