"""Laws of compiled functions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba.core import event

from geoseg.compiled import is_kept

SOURCE = """
from geoseg.compiled import compiled, inner

@inner
def end(values, last):
    return values[-1] if last else values[0]

@compiled
def ends(values):
    return end(values, False) + end(values, True)
"""
VALUES = np.array([1, 2, 4])


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    """A module that was never compiled."""
    path = tmp_path / "never_compiled.py"
    path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_machine_code_is_kept_and_that_is_known(module: ModuleType) -> None:
    assert not is_kept(module.ends)
    assert module.ends(VALUES) == 5
    assert is_kept(module.ends)


def test_an_inner_function_is_compiled_once_for_all_flags_and_runs_as_python(module: ModuleType) -> None:
    listener = event.RecordingListener()
    with event.install_listener("numba:compile", listener):
        module.ends(VALUES)
    started = [happening.data["dispatcher"].py_func.__name__ for _, happening in listener.buffer if happening.is_start]
    assert started.count("end") == 1
    assert module.end(VALUES, True) == 4
