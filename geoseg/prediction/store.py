"""What of a map is made already, on disk and noted, so that a run that was killed goes on where it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from geoseg.documents import UNSOUND, parse_json


@dataclass(frozen=True, slots=True)
class Block:
    """A finished part of a map.

    Attributes:
        rows, cols: where it lies.
        labels: class indices (rows, cols), `IGNORE` where there is no data.
        probabilities: (classes, rows, cols), None where nobody asked for them.
    """

    rows: slice
    cols: slice
    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32] | None = None


class Store:
    """Rows of class indices, and of probabilities in half precision, in plain files of their full size.

    Blocks are put anywhere in some rows; when these are complete they are flushed and noted with their checksum. Opened
    again on the same files, what was noted and is whole counts as done.

    Attributes:
        start, stop: the rows that are made here; all can be read.
        done: the rows above it are made.
    """

    def __init__(self, folder: Path, height: int, width: int, classes: int = 0, band: slice | None = None) -> None:
        """Keep a map of `height` x `width` in `folder`, with the probabilities of `classes` if there are any.

        Args:
            folder: made if it is not there.
            height, width: of the map.
            classes: of the probabilities, 0 for none.
            band: the rows that this process makes, where others make the rest in the same folder.

        Raises:
            OSError: the disk has no room for it.
        """
        folder.mkdir(exist_ok=True)
        rows = slice(0, height) if band is None else band
        self.start, self.stop = int(rows.start), int(rows.stop)
        self._notes = folder / f"rows-{self.start}-{self.stop}.jsonl"
        self._arrays = {"labels": _Array(folder / "labels.bin", (height, width), np.uint8)}
        if classes:
            # Rows first, so that a band of them lies together.
            self._arrays["probabilities"] = _Array(folder / "probabilities.bin", (height, classes, width), np.float16)
        self.done = self._verified()

    @property
    def is_complete(self) -> bool:
        """True when all its rows are done."""
        return self.done == self.stop

    def put(self, block: Block) -> None:
        """Keep a block that lies below what is done."""
        self._arrays["labels"].write(np.s_[block.rows, block.cols], block.labels)
        if "probabilities" in self._arrays and block.probabilities is not None:
            place = np.s_[block.rows, :, block.cols]
            self._arrays["probabilities"].write(place, block.probabilities.transpose(1, 0, 2))

    def note(self, stop: int) -> None:
        """Note that all its rows above `stop` are complete."""
        for array in self._arrays.values():
            array.flush()
        entry = {"stop": stop} | {name: array.checksum(self.done, stop) for name, array in self._arrays.items()}
        with self._notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.done = stop

    def labels(self, rows: slice, cols: slice = slice(None)) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols)."""
        return self._arrays["labels"].read(np.s_[rows, cols])

    def probabilities(self, rows: slice, cols: slice = slice(None)) -> npt.NDArray[np.float32]:
        """Probabilities (classes, rows, cols)."""
        found: npt.NDArray[np.float32] = self._arrays["probabilities"].read(np.s_[rows, :, cols]).astype(np.float32)
        return found.transpose(1, 0, 2)

    def _verified(self) -> int:
        """Rows that were noted and are as they were then; the notes of others are dropped."""
        done, kept = self.start, []
        for line in self._notes.read_bytes().splitlines() if self._notes.exists() else []:
            try:
                entry = parse_json(line)
                sums = {name: entry[name] for name in self._arrays}
                stop = int(entry["stop"])
            except UNSOUND:
                break
            if not done < stop <= self.stop:
                break
            if sums != {name: array.checksum(done, stop) for name, array in self._arrays.items()}:
                break
            done = stop
            kept.append(line + b"\n")
        self._notes.write_bytes(b"".join(kept))
        return done


@dataclass(frozen=True, slots=True)
class _Array:
    """A flat file of rows."""

    path: Path
    shape: tuple[int, ...]
    dtype: Any

    def __post_init__(self) -> None:
        size = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
        with self.path.open("ab") as file:
            # All of it now: a map in memory cannot tell of a full disk later, it would kill the process.
            _allocate(file, size)

    def write(self, place: Any, values: npt.NDArray[Any]) -> None:
        mapped = np.memmap(self.path, self.dtype, "r+", shape=self.shape)
        mapped[place] = values

    def read(self, place: Any) -> npt.NDArray[Any]:
        mapped = np.memmap(self.path, self.dtype, "r", shape=self.shape)
        return np.array(mapped[place])

    def checksum(self, start: int, stop: int) -> int:
        """CRC-32 of some rows, read in pieces."""
        total = 0
        step = max(1, 4_000_000 // int(np.prod(self.shape[1:])))
        for row in range(start, stop, step):
            total = zlib.crc32(self.read(np.s_[row : min(row + step, stop)]).tobytes(), total)
        return total

    def flush(self) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def _allocate(file: IO[bytes], size: int) -> None:
    """Make a file at least `size` bytes long, with room on the disk for each.

    Raises:
        OSError: there is no such room; asked for first, so that the disk is not filled for everybody else.
    """
    has = getattr(os.fstat(file.fileno()), "st_blocks", 0) * 512
    if size - has > shutil.disk_usage(Path(file.name).parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(1_000_000)
    for start in range(os.fstat(file.fileno()).st_size, size, len(zeros)):
        file.write(zeros[: size - start])
