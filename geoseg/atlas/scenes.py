"""Scenes of an atlas as small values that travel, with where they lie and what they are made of."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.windows import Window

from geoseg.atlas.globe import in_degrees, lonlat_boxes
from geoseg.disk import Stamp, stamps
from geoseg.errors import GeosegError, OptionError, SceneError
from geoseg.grid import Grid
from geoseg.model import ModelSpec
from geoseg.names import is_remote
from geoseg.output import fingerprint
from geoseg.placing import DEGREES, require_way
from geoseg.prediction.strange import strange_values
from geoseg.readers import require_written
from geoseg.scene import Scene, SceneView, band_places

logger = logging.getLogger(__name__)

_AT_ONCE = 16

_MOST_LOOKS = 16
"""Scenes whose values are looked at before the work."""


class Opener(Protocol):
    """What a scene is made of: plain values that open it anywhere the files can be reached."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def files(self) -> tuple[str, ...]: ...  # noqa: D102
    def open(self) -> Scene: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Mask:
    """A band that says which pixels do not count, such as the scene classification of Sentinel-2.

    Attributes:
        band: its name or number.
        values: of pixels that do not count.
    """

    band: str
    values: tuple[int, ...]

    def place(self, scene: Scene, bands: tuple[str, ...] | None) -> int:
        """Where the band is in a scene; of one that was opened with chosen bands it is the one after them."""
        return band_places((self.band,), scene.bands, scene.name)[0] if bands is None else len(bands)


@dataclass(frozen=True, slots=True)
class SceneRef:
    """A scene that can be opened.

    Attributes:
        opener: what it is made of.
        grid: its georeferencing.
        places: which of its bands the model takes, in the model's order.
        mask: place and values of the band that says what does not count.
        stamp: what tells it from a scene of the same name with other pixels.
        files: what it is made of, as it was then.
        times: first and last moment it was taken, as RFC 3339; that of its file where nobody says.
        outline: in longitude and latitude, unwrapped.
    """

    opener: Opener
    grid: Grid
    places: tuple[int, ...]
    mask: tuple[int, tuple[int, ...]] | None
    stamp: str
    files: tuple[Stamp, ...]
    times: tuple[str, str]
    outline: shapely.Geometry = field(compare=False)

    @property
    def name(self) -> str:
        """What to call it."""
        return self.opener.name

    def open(self) -> Scene:
        """Open it, masked."""
        scene = self.opener.open()
        return scene if self.mask is None else MaskedScene(scene, *self.mask)


@dataclass(frozen=True, slots=True)
class MaskedScene(SceneView):
    """A scene without the pixels that one of its bands says do not count.

    Attributes:
        place: of that band.
        values: what it holds there.
    """

    place: int
    values: tuple[int, ...]

    @property
    def grid(self) -> Grid:
        """The scene's own grid."""
        return self.source.grid

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        values, valid = self.source.read(window)
        return values, valid & ~np.isin(values[self.place], self.values)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scene as a glob, an index or a catalogue names it.

    Attributes:
        opener: what it is made of.
        times: when it was taken, where that is said.
        outline: where it lies in longitude and latitude, where that is said: then it is opened only if it is needed.
    """

    opener: Opener
    times: tuple[str, str] | None = None
    outline: shapely.Geometry | None = None


@dataclass(frozen=True, slots=True)
class Scenes:
    """The scenes of an atlas, in the order in which they count.

    Attributes:
        usable: those that fit the model.
        left_out: what is wrong with the others, by their names.
    """

    usable: tuple[SceneRef, ...]
    left_out: dict[str, str]


def open_scenes(
    candidates: Iterable[Candidate],
    spec: ModelSpec,
    model: str,
    *,
    bands: tuple[str, ...] | None,
    mask: Mask | None,
    near: list[shapely.Geometry] | None,
) -> Scenes:
    """Look at scenes and keep those that fit a model.

    Args:
        candidates: in the order in which they count.
        spec: of the model.
        model: its name.
        bands: those that stand for the model's, in its order; None to match them by name.
        mask: which band says what does not count.
        near: regions in degrees; scenes that say where they lie, and lie elsewhere, are not opened.

    Raises:
        SceneError: no scene fits, with the reason of the first.
    """

    def look(candidate: Candidate) -> SceneRef | GeosegError:
        try:
            return _looked_at(candidate, spec, model, bands, mask)
        except GeosegError as error:
            return error

    wanted = _near(list(candidates), near)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(look, wanted))
    usable = tuple(item for item in found if isinstance(item, SceneRef))
    left_out = {
        candidate.opener.name: str(item)
        for candidate, item in zip(wanted, found, strict=True)
        if not isinstance(item, SceneRef)
    }
    if wanted and not usable:
        first = next(iter(left_out.values()))
        raise SceneError(f"none of the {len(wanted)} scenes can be used; the first: {first}")
    for reason in left_out.values():
        logger.warning("Left out: %s", reason)
    _warn_of_strange_values(usable, spec)
    return Scenes(usable, left_out)


def _warn_of_strange_values(scenes: tuple[SceneRef, ...], spec: ModelSpec) -> None:
    """Say once of the first scenes that are here whether their values are nothing like those that the model knows."""
    here = [ref for ref in scenes if not any(map(is_remote, ref.opener.files))][:_MOST_LOOKS]
    told = [found for ref in here if (found := strange_values(ref.open(), ref.places, spec))]
    if told:
        alike = f" So are {len(told) - 1} more of the first {len(here)} scenes." if len(told) > 1 else ""
        logger.warning("%s%s", told[0], alike)


def _looked_at(
    candidate: Candidate, spec: ModelSpec, model: str, bands: tuple[str, ...] | None, mask: Mask | None
) -> SceneRef:
    opener = candidate.opener
    scene = opener.open()
    if scene.grid.crs is None:
        raise SceneError(
            f"{scene.name}: has no CRS, so it has no place in an atlas; assign it with 'rio edit-info --crs'"
        )
    require_written(scene)
    masked = None if mask is None else (mask.place(scene, bands), mask.values)
    places = _places(scene, spec, model, bands, masked)
    require_way(scene.grid.crs, DEGREES, scene.name, SceneError)
    outline = in_degrees(_outline(scene.grid), scene.grid.crs)
    if not np.isfinite(outline.bounds).all():
        raise SceneError(f"{scene.name}: its corners have no place on the globe; check its CRS and transform")
    stamp = fingerprint(
        {"grid": [scene.grid.crs.to_wkt(), *scene.grid.transform], "places": places, "mask": masked}, opener.files
    )
    times = candidate.times or _file_times(opener.files)
    return SceneRef(opener, scene.grid, places, masked, stamp, stamps(opener.files), times, outline)


def _places(
    scene: Scene,
    spec: ModelSpec,
    model: str,
    bands: tuple[str, ...] | None,
    masked: tuple[int, tuple[int, ...]] | None,
) -> tuple[int, ...]:
    """Which bands the model takes; those chosen are the first in a scene that was opened with them."""
    if bands is not None:
        if len(bands) != len(spec.bands):
            raise OptionError(
                f"--bands names {len(bands)} bands and {model} needs {len(spec.bands)} ({', '.join(spec.bands)}); "
                "name them in this order"
            )
        return tuple(range(len(bands)))
    kept = [place for place in range(len(scene.bands)) if masked is None or place != masked[0]]
    matched = spec.match(tuple(scene.bands[place] for place in kept), scene.name, model)
    return tuple(kept[place] for place in matched)


def _outline(grid: Grid) -> shapely.Geometry:
    """The border of a grid in its CRS, with points along it."""
    steps = np.linspace(0, 1, 21)[:-1]
    turns = ((steps, 0 * steps), (1 + 0 * steps, steps), (1 - steps, 1 + 0 * steps), (0 * steps, 1 - steps))
    cols, rows = (np.concatenate(axis) for axis in zip(*turns, strict=True))
    t, (height, width) = grid.transform, grid.shape
    cols, rows = cols * width, rows * height
    return shapely.Polygon(np.column_stack([t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f]))


def _near(candidates: list[Candidate], regions: list[shapely.Geometry] | None) -> list[Candidate]:
    if regions is None:
        return candidates
    tree = shapely.STRtree([shapely.box(*box) for region in regions for box in lonlat_boxes(region)])

    def is_near(candidate: Candidate) -> bool:
        if candidate.outline is None:
            return True
        return any(len(tree.query(shapely.box(*box))) for box in lonlat_boxes(candidate.outline))

    return [candidate for candidate in candidates if is_near(candidate)]


def _file_times(files: tuple[str, ...]) -> tuple[str, str]:
    stamps = [Path(file).stat().st_mtime for file in files if not is_remote(file) and Path(file).exists()]
    moment = datetime.fromtimestamp(int(max(stamps, default=0)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment, moment


@dataclass(frozen=True)
class Cover:
    """Finds the scenes that lie over a place on the globe.

    Attributes:
        scenes: in the order in which they count.
    """

    scenes: tuple[SceneRef, ...]

    def __post_init__(self) -> None:
        boxes = [(number, box) for number, ref in enumerate(self.scenes) for box in lonlat_boxes(ref.outline)]
        object.__setattr__(self, "_numbers", np.array([number for number, _ in boxes], int))
        object.__setattr__(self, "_tree", shapely.STRtree([shapely.box(*box) for _, box in boxes]))

    def over(self, outline: shapely.Geometry) -> tuple[SceneRef, ...]:
        """Scenes whose bounds meet those of an outline, by longitude and latitude."""
        tree: shapely.STRtree = self._tree  # type: ignore[attr-defined]
        numbers: npt.NDArray[np.int64] = self._numbers  # type: ignore[attr-defined]
        found = [numbers[tree.query(shapely.box(*box))] for box in lonlat_boxes(outline)]
        return tuple(self.scenes[number] for number in sorted(set(np.concatenate(found).tolist())))


def without_outline(ref: SceneRef) -> SceneRef:
    """The same, lighter to send: workers place it by its grid."""
    return replace(ref, outline=shapely.Point())
