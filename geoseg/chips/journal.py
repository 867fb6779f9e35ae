"""What of a chip folder is made already, noted task by task."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from geoseg.chips.cutter import Cut, chip_name
from geoseg.chips.pairs import LabelledScene
from geoseg.documents import UNSOUND


@dataclass(frozen=True, slots=True)
class Journal:
    """Notes of complete tasks; a task is noted after its chips are written.

    Attributes:
        notes: folder of the notes.
        chips: folder of the chips.
    """

    notes: Path
    chips: Path

    def write(self, number: int, cut: Cut) -> None:
        """Note that a task is complete."""
        path = self._path(number)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            np.savez(file, **{field.name: getattr(cut, field.name) for field in fields(cut)})
        fresh.replace(path)

    def read(self, number: int, pairs: Sequence[LabelledScene]) -> Cut | None:
        """What a complete task made; None when it is not complete, or its chips are not as it left them."""
        try:
            # Opened here: numpy leaves a file open that turns out not to be one of its own.
            with self._path(number).open("rb") as file, np.load(file, allow_pickle=False) as note:
                cut = Cut(**{field.name: note[field.name] for field in fields(Cut)})
            return cut if self._is_whole(cut, pairs) else None
        except (OSError, EOFError, MemoryError, BadZipFile, zlib.error, *UNSOUND):
            return None

    def _path(self, number: int) -> Path:
        return self.notes / f"{number:06d}.npz"

    def _is_whole(self, cut: Cut, pairs: Sequence[LabelledScene]) -> bool:
        """True when the files of all chips are there and hold what was written."""
        for (scene, _, row, col, *_), sizes, sums in zip(
            cut.rows.tolist(), cut.sizes.tolist(), cut.sums.tolist(), strict=True
        ):
            name = chip_name(pairs[scene], scene, row, col)
            for folder, size, total in zip(("images", "labels"), sizes, sums, strict=True):
                if size and _sum(self.chips / folder / name) != total:
                    return False
        return True


def _sum(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return None
