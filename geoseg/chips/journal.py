"""What of a chip folder is made already, noted task by task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoseg.chips.cutter import Cut


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
                names=np.array([name for name, _, _ in cut.files], np.str_),
                sizes=np.array([sizes for _, *sizes in cut.files], np.int64).reshape(-1, 2),
                sample=cut.sample,
                sampled=np.array(cut.sampled, np.int64),
            )
        fresh.replace(path)

    def read(self, number: int) -> Cut | None:
        """What a complete task made; None when it is not complete, or its chips are not as it left them."""
        try:
            with np.load(self._path(number), allow_pickle=False) as note:
                names, sizes = note["names"].tolist(), note["sizes"].tolist()
                files = [(str(name), *size) for name, size in zip(names, sizes, strict=True)]
                cut = Cut(note["rows"], files, note["sample"], note["sampled"].tolist())
        except (OSError, ValueError, KeyError, EOFError):
            return None
        return cut if all(self._is_whole(*file) for file in files) else None

    def _path(self, number: int) -> Path:
        return self.notes / f"{number:06d}.npz"

    def _is_whole(self, name: str, image: int, label: int) -> bool:
        if not name:
            return True
        try:
            sizes = [(self.chips / folder / name).stat().st_size for folder in ("images", "labels")]
        except OSError:
            return False
        return sizes == [image, label]
