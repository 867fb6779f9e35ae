"""What a Parquet file holds, before it is read whole.

Equal values cost it next to nothing, so some kilobytes can become any number of rows in memory. Shapes differ: each row
of an honest file has some bytes of its own, whatever compresses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_ROWS = 20_000_000
_MOST_CELLS = 2_000_000_000
_FEW_ROWS = 1_000_000
# Points of a regular grid, all attributes alike, take a byte or more each.
_MOST_ROWS_PER_BYTE = 10
_FEW_BYTES = 1_000_000_000
_MOST_BYTES = 100_000_000_000
# Coordinates shrink to a tenth, hardly to a hundredth.
_MOST_RATIO = 1000
_WIDEST = 8


def require_measure(path: Path) -> None:
    """Look at a file whose content would be out of all proportion to it.

    Raises:
        ArrowException: it is broken.
        OSError: it cannot be read.
        ValueError: it holds too much.
    """
    size = path.stat().st_size
    with pq.ParquetFile(path) as file:
        notes = file.metadata
        rows = notes.num_rows
        if rows > MOST_ROWS or rows * notes.num_columns > _MOST_CELLS:
            raise ValueError(
                f"{rows:,} rows of {notes.num_columns:,} columns are too many to be read at once; split it"
            )
        if rows > _FEW_ROWS and rows > size * _MOST_ROWS_PER_BYTE:
            raise ValueError(f"{rows:,} rows in {size:,} bytes are no shapes that differ; make it anew without copies")
        groups = range(notes.num_row_groups)
        _require_bytes(sum(max(notes.row_group(group).total_byte_size, 0) for group in groups), size)
        _require_bytes(sum(_list_bytes(file, group) for group in groups), size)
    _require_bytes(_text_bytes(path, size), size)


def _require_bytes(wanted: int, size: int) -> None:
    if wanted > _MOST_BYTES or (wanted > _FEW_BYTES and wanted > size * _MOST_RATIO):
        raise ValueError(
            f"its {size:,} bytes would take {wanted:,} and more in memory, as shapes that differ do not; "
            "make it anew without copies"
        )


def _list_bytes(file: pq.ParquetFile, group: int) -> int:
    """Bytes of what is in lists and maps, of which a row can hold any number, were each a number of the widest kind."""
    columns = enumerate(map(file.metadata.schema.column, range(file.metadata.num_columns)))
    inside = {place: column.path for place, column in columns if column.max_repetition_level}
    if inside:
        # Asked for the notes of a column that are broken, Arrow ends the process; reading from it, it says so.
        for _ in file.iter_batches(1, [group], [*inside.values()]):
            break
    row_group = file.metadata.row_group(group)
    return sum(max(row_group.column(place).num_values, 0) * _WIDEST for place in inside)


def _text_bytes(path: Path, size: int) -> int:
    """Bytes of all shapes and texts, each repetition counted; no more is looked at than what exceeds the measure.

    A text may be in a list, a map or a structure, and these in each other: each is a column of its own, with a path.
    """
    with pq.ParquetFile(path) as file:
        columns = map(file.metadata.schema.column, range(file.metadata.num_columns))
        names = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    total = 0
    # As dictionaries: one copy of each value, and its places.
    with pq.ParquetFile(path, read_dictionary=names) as file:
        for group in range(file.num_row_groups):
            for name in names:
                for chunk in file.read_row_group(group, columns=[name]).column(0).chunks:
                    total += sum(map(_length, _leaves(chunk)))
                if total > max(_FEW_BYTES, size * _MOST_RATIO):
                    return total
    return total


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays of which one that is nested is made."""
    if pa.types.is_struct(array.type):
        inner = [array.field(place) for place in range(array.type.num_fields)]
    elif pa.types.is_map(array.type):
        inner = [array.keys, array.items]
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        inner = [array.values]
    elif isinstance(array, pa.ExtensionArray):
        inner = [array.storage]
    else:
        yield array
        return
    for each in inner:
        yield from _leaves(each)


def _length(chunk: pa.Array) -> int:
    if not pa.types.is_dictionary(chunk.type):
        return int(chunk.nbytes)
    lengths = pc.binary_length(chunk.dictionary)
    return int(pc.sum(lengths.take(chunk.indices).cast(pa.int64())).as_py() or 0)
