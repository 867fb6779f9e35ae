"""Put a region together, on a worker: its map, its polygons and its STAC item, all or nothing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.atlas.items import item_of
from geoseg.atlas.tasks import FinishTask, RegionResult, read_made
from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend
from geoseg.model import read_spec
from geoseg.output import new_output
from geoseg.raster import use_threads
from geoseg.vectors.area import PixelArea, pixel_area
from geoseg.vectors.vectorize import vectorize
from geoseg.writers.geotiff import MapWriter, ShareWriter, beside

CONFIDENCE = "confidence.tif"


def finish_region(task: FinishTask) -> RegionResult:
    """Make the folder of a region from its blocks; the folder appears when all in it is complete.

    Where no pixel is mapped there is nothing to make.

    Raises:
        GeosegError: the disk is full, or a block is not what it was.
    """
    start = time.monotonic()
    made = _made_before(task)
    if made is not None:
        return made
    use_threads(task.recipe.threads)
    spec = read_spec(task.recipe.model)
    blocks = _Blocks(task)
    if not blocks.any_valid():
        return RegionResult(time.monotonic() - start, 0)
    grid, slug = task.place.lattice.grid(task.place.window), task.place.slug
    files = [known for ref in task.place.scenes for known in ref.files]
    with new_output(task.target, overwrite=True, sources=files) as workspace:
        folder = workspace.main
        folder.mkdir()
        tags: dict[str, object] = {
            "model": task.recipe.model,
            "region": task.place.name,
            "scenes": [s.name for s in task.place.scenes],
        }
        counts, metres = _write_map(folder / f"{slug}.tif", blocks, grid, spec.legend, tags)
        sure = folder / CONFIDENCE if task.recipe.confidence else None
        if task.recipe.polygons:
            vectorize(
                folder / f"{slug}.tif", folder / f"{slug}.parquet", simplify=task.recipe.simplify, confidence=sure
            )
        areas = dict(zip(spec.legend.names, metres, strict=True))
        result = RegionResult(time.monotonic() - start, int(counts.sum()), areas)
        item = item_of(task, spec, grid, result, dict(zip(spec.legend.names, counts.tolist(), strict=True)))
        (folder / f"{slug}.json").write_text(json.dumps(item, indent=1), encoding="utf-8")
    shutil.rmtree(task.place.work, ignore_errors=True)
    return result


def _made_before(task: FinishTask) -> RegionResult | None:
    """The result of a region that is done: dask does a task again when the worker that held its result dies."""
    made = read_made(task.target)
    if made is None or made.key != task.place.key:
        return None
    shutil.rmtree(task.place.work, ignore_errors=True)
    return RegionResult(made.seconds, sum(made.pixels.values()), made.area_m2)


class _Blocks:
    """The blocks of a region on disk, read as one raster."""

    def __init__(self, task: FinishTask) -> None:
        self._task = task
        self._top, self._left = int(task.place.window.row_off), int(task.place.window.col_off)
        self.has_confidence = task.recipe.confidence

    def any_valid(self) -> bool:
        """True when a pixel of any block is mapped."""
        return any((self._open(number, ".npy") != IGNORE).any() for number in range(len(self._task.blocks)))

    def read(self, window: Window, suffix: str, empty: int) -> npt.NDArray[np.uint8]:
        """Pixels (rows, cols) of a window of the region."""
        values = np.full((int(window.height), int(window.width)), empty, np.uint8)
        top, left = self._top + int(window.row_off), self._left + int(window.col_off)
        for number, block in enumerate(self._task.blocks):
            first = max(top, int(block.row_off)), max(left, int(block.col_off))
            last = (
                min(top + int(window.height), int(block.row_off + block.height)),
                min(left + int(window.width), int(block.col_off + block.width)),
            )
            if first[0] < last[0] and first[1] < last[1]:
                own = _slices(first, last, (int(block.row_off), int(block.col_off)))
                values[_slices(first, last, (top, left))] = self._open(number, suffix)[own]
        return values

    def _open(self, number: int, suffix: str) -> npt.NDArray[np.uint8]:
        block = self._task.blocks[number]
        path = self._task.place.work / f"{number:05d}{suffix}"
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: cannot be read back: {error}; start the command again") from error
        if found.shape != (int(block.height), int(block.width)):
            raise OutputError(f"{path}: has the shape {found.shape} of another block; start the command again")
        return np.asarray(found)


def _slices(first: tuple[int, int], last: tuple[int, int], origin: tuple[int, int]) -> tuple[slice, slice]:
    return slice(first[0] - origin[0], last[0] - origin[0]), slice(first[1] - origin[1], last[1] - origin[1])


def _write_map(
    path: Path, blocks: _Blocks, grid: Grid, legend: Legend, tags: dict[str, object]
) -> tuple[npt.NDArray[np.int64], list[float]]:
    """Write the map, and confidence beside it; pixels and square metres per class."""
    counts, metres = np.zeros(len(legend), np.int64), np.zeros(len(legend))
    area = pixel_area(grid)
    with ExitStack() as stack:
        made = stack.enter_context(new_output(path, beside=beside(path)))
        classes = stack.enter_context(MapWriter(made, grid, legend, tags))
        sure = None
        if blocks.has_confidence:
            also = stack.enter_context(new_output(path.with_name(CONFIDENCE)))
            sure = stack.enter_context(ShareWriter(also, grid, ("confidence",), tags))
        for window in classes.windows():
            labels = blocks.read(window, ".npy", IGNORE)
            for rows, part in _strips(window, labels):
                flat = part.ravel()
                known = flat < len(legend)
                counts += np.bincount(flat[known], minlength=len(legend))
                if area is not None:
                    sizes = _sizes(area, window, rows, part.shape).ravel()
                    metres += np.bincount(flat[known], sizes[known], minlength=len(legend))
            classes.write(window, labels)
            if sure is not None:
                shares = blocks.read(window, ".sure.npy", 0)[None].astype(np.float32) / np.float32(250)
                sure.write(window, shares, labels != IGNORE)
    return counts, metres.tolist()


def _strips(window: Window, labels: npt.NDArray[np.uint8]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    for row in range(0, int(window.height), 64):
        yield row, labels[row : row + 64]


def _sizes(area: PixelArea, window: Window, row: int, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Square metres of pixels; they change so little from row to row that those of 64 rows are alike."""
    cols = window.col_off + np.arange(shape[1]) + 0.5
    middle = np.full(shape[1], window.row_off + row + shape[0] / 2)
    return np.broadcast_to(area.at(cols, middle), shape)
