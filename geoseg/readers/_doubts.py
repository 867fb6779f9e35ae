"""What is legal in a scene and still suspicious: said once, before the work, so that nobody finds it in the map."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.names import is_remote
from geoseg.readers._regrid import RegriddedScene
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.readers.mosaic import MosaicScene
from geoseg.readers.stack import StackScene
from geoseg.scene import Scene, SceneView

logger = logging.getLogger(__name__)

_MOST_FILES = 16
_MOST_BLOCKS = 2**18
"""Blocks that are looked up, a microsecond each; of more, every so many-th."""

_CORNER = 32
_WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld")


def warn_of_doubts(scene: Scene) -> None:
    """Say what is legal and suspicious in a scene: no CRS, blocks never written, corners of zeros, two places."""
    if scene.grid.crs is None:
        logger.warning("%s has no CRS; working in its pixel coordinates", scene.name)
    elif scene.grid.transform.is_identity:
        logger.warning("%s has a CRS but no place in it; working in its pixel coordinates", scene.name)
    for part in itertools.islice(_parts(scene), _MOST_FILES):
        for doubt in _doubts(part):
            logger.warning("%s: %s", part.name, doubt)


def require_written(scene: Scene) -> None:
    """Refuse a scene whose files lack blocks, as a writer leaves them that was killed.

    Raises:
        SceneError: names the file.
    """
    for part in _parts(scene):
        absent = _absent(part)
        if absent:
            raise SceneError(f"{part.name}: {absent}; make it again, or declare its nodata if that is meant")


def _parts(scene: Scene) -> Iterator[GeoTiffScene]:
    """The files that a scene is made of, in this machine."""
    if isinstance(scene, GeoTiffScene):
        if not is_remote(scene.name):
            yield scene
    elif isinstance(scene, RegriddedScene | SceneView):
        yield from _parts(scene.source)
    elif isinstance(scene, StackScene):
        for layer in scene.layers:
            yield from _parts(layer)
    elif isinstance(scene, MosaicScene):
        for part in scene.sources:
            yield from _parts(part)


def _doubts(scene: GeoTiffScene) -> Iterator[str]:
    absent = _absent(scene)
    if absent:
        yield f"{absent}; they are read as 0. Was its writer stopped? Give --nodata 0 if nothing is there"
    elif scene.declares_all and _has_empty_corner(scene):
        yield "is 0 in all bands in a corner and declares no nodata; give --nodata 0 if nothing is there"
    world = _other_place(scene)
    if world is not None:
        yield f"is placed by what is in it; {world.name} beside it says another place"


def _absent(scene: GeoTiffScene) -> str:
    """How many blocks of a GeoTIFF hold nothing, where nothing says that this is meant; empty for none."""
    if not scene.declares_all:
        return ""
    with scene.opened() as dataset:
        if dataset.driver != "GTiff":
            return ""
        absent, looked, all_ = _count_absent(dataset)
    if not absent:
        return ""
    return f"{absent} of {looked} blocks are absent" + (f" (of {all_} in all)" if looked < all_ else "")


def _count_absent(dataset: Any) -> tuple[int, int, int]:
    """Blocks without a place in the file, blocks looked up, and blocks there are."""
    rows, cols = dataset.block_shapes[0]
    down, across = -(-dataset.height // rows), -(-dataset.width // cols)
    together = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
    bands = range(1, 2 if together else dataset.count + 1)
    step = max(1, math.ceil(len(bands) * down * across / _MOST_BLOCKS))
    places = itertools.product(bands, range(down), range(across))
    looked = absent = 0
    for band, row, col in itertools.islice(places, 0, None, step):
        looked += 1
        absent += dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) is None
    return absent, looked, len(bands) * down * across


def _has_empty_corner(scene: GeoTiffScene) -> bool:
    height, width = scene.grid.shape
    rows, cols = min(height, _CORNER), min(width, _CORNER)
    if np.dtype(scene.dtype).kind not in "iu" or (rows, cols) == (height, width):
        return False
    corners = itertools.product({0, height - rows}, {0, width - cols})
    return any(not scene.read(Window(col, row, cols, rows))[0].any() for row, col in corners)


def _other_place(scene: GeoTiffScene) -> Path | None:
    """A world file beside a scene that has other numbers, None for none."""
    path = Path(scene.name)
    for suffix in _WORLD_FILES:
        world = path.with_suffix(suffix)
        try:
            if not world.is_file() or world.stat().st_size > 1000:
                continue
            a, d, b, e, x, y = map(float, world.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue
        t = scene.grid.transform
        own = (t.a, t.d, t.b, t.e, *(t @ (0.5, 0.5)))
        pixel = max(scene.grid.resolution)
        if max(abs(ours - theirs) for ours, theirs in zip(own, (a, d, b, e, x, y), strict=True)) > 0.1 * pixel:
            return world
    return None
