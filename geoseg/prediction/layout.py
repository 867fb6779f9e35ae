"""Which windows a scene is mapped in: how large, how much context, how they fade into each other."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rasterio.windows import Window

from geoseg.errors import OptionError
from geoseg.grid import Grid, WindowGrid, round_up
from geoseg.model import ModelSpec
from geoseg.prediction.blend import Axis

MARGIN = 128
"""Context in pixels for models that do not say how far they look: what is deeper in a window differs in 0.02 %."""

LARGEST = 4096
"""Largest side of a window that is tried, in pixels."""

LARGEST_CORE, MARGINS = 1024, 6
"""Largest side of what counts of a window that is chosen, in pixels and in margins: beyond both, the little that
margins cost is not worth the memory."""

BLENDS = ("auto", "none", "hann")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        window: largest side of a window in pixels, margins included; None for as large as `memory` allows.
        margin: pixels, "auto" (what the trained network needs), or "exact" (as far as it can look).
        blend: "hann" fades windows into each other, "none" cuts them, "auto" fades where they cannot agree exactly.
        memory: bytes that a window may take.
    """

    window: int | None = None
    margin: str | int = "auto"
    blend: str = "auto"
    memory: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """One window of a layout.

    Attributes:
        row, col: its place among the windows.
        window: what is read, possibly beyond the scene.
        rows, cols: what of the scene its results count for.
    """

    row: int
    col: int
    window: Window
    rows: slice
    cols: slice

    def within(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The same within an answer (..., rows, cols) of a network, which may leave out as much on each side."""
        top = int(self.window.row_off) + (int(self.window.height) - shape[-2]) // 2
        left = int(self.window.col_off) + (int(self.window.width) - shape[-1]) // 2
        return (
            slice(self.rows.start - top, self.rows.stop - top),
            slice(self.cols.start - left, self.cols.stop - left),
        )


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """The windows of a scene.

    Attributes:
        grid: their cores and margins.
        rows, cols: where they have weight.
    """

    grid: WindowGrid
    rows: Axis
    cols: Axis

    @classmethod
    def of(cls, grid: WindowGrid, fade: int = 0) -> WindowLayout:
        """Windows that fade over `fade` pixels, half of it in their margin."""
        height, width = grid.core_shape
        fade = min(fade, 2 * grid.margin)
        return cls(grid, Axis.of(grid.height, height, fade), Axis.of(grid.width, width, fade))

    @property
    def fades(self) -> bool:
        """True when windows share pixels."""
        return any(self.rows.halves) or any(self.cols.halves)

    def pieces(self, rows: range | None = None) -> Iterator[Piece]:
        """The windows row by row, of all rows of windows or of some."""
        height, width = self.grid.core_shape
        for row in range(len(self.rows)) if rows is None else rows:
            for col in range(len(self.cols)):
                core = Window(col * width, row * height, width, height)
                yield Piece(row, col, self.grid.window(core), self.rows.extent(row), self.cols.extent(col))

    def rows_of(self, done: int, stop: int) -> range:
        """The rows of windows that are needed for the pixel rows from `done` to `stop`, both at a row's end."""
        ends = [self.rows.complete(row).stop for row in range(len(self.rows))]
        first, last = bisect.bisect_right(ends, done), bisect.bisect_left(ends, stop) + 1
        # The row before holds its share of the fade.
        return range(max(first - 1, 0) if self.fades and first < last else first, last)

    def bands(self, count: int) -> list[slice]:
        """The pixel rows cut into at most `count` bands of as many rows of windows each, or nearly."""
        count = min(count, len(self.rows))
        cuts = [number * len(self.rows) // count for number in range(count + 1)]
        return [
            slice(self.rows.complete(first).start, self.rows.complete(after - 1).stop)
            for first, after in itertools.pairwise(cuts)
        ]


def plan(grid: Grid, spec: ModelSpec, request: Request, cost: Callable[[int, int], int]) -> WindowLayout:
    """Choose the windows of a scene for a model.

    Args:
        grid: of the scene.
        spec: its stride, reach and measured margin decide where windows may begin and how much context is enough.
        request: what was asked for.
        cost: bytes that a window of so many rows and columns takes.

    Raises:
        OptionError: no window fits into the memory, the margin leaves nothing of it, or there is no exact one.
    """
    if request.blend not in BLENDS:
        raise OptionError(f"blend is '{request.blend}'; it must be {', '.join(BLENDS[:-1])} or {BLENDS[-1]}")
    fits = largest_window(spec.stride, request.memory, cost)
    window = fits if request.window is None else request.window
    margin = round_up(_margin(spec, request.margin, window), spec.stride)
    fade = margin if _fades(spec, margin, request.blend) else 0
    least = 2 * margin + spec.stride
    if request.window is None and fits < least:
        lacking = max(cost(least, least) - request.memory, 0) / 1e9
        raise OptionError(
            f"no window fits into the memory: the smallest, of {least} pixels with a margin of {margin}, takes "
            f"{lacking:.2f} GB more; give that much more with --memory, or a smaller --margin"
        )
    if window < least:
        raise OptionError(
            f"a window of {window} pixels has no core with a margin of {margin}; use --window {least} or more"
        )
    core = (window - 2 * margin) // spec.stride * spec.stride
    if request.window is None:
        core = min(core, round_up(max(LARGEST_CORE, MARGINS * margin), spec.stride))
    windows = WindowGrid(grid.height, grid.width, core, margin, spec.stride)
    return WindowLayout.of(windows, fade)


def left_out(spec: ModelSpec, asked: str | int, blend: str) -> int:
    """Pixels on each side of every window that nobody asks about, a multiple of the model's stride.

    Nothing for a network that sees the whole window: its windows share most of what they have, and how large they will
    be decides how much.

    Args:
        spec: of the model that runs.
        asked: the margin, as in `Request`.
        blend: as in `Request`.

    Raises:
        OptionError: as `plan`.
    """
    if spec.reach is None:
        return 0
    margin = round_up(_margin(spec, asked, LARGEST), spec.stride)
    faded = margin // 2 if _fades(spec, margin, blend) else 0
    return (margin - faded) // spec.stride * spec.stride


def largest_window(stride: int, memory: int, cost: Callable[[int, int], int]) -> int:
    """Side of the largest square window that fits into the memory, a multiple of the stride; 0 when none does."""
    sides = range(stride, max(LARGEST, stride) + 1, stride)
    return bisect.bisect_right(sides, memory, key=lambda side: cost(side, side)) * stride


def _margin(spec: ModelSpec, asked: str | int, window: int) -> int:
    if asked == "exact":
        if spec.reach is None:
            raise OptionError(f"{spec.architecture} sees the whole window, so no margin is exact; use --margin auto")
        return spec.reach
    if asked == "auto":
        measured = spec.margin
        if measured is None:
            # A network that sees the whole window is given a quarter of it as context on each side.
            measured = MARGIN if spec.reach is not None else min(MARGIN, window // 4)
        return int(measured if spec.reach is None else min(measured, spec.reach))
    if str(asked).isdecimal() and float(asked) <= LARGEST:
        return int(asked)
    raise OptionError(f"margin is '{asked}'; it must be auto, exact, or a number of pixels, {LARGEST} at most")


def _fades(spec: ModelSpec, margin: int, blend: str) -> bool:
    """Whether windows fade: where they agree by what was measured, a fade costs and shows nothing."""
    if blend != "auto":
        return blend == "hann"
    if spec.reach is None:
        return True
    return margin < min(MARGIN if spec.margin is None else spec.margin, spec.reach)
