"""Numba, with types that a checker can follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.extending import register_jitable

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}
"""Nothing is checked before a division, and C cannot call the function: both take time to compile, and are not used."""


def compiled(function: F) -> F:
    """Compile a function at its first call; the machine code is kept on disk for the next process."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True, **OPTIONS)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return cast(F, numba.njit(nogil=True, **OPTIONS)(function))


def inner(function: F) -> F:
    """Compile a function as a part of the compiled ones that call it.

    Python still runs it as Python: an entry from there takes as long to compile as the function itself. Flags that are
    passed as they stand, such as True, do not make numba compile it once for each of them.
    """
    return register_jitable(**OPTIONS)(function)


def is_kept(function: Any) -> bool:
    """True when machine code of a compiled function lies on disk from an earlier process."""
    kept = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return kept is not None and Path(kept._cache_path, kept._index_name).exists()
