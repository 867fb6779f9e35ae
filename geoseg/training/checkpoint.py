"""What a training has come to, on disk: always whole, and safe to read.

A checkpoint is one safetensors file, tensors and JSON, in a hidden folder beside the model to be. It is written under
another name, flushed, read back and only then renamed; the last two are kept, and where the newest turns out broken,
the one before is taken.
"""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geoseg.disk import flush, identity, is_that
from geoseg.documents import UNSOUND, checked, parse_json, read_document
from geoseg.errors import OutputError, OutputExistsError
from geoseg.output import MARKER
from geoseg.raster import first_line

logger = logging.getLogger(__name__)

FORMAT = 1
KEPT = 2
_META, _SCRATCH = "geoseg-checkpoint", ".geoseg-scratch"
_MOST_OF_NOTE = 1000
"""Bytes."""


@dataclass(frozen=True, slots=True)
class State:
    """What a training needs to go on.

    Attributes:
        step: optimiser steps done.
        tensors: of network, average, optimiser and best weights.
        facts: plain values, for JSON.
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class _Description(TypedDict):
    """What a checkpoint says of itself."""

    format: int
    key: str
    settings: dict[str, Any]
    step: int
    sum: int
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: where they are.
    """

    def __init__(self, output: Path, key: str, settings: dict[str, Any]) -> None:
        """Keep checkpoints for the model `output` of a training that `key` tells from others, done with `settings`."""
        self.folder = _folder_of(output)
        self._output = output
        self._key = key
        self._settings: dict[str, Any] = json.loads(json.dumps(settings, default=str))

    def begin(self, resume: bool, overwrite: bool) -> State | None:
        """What to go on from, None to begin anew.

        Raises:
            OutputExistsError: there are checkpoints and nobody said what to do with them, or they are of other work.
        """
        found = self._newest()
        if found is None:
            if resume:
                logger.info("%s: there is no checkpoint of it, so training begins", self._output)
            self.discard()
            return None
        state, description = found
        same = description["key"] == self._key
        if resume and same:
            logger.info("%s: goes on after step %d", self._output, state.step)
            return state
        if not overwrite:
            raise OutputExistsError(self._refusal(state, description, resume, same))
        logger.info("%s: an unfinished training of it is thrown away", self._output)
        self.discard()
        return None

    def save(self, state: State) -> None:
        """Write a checkpoint; on return it is whole and on the disk.

        Raises:
            OutputError: it cannot be written; those before are as they were.
        """
        path = self.folder / f"step-{state.step:09d}.safetensors"
        fresh = self.folder / _SCRATCH / path.name
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
        description = {"format": FORMAT, "key": self._key, "settings": self._settings, "step": state.step,
                       "sum": _sum(tensors), "facts": state.facts}  # fmt: skip
        try:
            self.folder.mkdir(exist_ok=True)
            (self.folder / MARKER).touch()
            # What a run that was killed left in it, under names of its own or of safetensors, would add up.
            _clear(fresh.parent)
            fresh.parent.mkdir()
            # Tensors that share memory, as average and best may, are written twice.
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, fresh,
                      metadata={_META: json.dumps(description)})  # fmt: skip
            flush(fresh)
            _read(fresh)
            fresh.replace(path)
            flush(self.folder)
        except (OSError, SafetensorError, ValueError) as error:
            with suppress(OSError):
                _clear(fresh.parent)
                if not self.there_are:
                    self.discard()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
            kept = "the last one is kept; make room and go on with --resume" if self.there_are else "is the disk full?"
            raise OutputError(f"{path}: the checkpoint cannot be written: {reason}; {kept}") from error
        for old in _files(self.folder)[:-KEPT]:
            old.unlink()

    def spent(self, model: Path) -> None:
        """Note that `model`, which is about to take its name, is what they led to; see `discard_spent`."""
        if self.folder.is_dir():
            (self.folder / MARKER).write_text(json.dumps(identity(model)), encoding="utf-8")

    def discard(self) -> None:
        """Take them away."""
        discard(self._output)

    @property
    def there_are(self) -> bool:
        """True when there is something to go on from."""
        return bool(_files(self.folder))

    def _newest(self) -> tuple[State, _Description] | None:
        for path in reversed(_files(self.folder)):
            try:
                return _read(path)
            except (OSError, SafetensorError, *UNSOUND) as error:
                logger.warning("%s: is broken (%s); the one before is tried", path, first_line(error))
        return None

    def _refusal(self, state: State, description: _Description, resume: bool, same: bool) -> str:
        there = f"{self._output}: a training of it was stopped after step {state.step}"
        if same:
            return f"{there}; go on with --resume, or begin anew with --overwrite"
        then = description["settings"]
        other = [name for name in self._settings if then.get(name) != self._settings[name]]
        what = ", ".join(f"{name} was {then.get(name)} and is {self._settings[name]}" for name in other[:3])
        why = what or "the chips, or files it began with, are no longer the same"
        remedy = "train with those again" if other else "bring them back"
        word = "that cannot be gone on from" if resume else "that is not this one"
        return f"{there} {word} ({why}); {remedy}, or begin anew with --overwrite"


def discard_spent(output: Path) -> None:
    """Take away the checkpoints of a model that is complete, which its run did not live to do."""
    folder = _folder_of(output)
    # Where it cannot be done now, the next run does it.
    with suppress(OSError, ValueError):
        if not any(folder.iterdir()) or is_that(output, parse_json(read_document(folder / MARKER, _MOST_OF_NOTE))):
            discard(output)


def _folder_of(output: Path) -> Path:
    return output.absolute().parent / f".{output.name}.checkpoint"


def _files(folder: Path) -> list[Path]:
    """Checkpoints in it, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def _clear(scratch: Path) -> None:
    if scratch.is_dir():
        shutil.rmtree(scratch)


def discard(output: Path) -> None:
    """Take away the checkpoints of a model, whatever training they are of."""
    folder = _folder_of(output)
    if not folder.is_dir():
        return
    # The note of what they led to goes last, so that a run that is killed here leaves it.
    _clear(folder / _SCRATCH)
    for path in (*_files(folder), folder / MARKER):
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _read(path: Path) -> tuple[State, _Description]:
    """A checkpoint and its description.

    Raises:
        ValueError: what it holds is not what was written; or as safetensors and JSON raise.
    """
    with safe_open(path, framework="pt") as file:
        description = checked(_Description, parse_json(file.metadata()[_META]))
        # Copied: the file may be gone before they are used.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if description["format"] != FORMAT:
        raise ValueError("it is of another version of geoseg")
    if _sum(tensors) != description["sum"]:
        raise ValueError("it does not hold what was written")
    return State(description["step"], tensors, description["facts"]), description


def _sum(tensors: dict[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].detach().contiguous().numpy().reshape(-1).view("u1").data, total)
    return total
