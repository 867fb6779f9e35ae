"""Map one block of a region, on a worker: every scene over it, window by window, mosaicked as probabilities."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import geometry_mask
from rasterio.windows import Window

from geoseg.atlas.lattice import BlockWindows, Lattice
from geoseg.atlas.loaded import network
from geoseg.atlas.mosaic import clear, feathered, open_mosaic
from geoseg.atlas.tasks import BlockResult, BlockTask, Recipe, read_note
from geoseg.disk import flush
from geoseg.documents import UNSOUND, checked
from geoseg.errors import ClusterError, OutputError, SceneError
from geoseg.grid import Grid
from geoseg.legend import IGNORE
from geoseg.model import ModelSpec
from geoseg.names import is_remote
from geoseg.prediction.blend import Blender
from geoseg.prediction.engine import Network, most_probable
from geoseg.prediction.layout import Piece
from geoseg.prediction.pipeline import Timing, ahead
from geoseg.prediction.turned import Turned
from geoseg.prediction.windows import read_window
from geoseg.readers import on_grid, pixel_places
from geoseg.scene import Scene

Flags = npt.NDArray[np.bool_]


def map_block(task: BlockTask) -> BlockResult:
    """Map a block and keep it on disk; one that is kept already is not mapped again.

    Raises:
        GeosegError: a scene that cannot be read where that is not to be passed over, or a disk that is full.
        ClusterError: the block was begun too often and never ended: it kills its workers.
    """
    done = done_block(task)
    if done is not None:
        return done
    start = time.monotonic()
    with _begun(task) as deaths:
        runtime = network(task.recipe)
        work = _Work(task, runtime.spec)
        labels, confidence = work.run(Turned(runtime) if task.recipe.tta else runtime)
        pixels = int((labels != IGNORE).sum())
        result = BlockResult(task.number, time.monotonic() - start, pixels, work.left_out, deaths)
        _keep(task, labels, confidence, result)
        return result


def done_block(task: BlockTask) -> BlockResult | None:
    """The result of a block that is kept on disk and whole, None where there is none."""
    note = read_note(task.path.with_suffix(".json"))
    try:
        # Blocks of another size have the same numbers.
        if note is None or note["window"] != _corners(task):
            return None
        if note["sums"] != [_sum(task.path.with_suffix(suffix)) for suffix in _suffixes(task.recipe)]:
            return None
        return checked(BlockResult, note["result"])
    except (OSError, *UNSOUND):
        return None


@dataclass(frozen=True, slots=True)
class Laid:
    """A scene on the lattice.

    Attributes:
        view: the scene on the pixels of the lattice that it covers.
        top, left: where these begin, in pixels of the lattice.
        places: its bands, in the model's order.
    """

    view: Scene
    top: int
    left: int
    places: tuple[int, ...]


def lay(scene: Scene, places: tuple[int, ...], lattice: Lattice, resampling: str) -> Laid | None:
    """Lay a scene on a lattice; None where it has no place there."""
    cols, rows = pixel_places(scene.grid, lattice.grid(Window(0, 0, 1, 1)))
    if not len(cols):
        return None
    left, top = (int(np.floor(edge.min() + 1e-3)) for edge in (cols, rows))
    right, bottom = (int(np.ceil(edge.max() - 1e-3)) for edge in (cols, rows))
    grid = lattice.grid(Window(left, top, max(right - left, 1), max(bottom - top, 1)))
    return Laid(on_grid(scene, grid, resampling), top, left, places)


@dataclass(slots=True)
class _Part:
    """What one scene has to say on one window.

    Attributes:
        piece: the window.
        values: scaled bands (bands, side, side); None closes a window.
        valid: where it counts (rows, cols of what is kept).
        weights: how much it counts there.
    """

    piece: Piece
    values: npt.NDArray[np.float32] | None = None
    valid: Flags | None = None
    weights: npt.NDArray[np.float32] | None = None


class _Work:
    """The mapping of one block.

    Attributes:
        left_out: what was wrong with scenes that could not be read, by name.
    """

    def __init__(self, task: BlockTask, spec: ModelSpec) -> None:
        self._task, self._spec, self._recipe = task, spec, task.recipe
        self._windows = BlockWindows.over(task.window, task.recipe.cutting)
        self._inside = _inside(task.place.outline(), task.place.lattice.grid(self._windows.window))
        self.left_out: dict[str, str] = {}

    def run(self, network: Network) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
        """Class indices (rows, cols) of the block, and confidence from 0 to 250 if it is asked for."""
        shape, windows = self._inside.shape, self._windows
        labels = np.full(shape, IGNORE, np.uint8)
        sure = np.zeros(shape, np.uint8) if self._recipe.confidence else None
        blender = Blender(windows.rows, windows.cols, len(self._spec.legend))
        valid = np.zeros(shape, bool)
        mosaic = None
        for part in ahead(self._parts(), Timing()):
            piece = part.piece
            if mosaic is None:
                size = (piece.rows.stop - piece.rows.start, piece.cols.stop - piece.cols.start)
                mosaic = open_mosaic(self._recipe.mosaic, len(self._spec.legend), size, self._recipe.clouds)
            if part.values is not None:
                mosaic.add(*self._seen(part, network))
                continue
            probabilities, known = mosaic.result()
            mosaic = None
            valid[piece.rows, piece.cols] = known
            found = blender.add(piece.row, piece.col, probabilities)
            place = windows.rows.complete(piece.row), windows.cols.complete(piece.col)
            labels[place] = most_probable(found)
            if sure is not None:
                sure[place] = np.rint(np.clip(found.max(0), 0, 1) * 250)
        labels[~(valid & self._inside)] = IGNORE
        block = self._own()
        return labels[block], None if sure is None else sure[block]

    def _seen(self, part: _Part, network: Network) -> tuple[npt.NDArray[np.float32], Flags, npt.NDArray[np.float32]]:
        assert part.values is not None  # noqa: S101
        assert part.valid is not None  # noqa: S101
        assert part.weights is not None  # noqa: S101
        answer = network.probabilities(part.values[None])[0]
        found = np.ascontiguousarray(answer[:, *part.piece.within(answer.shape)])
        weights = part.weights
        if self._recipe.clouds:
            weights = weights * clear(found, self._recipe.clouds)
        return found, part.valid, weights

    def _parts(self) -> Iterator[_Part]:
        """What the scenes have to say, window by window; each window ends with a part without values."""
        scenes: dict[int, Laid | None] = {}
        for piece in self._windows.pieces():
            wanted = self._inside[piece.rows, piece.cols].copy()
            if wanted.any():
                for number in range(len(self._task.place.scenes)):
                    part = self._part(number, scenes, piece)
                    if part is None or part.valid is None or not (part.valid & wanted).any():
                        continue
                    # Where the first may be cloud, those below it are looked at too.
                    if self._recipe.mosaic == "first" and not self._recipe.clouds:
                        wanted &= ~part.valid
                    yield part
                    if not wanted.any():
                        break
            yield _Part(piece)

    def _part(self, number: int, scenes: dict[int, Laid | None], piece: Piece) -> _Part | None:
        """A scene at a window, None where it has nothing there."""
        ref = self._task.place.scenes[number]
        try:
            if number not in scenes:
                scenes[number] = lay(ref.open(), ref.places, self._task.place.lattice, self._recipe.resampling)
            laid = scenes[number]
            return None if laid is None else self._read(laid, piece)
        except SceneError as error:
            # A file that is damaged stays so; what is far away may be there the next time.
            again = any(map(is_remote, ref.opener.files)) and not self._task.is_last
            if self._recipe.strict or again:
                raise
            self.left_out.setdefault(ref.name, str(error))
            return None

    def _read(self, laid: Laid, piece: Piece) -> _Part | None:
        cutting, windows = self._recipe.cutting, self._windows
        pad = cutting.pad
        top = windows.top + int(piece.window.row_off) - pad - laid.top
        left = windows.left + int(piece.window.col_off) - pad - laid.left
        side, (height, width) = cutting.side + 2 * pad, laid.view.grid.shape
        if top + side <= 0 or left + side <= 0 or top >= height or left >= width:
            return None
        values, valid = read_window(laid.view, Window(left, top, side, side), laid.places, self._spec.statistics)
        # Beyond its edge a scene is reflected for the network's sake; it has nothing to say there.
        valid[: max(-top, 0)] = valid[max(height - top, 0) :] = False
        valid[:, : max(-left, 0)] = valid[:, max(width - left, 0) :] = False
        rows, cols = (slice(kept.start + pad, kept.stop + pad) for kept in piece.within((cutting.side, cutting.side)))
        known = valid[rows, cols]
        if not known.any():
            return None
        width = cutting.feather
        near = valid[rows.start - width : rows.stop + width, cols.start - width : cols.stop + width]
        weights = feathered(near, width)
        inner = slice(pad, pad + cutting.side)
        return _Part(piece, np.ascontiguousarray(values[:, inner, inner]), known, weights)

    def _own(self) -> tuple[slice, slice]:
        """The block among the pixels of its windows."""
        block, windows = self._task.window, self._windows
        top, left = int(block.row_off) - windows.top, int(block.col_off) - windows.left
        return slice(top, top + int(block.height)), slice(left, left + int(block.width))


def _inside(outline: shapely.Geometry, grid: Grid) -> Flags:
    """Which pixels have their centre in a polygon (rows, cols)."""
    return np.asarray(geometry_mask([outline], grid.shape, grid.transform, invert=True), bool)


@contextmanager
def _begun(task: BlockTask) -> Iterator[int]:
    """Note while a block is worked on; one that was left in this state too often has killed its workers.

    Only who is at work when a worker dies is to blame for it: what waited there is not.
    """
    path = task.path.with_suffix(".begun")
    deaths = path.stat().st_size if path.exists() else 0
    if deaths >= task.tries:
        raise ClusterError(f"its block {task.number} was begun {deaths} times and its worker died each time")
    path.write_bytes(b"." * (deaths + 1))
    try:
        yield deaths
    finally:
        path.write_bytes(b"." * deaths)


def _suffixes(recipe: Recipe) -> tuple[str, ...]:
    return (".npy", ".sure.npy") if recipe.confidence else (".npy",)


def _corners(task: BlockTask) -> list[int]:
    return [int(value) for value in task.window.flatten()]


def _keep(
    task: BlockTask, labels: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8] | None, result: BlockResult
) -> None:
    sums = []
    arrays = [labels] if confidence is None else [labels, confidence]
    try:
        for suffix, array in zip(_suffixes(task.recipe), arrays, strict=True):
            path = task.path.with_suffix(suffix)
            fresh = path.with_name(path.name + ".new")
            with fresh.open("wb") as file:
                np.save(file, array)
            flush(fresh)
            sums.append(_sum(fresh))
            fresh.replace(path)
        note = task.path.with_suffix(".json")
        fresh = note.with_name(note.name + ".new")
        known = {"window": _corners(task), "sums": sums, "result": asdict(result)}
        fresh.write_text(json.dumps(known), encoding="utf-8")
        flush(fresh)
        fresh.replace(note)
    except OSError as error:
        raise OutputError(f"{task.path}: cannot be written: {error.strerror or error}; is the disk full?") from error


def _sum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total = zlib.crc32(chunk, total)
    return total
