"""What a layer holds, whatever the order of its features: so much that a file that holds something else is found out.

A file that can be read, with as many features as were written, may still have lost a page to a broken disk.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geoseg.errors import OutputError

GEOMETRY = "geometry"

PART = 1 << 20
"""Bytes that are counted at a time."""

_WEIGHTS = np.arange(1, 257) ** 3


def exact(schema: pa.Schema) -> pa.Schema:
    """The columns that a format of texts keeps to the last bit: texts and whole numbers."""
    return pa.schema([one for one in schema if pa.types.is_integer(one.type) or pa.types.is_string(one.type)])


class Tally:
    """A sum for each column, of numbers or of checksums: equal for equal features, in any order."""

    def __init__(self, schema: pa.Schema) -> None:
        """Count nothing yet of columns of these types."""
        self._types = {field.name: field.type for field in schema}
        self._sums = dict.fromkeys(self._types, 0)

    def add(self, batch: pa.RecordBatch, geometry: str = GEOMETRY) -> None:
        """Count features, of which the geometries have that name; columns that are not there are of no account."""
        for name, kind in self._types.items():
            place = batch.schema.get_field_index(geometry if name == GEOMETRY else name)
            if place >= 0 and batch.num_rows:
                self._sums[name] = (self._sums[name] + _sum(batch.column(place), kind)) % 2**64

    def empty(self) -> Tally:
        """One of the same columns, with nothing counted."""
        return Tally(pa.schema(list(self._types.items())))

    def refuse_other(self, read: Tally, name: str) -> None:
        """Refuse a file of that name in which something else was read than was written.

        Raises:
            OutputError: names the columns.
        """
        others = [key for key, total in self._sums.items() if read._sums[key] != total]
        if others:
            raise OutputError(
                f"{name}: the {', '.join(others)} that could be read back are not those that were written; is the disk "
                "full or failing?"
            )


def _sum(column: pa.Array, kind: pa.DataType) -> int:
    if pa.types.is_binary(kind):
        return _sum_of_bytes(column)
    if pa.types.is_string(kind):
        counts = column.drop_null().value_counts()
        names = counts.field("values").to_pylist()
        return sum(crc32(name.encode()) * n for name, n in zip(names, counts.field("counts").to_pylist(), strict=True))
    values = pc.fill_null(column.cast(kind), 0).to_numpy(zero_copy_only=False)
    return int(_bits(values).sum(dtype=np.uint64))


def _bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    """Numbers as 64 bits, equal for equal ones; what is none counts as null, which formats take it for."""
    if np.issubdtype(values.dtype, np.floating):
        values = np.where(np.isfinite(values), values, 0.0) + 0.0  # of the two zeros the one without a sign
        return values.astype(np.float64).view(np.uint64)
    return values.astype(np.int64).view(np.uint64)


def _sum_of_bytes(column: pa.Array) -> int:
    """A sum over all bytes: cheap, and another one wherever some of them changed or are gone.

    Each counts by its cube, so that a point that went from one ring to the next, with a count of 1 and 9 for 5 and 5,
    does not make up for itself.
    """
    column = column.cast(pa.large_binary())
    _, places, content = column.buffers()
    offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1]
    values = np.frombuffer(content if content is not None else b"", np.uint8)[offsets[0] : offsets[-1]]
    # In parts, as each takes eight times its size.
    parts = (values[first : first + PART] for first in range(0, len(values), PART))
    return sum(int(np.bincount(part, minlength=256) @ _WEIGHTS) for part in parts)
