"""What of a chip folder is made already, noted task by task."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
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
            np.savez(
                file,
                rows=cut.rows,
                sizes=cut.sizes,
                sample=cut.sample,
                sampled=cut.sampled,
            )
        fresh.replace(path)

    def read(self, number: int, pairs: Sequence[LabelledScene]) -> Cut | None:
        """What a complete task made; None when it is not complete, or its chips are not as it left them."""
        try:
            # Opened here: numpy leaves a file open that turns out not to be one of its own.
            with self._path(number).open("rb") as file, np.load(file, allow_pickle=False) as note:
                cut = Cut(note["rows"], note["sizes"], note["sample"], note["sampled"])
            return cut if self._is_whole(cut, pairs) else None
        except (OSError, EOFError, BadZipFile, zlib.error, *UNSOUND):
            return None

    def _path(self, number: int) -> Path:
        return self.notes / f"{number:06d}.npz"

    def _is_whole(self, cut: Cut, pairs: Sequence[LabelledScene]) -> bool:
        """True when the files of all chips are there and have their size."""
        for (scene, _, row, col, *_), wanted in zip(cut.rows.tolist(), cut.sizes.tolist(), strict=True):
            name = chip_name(pairs[scene], scene, row, col)
            try:
                sizes = [(self.chips / folder / name).stat().st_size for folder in ("images", "labels")]
            except OSError:
                sizes = [0, 0]
            if sizes != wanted:
                return False
        return True
