"""What is sent to workers and what comes back: paths and small values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shapely
from rasterio.windows import Window

from geoseg.atlas.lattice import Cutting, Lattice
from geoseg.atlas.scenes import SceneRef
from geoseg.documents import UNSOUND, checked, parse_json
from geoseg.prediction.context import GlobalContext

OUTLINE = "outline.wkb"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How regions are mapped; the same for all of an atlas.

    Attributes:
        model: path of the model file.
        model_hash: SHA-256 of it.
        runtime, device, threads, global_context, tta: as `geoseg.predict` takes them; threads of the CPU per task.
        cutting: windows.
        mosaic: "mean", "best" or "first".
        clouds: indices of the classes that mean cloud.
        resampling: how scenes are laid on the grid.
        confidence: also make a raster of confidence.
        polygons: also make polygons.
        simplify: their tolerance, in pixels.
        strict: a scene that cannot be read fails the region.
        version: of geoseg.
    """

    model: str
    model_hash: str
    runtime: str
    device: str
    threads: int
    global_context: GlobalContext
    tta: bool
    cutting: Cutting
    mosaic: str
    clouds: tuple[int, ...]
    resampling: str
    confidence: bool
    polygons: bool
    simplify: float
    strict: bool
    version: str


@dataclass(frozen=True, slots=True)
class Place:
    """A region on its lattice.

    Attributes:
        name, slug: of the region.
        lattice: its CRS and pixels.
        window: of the lattice.
        key: what makes two maps of it the same work.
        work: folder of what is done of it, which holds its outline.
        scenes: that lie over it.
    """

    name: str
    slug: str
    lattice: Lattice
    window: Window
    key: str
    work: Path
    scenes: tuple[SceneRef, ...]

    def outline(self) -> shapely.Geometry:
        """Its polygon in the CRS of the lattice."""
        return shapely.from_wkb((self.work / OUTLINE).read_bytes())


@dataclass(frozen=True, slots=True)
class BlockTask:
    """A part of a region to predict.

    Attributes:
        place: the region.
        number: of the block.
        window: of the lattice.
        recipe: how.
        tries: how often it may be begun before it counts as deadly.
        is_last: no further try follows, so what cannot be read is left out.
    """

    place: Place
    number: int
    window: Window
    recipe: Recipe
    tries: int
    is_last: bool = True

    @property
    def path(self) -> Path:
        """Where its result is kept, without an extension."""
        return self.place.work / f"{self.number:05d}"


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block came to.

    Attributes:
        number: of the block.
        seconds: it took.
        pixels: of it that are mapped.
        left_out: what was wrong with scenes that could not be read, by name.
        deaths: how many workers died of it before.
    """

    number: int
    seconds: float
    pixels: int
    left_out: dict[str, str] = field(default_factory=dict)
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class FinishTask:
    """A region whose blocks are all done, to be put together.

    Attributes:
        place: the region.
        blocks: windows of the lattice, in the order of their numbers.
        recipe: how.
        target: the folder to make.
        outline: of the region in longitude and latitude, as GeoJSON.
        bounds: of it: west, south, east, north; west is larger where it crosses the antimeridian.
        left_out: what was wrong with scenes, by name.
    """

    place: Place
    blocks: tuple[Window, ...]
    recipe: Recipe
    target: Path
    outline: str
    bounds: tuple[float, float, float, float]
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True)
class RegionResult:
    """What a region came to.

    Attributes:
        seconds: putting it together took.
        pixels: that are mapped; with none there is no map.
        areas: square metres of each class.
    """

    seconds: float
    pixels: int
    areas: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What the STAC item of a finished region says that geoseg goes by.

    Attributes:
        key: what makes two maps of it the same work.
        pixels, area_m2: of each class.
        seconds: putting it together took.
        left_out: what was wrong with scenes, by name.
    """

    key: str
    pixels: dict[str, int]
    area_m2: dict[str, float]
    seconds: float
    left_out: dict[str, str]


def read_made(folder: Path) -> Made | None:
    """What a region's folder says of itself, None where no whole item, or not all that it names, is in it."""
    try:
        item = read_note(folder / f"{folder.name}.json") or {}
        names = [Path(asset["href"]).name for asset in item["assets"].values()]
        properties = item["properties"]
        made = checked(Made, {name: properties[f"geoseg:{name}"] for name in Made.__dataclass_fields__})
        # What they hold may be somebody's own by now, such as a map that was mended by hand.
        return made if all((folder / name).is_file() for name in names) else None
    except (OSError, *UNSOUND):
        return None


def read_note(path: Path) -> dict[str, Any] | None:
    """A JSON object that was written down, None where there is none that is whole."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
