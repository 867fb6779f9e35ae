"""How much a stitched map shows of where its windows meet."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.grid import Grid, WindowGrid, round_up
from geoseg.prediction.blend import Blender
from geoseg.prediction.engine import Job, Network, most_probable, read
from geoseg.prediction.layout import WindowLayout
from geoseg.scene import SceneView

Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SeamScore:
    """A stitched map beside the same without these seams.

    Attributes:
        beside: "a single pass", or "windows shifted by half" where a single pass takes more memory than windows do.
        labels: share of labels that differ.
        fidelity: root mean square difference of the probabilities, in standard deviations of those of the other map.
        rows, cols: how much larger the steps of the probabilities are across borders of windows than elsewhere, in
            units of what it is in the other map; 1 where no seam shows, NaN without borders in that direction.
        pixels: compared.
    """

    beside: str
    labels: float
    fidelity: float
    rows: float
    cols: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        plain = asdict(self)
        return {key: None if isinstance(item, float) and math.isnan(item) else item for key, item in plain.items()}

    def __str__(self) -> str:
        if not self.pixels:
            return (
                "seams were not scored: a single pass does not fit into the memory, and windows see too far to be "
                "compared with shifted ones; give more --memory"
            )
        return (
            f"seams beside {self.beside}: {100 * self.labels:.3f} % of {self.pixels:,} labels differ, "
            f"probabilities by {self.fidelity:.2g} deviations; steps across borders {self.rows:.3f} (rows) and "
            f"{self.cols:.3f} (columns) times those elsewhere"
        )


def seam_score(job: Job, network: Network, largest: int) -> SeamScore:
    """Compare the stitched map of the middle of a scene, of two by two cores, with one of other seams or none.

    Args:
        job: a scene and its windows.
        network: what maps it.
        largest: side of the largest window that fits into the memory, in pixels.
    """
    layout = job.layout
    part = _middle(job.scene.grid, layout.grid.core_shape)
    inner = Job(_Part(job.scene, part), job.places, job.spec, _like(layout, int(part.height), int(part.width)))
    stitched, valid = _stitch(inner, network)
    margin = max(layout.grid.margin, job.spec.reach or 0)
    side = max(int(part.height), int(part.width)) + 2 * round_up(margin, job.spec.stride)
    if side <= largest:
        whole = WindowGrid(int(part.height), int(part.width), side, margin, job.spec.stride)
        other, _ = _stitch(Job(inner.scene, job.places, job.spec, WindowLayout.of(whole)), network)
        return compare(stitched, other, valid, inner.layout, "a single pass")
    other = _shifted(inner, network)
    # The shifted windows see less beyond the edges of the part.
    frame = np.zeros_like(valid)
    frame[margin : valid.shape[0] - margin, margin : valid.shape[1] - margin] = True
    valid &= frame
    return compare(stitched, other, valid, inner.layout, "windows shifted by half")


def compare(stitched: Values, other: Values, valid: Mask, layout: WindowLayout, beside: str) -> SeamScore:
    """Score a stitched map.

    Args:
        stitched: probabilities (classes, rows, cols).
        other: the same without these seams.
        valid: pixels that count (rows, cols).
        layout: where the windows of `stitched` meet.
        beside: what `other` is.
    """
    apart = (stitched - other)[:, valid]
    spread = float(other[:, valid].std()) if valid.any() else 0.0

    def across(axis: int, edges: tuple[int, ...]) -> float:
        ours, theirs = (_steps(values, valid, axis, edges[1:-1]) for values in (stitched, other))
        return ours / theirs if theirs else float("nan")

    return SeamScore(
        beside,
        float((most_probable(stitched) != most_probable(other))[valid].mean()) if valid.any() else float("nan"),
        float(np.sqrt(np.mean(apart**2))) / spread if spread else 0.0,
        across(0, layout.rows.edges),
        across(1, layout.cols.edges),
        int(valid.sum()),
    )


def _steps(values: Values, valid: Mask, axis: int, edges: tuple[int, ...]) -> float:
    """Mean step of the probabilities across some borders over that elsewhere; NaN where there is none."""
    steps = np.abs(np.diff(values, axis=axis + 1)).mean(0)
    both = valid[1:] & valid[:-1] if axis == 0 else valid[:, 1:] & valid[:, :-1]
    at = np.zeros(steps.shape[axis], bool)
    at[[edge - 1 for edge in edges]] = True
    here, there = (both & (at[:, None] if axis == 0 else at[None]) for at in (at, ~at))
    if not here.any() or not there.any():
        return float("nan")
    elsewhere = float(steps[there].mean())
    return float(steps[here].mean()) / elsewhere if elsewhere else float("nan")


def _stitch(job: Job, network: Network) -> tuple[Values, Mask]:
    """Probabilities (classes, rows, cols) and validity (rows, cols) of a scene."""
    layout, classes = job.layout, len(job.spec.legend)
    blender = Blender(layout.rows, layout.cols, classes)
    found = np.zeros((classes, *job.scene.grid.shape), np.float32)
    valid = np.zeros(job.scene.grid.shape, bool)
    for seen in read(job, layout.pieces()):
        piece = seen.piece
        values = np.zeros((classes, *seen.valid.shape), np.float32)
        if seen.values is not None:
            answer = network.probabilities(seen.values[None])[0]
            values = np.ascontiguousarray(answer[:, *piece.within(answer.shape)])
        place = layout.rows.complete(piece.row), layout.cols.complete(piece.col)
        found[:, *place] = blender.add(piece.row, piece.col, values)
        valid[piece.rows, piece.cols] = seen.valid
    return found, valid


def _shifted(job: Job, network: Network) -> Values:
    """The same with windows that meet in the middle of the others'."""
    height, width = job.scene.grid.shape
    rows, cols = job.layout.grid.core_shape
    stride = job.spec.stride
    above, left = (round_up(side // 2, stride) for side in (rows, cols))
    padded = _Part(job.scene, Window(-left, -above, width + left, height + above))
    shifted = Job(padded, job.places, job.spec, _like(job.layout, height + above, width + left))
    return _stitch(shifted, network)[0][:, above:, left:]


def _like(layout: WindowLayout, height: int, width: int) -> WindowLayout:
    """Windows of the same cores, margin and fade over another scene."""
    rows, cols = layout.grid.core_shape
    grid = WindowGrid(height, width, min(rows, cols), layout.grid.margin, layout.grid.stride)
    return WindowLayout.of(grid, 2 * max(layout.rows.halves + layout.cols.halves))


def _middle(grid: Grid, core: tuple[int, int]) -> Window:
    rows, cols = min(2 * core[0], grid.height), min(2 * core[1], grid.width)
    return Window((grid.width - cols) // 2, (grid.height - rows) // 2, cols, rows)


@dataclass(frozen=True, slots=True)
class _Part(SceneView):
    """A window of a scene as a scene of its own; what of it lies beyond the scene is invalid."""

    window: Window

    @property
    def grid(self) -> Grid:
        return self.source.grid.crop(self.window)

    def read(self, window: Window) -> tuple[npt.NDArray[Any], Mask]:
        row, col = int(self.window.row_off + window.row_off), int(self.window.col_off + window.col_off)
        top, left = max(row, 0), max(col, 0)
        bottom = min(row + int(window.height), self.source.grid.height)
        right = min(col + int(window.width), self.source.grid.width)
        values = np.zeros((len(self.bands), int(window.height), int(window.width)), self.dtype)
        valid = np.zeros(values.shape[1:], bool)
        if top < bottom and left < right:
            place = slice(top - row, bottom - row), slice(left - col, right - col)
            values[:, *place], valid[place] = self.source.read(Window(left, top, right - left, bottom - top))
        return values, valid
