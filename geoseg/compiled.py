"""Numba, with types that a checker can follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call; the machine code is kept on disk for the next process."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return cast(F, numba.njit(nogil=True)(function))


def is_kept(function: Any) -> bool:
    """True when machine code of a compiled function lies on disk from an earlier process."""
    kept = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return kept is not None and Path(kept._cache_path, kept._index_name).exists()
