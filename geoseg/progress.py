"""Progress of long work: silent for scripts, a bar on a terminal, plain lines in a log.

The command line switches it on; library code only says what it does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """One piece of work in progress."""

    def advance(self, amount: float) -> None:
        """Say that `amount` more units are done."""

    def say(self, text: str) -> None:
        """Say how it stands in words, in place of what was said before."""


class _Silent:
    def advance(self, amount: float) -> None:
        pass

    def say(self, text: str) -> None:
        pass


_enabled = False


def enable(on: bool) -> None:
    """Show progress on stderr from now on, or stop doing so."""
    global _enabled
    _enabled = on


@contextmanager
def bar(description: str, total: float, unit: str) -> Iterator[Bar]:
    """Show the progress of work of `total` units (such as "MP" or "chips") with rate and time left."""
    if not _enabled:
        yield _Silent()
    elif sys.stderr.isatty():
        with _rich_bar(description, total, unit) as rich_bar:
            yield rich_bar
    else:
        lines = _Lines(description, total, unit)
        yield lines
        lines.end()


class _Lines:
    """A line every 15 seconds and one at the end: what a log file can bear."""

    every = 15.0

    def __init__(self, description: str, total: float, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0.0
        self.said = ""
        self.start = self.shown = time.monotonic()

    def advance(self, amount: float) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.shown >= self.every:
            self.shown = now
            rate = self.done / (now - self.start)
            left = (self.total - self.done) / rate if rate else float("inf")
            self._write(f"{self.done:.4g} of {self.total:.4g} {self.unit}, {rate:.3g} {self.unit}/s, {left:.0f} s left")

    def say(self, text: str) -> None:
        self.said = text

    def end(self) -> None:
        seconds = time.monotonic() - self.start
        rate = self.done / seconds if seconds else 0.0
        self._write(f"{self.done:.4g} {self.unit} in {seconds:.1f} s, {rate:.3g} {self.unit}/s")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{self.description}: {text}{self.said and f', {self.said}'}\n")
        sys.stderr.flush()


@contextmanager
def _rich_bar(description: str, total: float, unit: str) -> Iterator[Bar]:
    from rich import progress
    from rich.console import Console

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> str:
            return f"{task.speed or 0:.3g} {unit}/s"

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        Rate(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(description, total=total)

        class RichBar:
            def advance(self, amount: float) -> None:
                shown.advance(task, amount)

            def say(self, text: str) -> None:
                shown.update(task, description=f"{description} ({text})")

        yield RichBar()
