"""Map a scene window by window: read, run the network, fade, and hand out what is complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE
from geoseg.model import ModelSpec
from geoseg.prediction.blend import Blender
from geoseg.prediction.layout import Piece, WindowLayout
from geoseg.prediction.pipeline import Behind, Timing, ahead
from geoseg.prediction.store import Block, Store
from geoseg.prediction.windows import read_window
from geoseg.progress import Bar
from geoseg.scene import Scene


class Network(Protocol):
    """What gives windows their classes: the network in one of its runtimes."""

    def probabilities(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, K, H - 2 m, W - 2 m) of scaled windows (N, C, H, W), for some margin m."""

    def classes(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Most probable class index (N, H - 2 m, W - 2 m) of scaled windows (N, C, H, W)."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is mapped, and how it is cut.

    Attributes:
        scene: what is mapped.
        places: which of its bands the model takes, in the model's order.
        spec: of the model.
        layout: its windows.
    """

    scene: Scene
    places: tuple[int, ...]
    spec: ModelSpec
    layout: WindowLayout


@dataclass(frozen=True, slots=True)
class Seen:
    """A window that was read.

    Attributes:
        piece: which.
        values: scaled bands (bands, rows, cols), None when nothing in it counts.
        valid: where its results count for the scene and there is data (rows, cols of the piece).
    """

    piece: Piece
    values: npt.NDArray[np.float32] | None
    valid: npt.NDArray[np.bool_]


def fill(store: Store, job: Job, network: Network, bar: Bar, timing: Timing, probabilities: bool) -> None:
    """Map what of its rows is not in a store yet.

    Args:
        store: where the map is kept; what is complete in it stays.
        job: what to map.
        network: what maps it.
        bar: counts megapixels.
        timing: counts where the time goes.
        probabilities: keep them too.
    """
    layout = job.layout
    begun = store.done
    bar.advance((begun - store.start) * layout.grid.width / 1e6)
    writer = Behind(timing)
    try:
        for piece, block in _blocks(job, network, layout.rows_of(begun, store.stop), timing, probabilities):
            if block.rows.stop <= begun:
                continue
            writer.do(lambda block=block: store.put(block))  # type: ignore[misc]
            if piece.col == len(layout.cols) - 1:
                writer.do(lambda stop=block.rows.stop: store.note(stop))  # type: ignore[misc]
            bar.advance(block.labels.size / 1e6)
    finally:
        writer.close()


def _blocks(
    job: Job, network: Network, window_rows: range, timing: Timing, probabilities: bool
) -> Iterator[tuple[Piece, Block]]:
    layout, classes = job.layout, len(job.spec.legend)
    fading = layout.fades or probabilities
    blender = Blender(layout.rows, layout.cols, classes, window_rows.start) if fading else None
    for seen in ahead(read(job, layout.pieces(window_rows)), timing):
        piece = seen.piece
        rows, cols = layout.rows.complete(piece.row), layout.cols.complete(piece.col)
        with timing.of("network"):
            if blender is None:
                found = None
                labels = _labels(network, seen)
            else:
                found = blender.add(piece.row, piece.col, _probabilities(network, seen, classes))
                labels = most_probable(found)
        valid = seen.valid[rows.start - piece.rows.start :, cols.start - piece.cols.start :]
        valid = valid[: rows.stop - rows.start, : cols.stop - cols.start]
        labels = np.where(valid, labels, np.uint8(IGNORE))
        yield piece, Block(rows, cols, labels, found if probabilities else None)


def read(job: Job, pieces: Iterable[Piece]) -> Iterator[Seen]:
    """Read windows of a scene."""
    for piece in pieces:
        values, valid = read_window(job.scene, piece.window, job.places, job.spec.statistics)
        inside = valid[piece.within(valid.shape)]
        # Also its share of the fades counts for nothing there, so a neighbour needs no partner.
        yield Seen(piece, values if inside.any() else None, inside)


def most_probable(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Class index (rows, cols) of the highest of (classes, rows, cols); the first of equals."""
    best, labels = probabilities[0], np.zeros(probabilities.shape[1:], np.uint8)
    # numpy's argmax over the first axis takes ten times as long.
    for number, other in enumerate(probabilities[1:], start=1):
        labels[other > best] = number
        best = np.maximum(best, other)
    return labels


def _labels(network: Network, seen: Seen) -> npt.NDArray[np.uint8]:
    if seen.values is None:
        return np.full(seen.valid.shape, IGNORE, np.uint8)
    found: npt.NDArray[np.uint8] = network.classes(seen.values[None])[0]
    return found[seen.piece.within(found.shape)]


def _probabilities(network: Network, seen: Seen, classes: int) -> npt.NDArray[np.float32]:
    if seen.values is None:
        return np.zeros((classes, *seen.valid.shape), np.float32)
    found = network.probabilities(seen.values[None])[0]
    return np.ascontiguousarray(found[:, *seen.piece.within(found.shape)])
