"""Tables as CSV, which people open in spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_table(file: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of numbers and texts; no text is one that a spreadsheet takes for a formula.

    Args:
        file: opened with `newline=""`.
        rows: the first one the head.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def write_records(file: TextIO, records: Sequence[Mapping[str, Any]]) -> None:
    """The same from one mapping a row, all with the keys of the first, in its order."""
    names = list(records[0])
    write_table(file, [names, *([record[name] for name in names] for record in records)])


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> harmless("=HYPERLINK(0)"), harmless("forest")
    ("'=HYPERLINK(0)", 'forest')
    """
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
