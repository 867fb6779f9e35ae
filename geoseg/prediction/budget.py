"""How much memory a process may take, and what of it is left for windows."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from geoseg.units import parse_bytes

MOST = 2_200_000_000
"""Bytes that are taken at most when nobody says how many: beyond, larger windows gain next to nothing."""

ASIDE = 300_000_000
"""Bytes for what is not a window: GDAL's cache of blocks, the map's blocks on their way to the disk, the graph."""

LEAST = 300_000_000
"""Bytes for windows where nobody said how many and little is left."""

OF_A_GPU = 0.8
"""Share of what is free on a GPU: its libraries take some for themselves while they work."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def parse_memory(text: str) -> int:
    """Bytes from words such as "2GB", "1.5 GiB" or "800M".

    Raises:
        OptionError: no such words.

    >>> parse_memory("1.6GB"), parse_memory("512MiB")
    (1600000000, 536870912)
    """
    return parse_bytes(text, "memory")


def for_windows(memory: int | None, processes: int = 1, room: int | None = None) -> int:
    """Bytes that windows of this process may take.

    Args:
        memory: what all processes together may take; None for half of what is free on this machine, `MOST` at most for
            each, and `LEAST` for its windows whatever else it holds.
        processes: how many share the memory.
        room: bytes that are free on the GPU where windows go through the network, None without one.
    """
    if memory is not None:
        found = memory // processes - _taken() - ASIDE
    else:
        found = max(min(MOST, _taken() + _free() // 2 // processes) - _taken() - ASIDE, LEAST)
    return found if room is None else min(found, int(OF_A_GPU * room))


def keep_freed_memory() -> None:
    """Let this process keep the memory that a window frees for the next, where the C library is glibc.

    By default each large tensor is given back to the system and cleared anew; that took a fifth of the time of a map.
    It is for processes that do nothing else: they stay as large as they once were.
    """
    if sys.platform != "linux":
        return
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_MMAP_MAX, 0)
        tune(_M_TRIM_THRESHOLD, 2**31 - 1)


def peak_memory() -> int:
    """Resident bytes of this process at its peak so far, 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _taken() -> int:
    """Resident bytes of this process now; what it freed and kept can be taken again."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return max(pages * os.sysconf("SC_PAGE_SIZE") - _kept(), 0)
    except (OSError, ValueError):
        return peak_memory() or 700_000_000


def _kept() -> int:
    """Bytes in the main heap that nobody uses, 0 where the C library does not tell."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if ask is None:
        return 0
    ask.restype = _MallInfo
    return int(ask().fordblks)


class _MallInfo(ctypes.Structure):
    """struct mallinfo2 of glibc's malloc.h."""

    # Free bytes come after eight figures of other kinds.
    _fields_ = (("others", ctypes.c_size_t * 8), ("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t))


def _free() -> int:
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        if available:
            return int(available[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2 * MOST
