"""The index of a chip folder: what chips there are, where they lie, and how they were made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from pandas.api.types import is_integer_dtype

from geoseg.documents import UNSOUND, parse_json, read_document
from geoseg.errors import ChipError, LeakError, LegendError
from geoseg.legend import Legend
from geoseg.raster import first_line
from geoseg.statistics import BandStatistics
from geoseg.vector import read_parquet

FORMAT = 2
INDEX = "index.parquet"
DESCRIPTION = "chips.json"
MAX_BYTES = 10_000_000
_LARGEST = 2**31 - 1
"""Pixels; more GDAL takes of no raster."""
_LONGEST_NAME = 255
ORIGIN = ("sources", "label_files", "label_fields", "label_options", "fingerprint")


class ChipRow(NamedTuple):
    """Where the pixels of a chip are: its files, and its window of its scene; `COLUMNS` of the index."""

    image: str
    label: str
    split: str
    scene: int
    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ChipIndex:
    """A chip folder, as training sees it.

    Attributes:
        folder: where the chips are.
        frame: a row per chip: `image` and `label` (paths in the folder), `split`, `scene`, `row`, `col`, `height`,
            `width` (its window), `pixels_<id>` (labelled pixels per class), `geometry` (footprint).
        bands: names of the image's bands.
        legend: the classes.
        statistics: of the bands, over the training chips.
        ground_sample_distance: of the scenes, in metres, None when they have no CRS.
        options: how the chips were made, as in chips.json.
        origin: the scenes and labels they were cut from, as in chips.json.
    """

    folder: Path
    frame: gpd.GeoDataFrame
    bands: tuple[str, ...]
    legend: Legend
    statistics: BandStatistics
    ground_sample_distance: float | None
    options: dict[str, Any]
    origin: dict[str, Any]

    @property
    def is_virtual(self) -> bool:
        """True when the chips have no files and are read from the scenes."""
        return bool(self.options.get("virtual"))

    def of(self, split: str) -> gpd.GeoDataFrame:
        """The chips of one split."""
        return self.frame[self.frame["split"] == split]

    def rows(self, split: str) -> list[ChipRow]:
        """The chips of one split, to be read from a store."""
        return [ChipRow(*values) for values in self.of(split)[list(COLUMNS)].itertuples(index=False, name=None)]

    def require_files(self) -> None:
        """Make sure that every chip's files are there and whole.

        Raises:
            ChipError: one is gone or cut short.
        """
        if self.is_virtual:
            return
        for kind, size in zip(("image", "label"), SIZES, strict=True):
            for name, wanted in zip(self.frame[kind], self.frame[size], strict=True):
                path = self.folder / name
                if not path.is_file():
                    raise ChipError(f"{path}: is gone though the index lists it; make the chips again")
                if path.stat().st_size != wanted:
                    found = path.stat().st_size
                    raise ChipError(f"{path}: has {found} bytes and had {wanted} when it was cut; make the chips again")

    def counts(self, split: str) -> npt.NDArray[np.int64]:
        """Labelled pixels (chips, classes) of one split."""
        return np.asarray(self.of(split)[count_columns(self.legend)], np.int64)


COLUMNS = ChipRow._fields
SIZES = ("image_bytes", "label_bytes")


def count_columns(legend: Legend) -> list[str]:
    """Names of the columns that count labelled pixels, in the order of the legend."""
    return [f"pixels_{id_}" for id_ in legend.ids]


def write_index(folder: Path, frame: gpd.GeoDataFrame, description: dict[str, Any]) -> None:
    """Write the index and the description of a chip folder."""
    frame.to_parquet(folder / INDEX, write_covering_bbox=True, schema_version="1.1.0")
    (folder / DESCRIPTION).write_text(json.dumps({"format": FORMAT} | description, indent=1), encoding="utf-8")


def read_index(folder: str | Path, fold: int | None = None) -> ChipIndex:
    """Open a chip folder.

    Args:
        folder: what `geoseg.tile` made.
        fold: of chips that were cut in folds, the one that is held out as validation; all others are for training.
            Without it, splits are the folds.

    Raises:
        ChipError: it is not one, is broken, is from a newer geoseg, or has no such fold.
        LeakError: chips of different splits share ground.
    """
    folder = Path(folder)
    try:
        description = parse_json(read_document(folder / DESCRIPTION, MAX_BYTES))
        if description["format"] > FORMAT:
            raise ChipError(
                f"{folder}: was made by a newer geoseg (chip format {description['format']}); update geoseg"
            )
        if description["format"] < FORMAT:
            raise ChipError(f"{folder}: was made by an older geoseg; make the chips again")
        frame = read_parquet(folder / INDEX)
        index = ChipIndex(
            folder,
            frame,
            tuple(str(band) for band in description["bands"]),
            Legend.from_dict(description["legend"]),
            BandStatistics.from_dict(_of_fold(description, fold, folder)),
            description["ground_sample_distance"],
            dict(description["options"]),
            {name: description.get(name) for name in ORIGIN},
        )
        gap = int(index.options["gap"])
        if not 0 <= gap <= _LARGEST:
            raise ValueError(f"its gap is {gap} pixels")
        missing = {*COLUMNS, *SIZES, *count_columns(index.legend)} - set(frame.columns)
        if missing:
            raise ChipError(f"{folder / INDEX}: has no column {sorted(missing)[0]!r}; make the chips again")
        _require_sense(frame, count_columns(index.legend))
    except FileNotFoundError as error:
        raise ChipError(f"{folder}: is not a chip folder (no {DESCRIPTION}); make one with 'geoseg tile'") from error
    except (OSError, MemoryError, LegendError, *UNSOUND) as error:
        # Arrow also finds no memory for what a damaged file declares.
        remedy = ("free some memory, or " if isinstance(error, MemoryError) else "") + "make the chips again"
        raise ChipError(f"{folder}: its index cannot be read: {first_line(error)}; {remedy}") from error
    check_leaks(frame, gap, str(folder))
    if fold is not None:
        frame["split"] = np.where(frame["split"] == f"fold_{fold}", "val", "train")
    return index


def _require_sense(frame: gpd.GeoDataFrame, counts: list[str]) -> None:
    """Raise ValueError for a table that `geoseg tile` could not have written."""
    for name in ("scene", "row", "col", "height", "width", *SIZES, *counts):
        least = 1 if name in ("height", "width") else 0
        if not is_integer_dtype(frame[name]) or (frame[name] < least).any():
            raise ValueError(f"its column '{name}' holds other things than whole numbers from {least}")
    if (frame[["row", "col", "height", "width"]] > _LARGEST).to_numpy().any():
        raise ValueError("it holds chips beyond what any raster has")
    if not np.isfinite(frame.geometry.bounds).to_numpy().all():
        raise ValueError("it holds chips without a place")
    for name in ("image", "label", "split"):
        if not all(isinstance(text, str) for text in frame[name]):
            raise ValueError(f"its column '{name}' holds other things than texts")
    for name in (*frame["image"], *frame["label"]):
        parts = PurePath(name).parts
        if PurePath(name).is_absolute() or ".." in parts or "\0" in name or len(parts) > 2:
            raise ValueError(f"it names {name[:80]!r}, which is not in its folder")
        if any(len(part.encode()) > _LONGEST_NAME for part in parts):
            raise ValueError(f"it names {name[:80]!r}, which no file system can hold")


def _of_fold(description: dict[str, Any], fold: int | None, folder: Path) -> dict[str, list[float]]:
    """The statistics to use."""
    statistics: dict[str, Any] = description["statistics"]
    folds = description["options"].get("folds")
    if folds is None:
        if fold is not None:
            raise ChipError(f"{folder}: was not cut in folds; leave --fold out, or cut it with 'geoseg tile --folds'")
        return statistics
    if fold is not None and not 0 <= fold < folds:
        raise ChipError(f"{folder}: has no fold {fold}; it was cut in {folds}, 0 to {folds - 1}")
    return dict(statistics[f"fold_{fold or 0}"])


def check_leaks(frame: gpd.GeoDataFrame, gap: int, name: str) -> None:
    """Refuse chips of different splits that share ground or lie closer than the gap, in one scene or across scenes.

    Args:
        frame: the index.
        gap: pixels that must lie between chips of different splits.
        name: what to call the chips in the error.

    Raises:
        LeakError: names the first such pair.
    """
    for one, other in leaking_pairs(frame, gap)[:1]:
        splits, images = frame["split"].to_numpy(), frame["image"].to_numpy()
        raise LeakError(
            f"{name}: the {splits[one]} chip {images[one]} and the {splits[other]} chip {images[other]} lie less than "
            f"{gap} pixels apart, so scores would be too good; make the chips again"
        )


def leaking_pairs(frame: gpd.GeoDataFrame, gap: int) -> npt.NDArray[np.int64]:
    """Pairs (n, 2) of rows whose chips are of different splits and closer than `gap` pixels.

    Within a scene pixels count, across scenes the ground; scenes without a CRS have no ground to compare.
    """
    left, top = frame["col"].to_numpy(), frame["row"].to_numpy()
    height, width = frame["height"].to_numpy(), frame["width"].to_numpy()
    splits, scenes = frame["split"].to_numpy(), frame["scene"].to_numpy()
    windows = shapely.box(left, top, left + width, top + height)
    near = shapely.box(left - gap, top - gap, left + width + gap, top + height + gap)
    pairs = [_meeting(windows, near, splits, scenes, same_scene=True)]
    if frame.crs is not None:
        footprints = frame.geometry.to_numpy()
        grown = _scaled(footprints, 1 + 2 * gap / np.stack([width, height], axis=1))
        pairs.append(_meeting(footprints, grown, splits, scenes, same_scene=False))
    return np.concatenate(pairs)


def _scaled(shapes: npt.NDArray[np.object_], factors: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    """Shapes enlarged about their middles by factors (n, 2) along x and y: a pixel may be as wide as it is not high."""
    corners, of = shapely.get_coordinates(shapes, return_index=True)
    bounds = shapely.bounds(shapes)
    middles = ((bounds[:, :2] + bounds[:, 2:]) / 2)[of]
    return np.asarray(shapely.set_coordinates(shapes.copy(), middles + (corners - middles) * factors[of]))


def _meeting(
    shapes: npt.NDArray[np.object_],
    grown: npt.NDArray[np.object_],
    splits: npt.NDArray[np.object_],
    scenes: npt.NDArray[np.int64],
    *,
    same_scene: bool,
) -> npt.NDArray[np.int64]:
    """Pairs (n, 2) of shapes of different splits of which the one, grown, overlaps the other."""
    one, other = shapely.STRtree(shapes).query(grown, predicate="intersects")[::-1]
    apart = (splits[one] != splits[other]) & ((scenes[one] == scenes[other]) == same_scene)
    one, other = one[apart], other[apart]
    # Neighbours that merely touch, or do so by rounding, share nothing.
    shared = shapely.area(shapely.intersection(shapes[one], grown[other])) > 1e-6 * shapely.area(shapes[one])
    return np.stack([one[shared], other[shared]], axis=1)
