"""The index of a chip folder: what chips there are, where they lie, and how they were made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geoseg.errors import ChipError, LeakError, LegendError
from geoseg.legend import Legend
from geoseg.raster import first_line
from geoseg.statistics import BandStatistics

FORMAT = 1
INDEX = "index.parquet"
DESCRIPTION = "chips.json"
MAX_BYTES = 10_000_000
COLUMNS = ("image", "label", "split", "scene", "row", "col", "height", "width")


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
    """

    folder: Path
    frame: gpd.GeoDataFrame
    bands: tuple[str, ...]
    legend: Legend
    statistics: BandStatistics
    ground_sample_distance: float | None
    options: dict[str, Any]

    def of(self, split: str) -> gpd.GeoDataFrame:
        """The chips of one split."""
        return self.frame[self.frame["split"] == split]

    def counts(self, split: str) -> npt.NDArray[np.int64]:
        """Labelled pixels (chips, classes) of one split."""
        return np.asarray(self.of(split)[count_columns(self.legend)], np.int64)


def count_columns(legend: Legend) -> list[str]:
    """Names of the columns that count labelled pixels, in the order of the legend."""
    return [f"pixels_{id_}" for id_ in legend.ids]


def write_index(folder: Path, frame: gpd.GeoDataFrame, description: dict[str, Any]) -> None:
    """Write the index and the description of a chip folder."""
    frame.to_parquet(folder / INDEX, write_covering_bbox=True, schema_version="1.1.0")
    (folder / DESCRIPTION).write_text(json.dumps({"format": FORMAT} | description, indent=1), encoding="utf-8")


def read_index(folder: str | Path) -> ChipIndex:
    """Open a chip folder.

    Raises:
        ChipError: it is not one, is broken, or is from a newer geoseg.
        LeakError: chips of different splits share ground.
    """
    folder = Path(folder)
    try:
        text = (folder / DESCRIPTION).read_text(encoding="utf-8")
        if len(text) > MAX_BYTES:
            raise ChipError(f"{folder / DESCRIPTION}: is larger than {MAX_BYTES} bytes; it was not made by geoseg tile")
        description = json.loads(text)
        if description["format"] > FORMAT:
            raise ChipError(
                f"{folder}: was made by a newer geoseg (chip format {description['format']}); update geoseg"
            )
        frame = gpd.read_parquet(folder / INDEX)
        index = ChipIndex(
            folder,
            frame,
            tuple(str(band) for band in description["bands"]),
            Legend.from_dict(description["legend"]),
            BandStatistics.from_dict(description["statistics"]),
            description["ground_sample_distance"],
            dict(description["options"]),
        )
        gap = int(index.options["gap"])
        missing = {*COLUMNS, *count_columns(index.legend)} - set(frame.columns)
        if missing:
            raise ChipError(f"{folder / INDEX}: has no column {sorted(missing)[0]!r}; make the chips again")
    except FileNotFoundError as error:
        raise ChipError(f"{folder}: is not a chip folder (no {DESCRIPTION}); make one with 'geoseg tile'") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, LegendError) as error:
        raise ChipError(f"{folder}: its index cannot be read: {first_line(error)}; make the chips again") from error
    check_leaks(frame, gap, str(folder))
    return index


def check_leaks(frame: gpd.GeoDataFrame, gap: int, name: str) -> None:
    """Refuse chips of different splits that share ground, or lie closer than the gap in one scene.

    Args:
        frame: the index.
        gap: pixels that must lie between chips of different splits of one scene.
        name: what to call the chips in the error.

    Raises:
        LeakError: names the first such pair.
    """
    left, top = frame["col"].to_numpy(), frame["row"].to_numpy()
    right, bottom = left + frame["width"].to_numpy(), top + frame["height"].to_numpy()
    scenes = frame["scene"].to_numpy()
    splits = frame["split"].to_numpy()
    footprints = frame.geometry.to_numpy()
    windows = shapely.box(left, top, right, bottom)
    reach = shapely.box(left - gap, top - gap, right + gap, bottom + gap)
    for boxes, grown, same_scene in ((windows, reach, True), (footprints, footprints, False)):
        one, other = shapely.STRtree(boxes).query(grown, predicate="intersects")[::-1]
        apart = (splits[one] != splits[other]) & ((scenes[one] == scenes[other]) == same_scene)
        one, other = one[apart], other[apart]
        # Neighbours that merely touch share no ground.
        shared = shapely.area(shapely.intersection(boxes[one], grown[other])) > 1e-6 * shapely.area(boxes[one])
        for a, b in zip(one[shared][:1], other[shared][:1], strict=True):
            what = f"lie less than {gap} pixels apart" if same_scene else "share ground"
            raise LeakError(
                f"{name}: the {splits[a]} chip {frame['image'].iloc[a]} and the {splits[b]} chip "
                f"{frame['image'].iloc[b]} {what}, so scores would be too good; split by ground, not by file"
            )
