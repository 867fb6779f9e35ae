"""A door through which geoseg reads a file, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from fuzz.damage import Twist

from geoseg.errors import GeosegError

FORESEEN = (GeosegError, click.ClickException)
"""What may come out."""


@dataclass(frozen=True, slots=True)
class Door:
    """One reader of one file.

    Attributes:
        name: of the test.
        file: what is damaged, a path in a folder.
        fill: makes sound files in an empty folder.
        read: reads what is in the folder, and uses it.
        twist: other values in the same format, None where there is no such way.
    """

    name: str
    file: str
    fill: Callable[[Path], object]
    read: Callable[[Path], object]
    twist: Twist | None = None


@dataclass
class Refused:
    """The error by which a file was refused, None where it was not."""

    error: Exception | None = None


@contextmanager
def only_foreseen() -> Iterator[Refused]:
    """Let nothing out but what geoseg has foreseen, which has something to say."""
    refused = Refused()
    try:
        yield refused
    except FORESEEN as error:
        refused.error = error
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        assert said.strip()


def written(name: str, text: str) -> Callable[[Path], Any]:
    """Fills a folder with one file of text."""

    def fill(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return fill
