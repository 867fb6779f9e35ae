"""Small documents that others may have written: JSON and TOML."""

from __future__ import annotations

import json
import math
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_type_hints, is_typeddict

from geoseg.errors import GeosegError
from geoseg.hints import fitted

T = TypeVar("T")

UNSOUND = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError)
"""What comes of using a document that is of its format, and does not hold what it should; archives raise the last."""

_LEAST = -(2**63)
_MOST_DIGITS = len(str(_LEAST))


def read_document(path: Path, most: int) -> str:
    """The text of a file: one that ends, and is not larger than it should be.

    Args:
        path: the file; a pipe would keep its reader waiting.
        most: bytes.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is no regular file, larger than `most`, or no UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return path.read_text(encoding="utf-8")


def beginning(path: str | Path, most: int = 16) -> bytes | None:
    """The first bytes of a file, by which its format is told; None where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except (OSError, ValueError):
        return None


def head_of(path: str | Path, most: int, needed: str, error: type[GeosegError]) -> bytes:
    """The first bytes of a file that must be there.

    Args:
        path: the file; a pipe would keep its reader waiting.
        most: bytes.
        needed: what is wanted, such as "a raster file such as a GeoTIFF".
        error: the type to raise.

    Raises:
        GeosegError: of the given type: it is missing, no regular file, empty, or cannot be read.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise error(f"{path}: is {kind}; {needed} is needed")
        with Path(path).open("rb") as file:
            head = file.read(most)
    except FileNotFoundError as cause:
        raise error(f"{path}: there is no such file") from cause
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause
    if not head:
        raise error(f"{path}: the file is empty; {needed} is needed")
    return head


@contextmanager
def _of_sane_depth() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_json(text: str | bytes) -> Any:
    """What JSON says; integers beyond 64 bits become floating point, as other readers of JSON take them.

    Raises:
        ValueError: it is none, or nested deeper than anything that anybody means.
    """
    with _of_sane_depth():
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | float:
    # Python refuses to read an integer of thousands of digits.
    number = int(digits) if len(digits) <= _MOST_DIGITS else math.inf
    return number if _LEAST <= number < 2**64 else float(digits)


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML says.

    Raises:
        ValueError: it is none, nested deeper than anything that anybody means, or holds an integer beyond 64 bits.
    """
    with _of_sane_depth():
        table = tomllib.loads(text)
        _refuse_endless(table)
        return table


def _refuse_endless(value: Any) -> None:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_endless(item)
    elif isinstance(value, int) and not _LEAST <= value < 2**64:
        raise ValueError("it holds an integer of more than 64 bits")


def checked(kind: type[T], values: Any) -> T:
    """A dataclass, or a table of known keys, from what a document says.

    Args:
        kind: a dataclass or TypedDict of texts, numbers, lists of one of them, or tables of them by name.
        values: a table.

    Raises:
        TypeError: it is no table, or a field is missing, of another type, or unknown.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict) or not set(values) <= set(hints):
        raise TypeError(f"{str(values)[:40]!r} is no table of {', '.join(hints)}")
    found = {}
    for name in hints if is_typeddict(kind) and kind.__total__ else values:  # type: ignore[attr-defined]
        try:
            found[name] = fitted(values[name], hints[name])
        except (LookupError, TypeError) as error:
            raise TypeError(f"its {name} is {str(values.get(name))[:40]!r}") from error
    return kind(**found)
