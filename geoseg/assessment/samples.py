"""Points that people have labelled, and what they say of a map."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.windows import Window

from geoseg.assessment.matching import require_match
from geoseg.class_raster import ClassRaster
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels.columns import classes_of
from geoseg.legend import IGNORE, Legend
from geoseg.placing import moved
from geoseg.vector import read_vector

logger = logging.getLogger(__name__)

REFERENCE = "reference_id"
"""Column that whoever looks at the points fills in."""

SAMPLE = "sample_id"
"""Column that numbers them."""

STRATUM, STRATUM_NAME, STRATUM_PIXELS = "stratum_id", "stratum", "stratum_pixels"
"""Columns that say where a point was drawn, and from how many pixels."""

Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """Where samples were drawn.

    Attributes:
        of: (n,) stratum of each sample, 0 to H - 1.
        ids: (H,) what the strata were called in the raster they came from.
        names: of them.
        pixels: (H,) how many each has.
    """

    of: npt.NDArray[np.int64]
    ids: tuple[int, ...]
    names: tuple[str, ...]
    pixels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Points with a class each.

    Attributes:
        path: the file.
        points: of the labelled ones, in the CRS of the map.
        reference: (n,) their class indices in the map's legend, `STRANGER` for classes it lacks.
        strata: where they were drawn; None when the file does not say.
        unlabelled: points without a class, which are not among these.
        lacking: names of classes that the map's legend lacks.
    """

    path: Path
    points: npt.NDArray[Any]
    reference: Indices
    strata: Strata | None
    unlabelled: int
    lacking: tuple[str, ...] = ()


def read_samples(
    path: Path, grid: Grid, legend: Legend, *, field: str | None = None, layer: str | None = None
) -> Samples:
    """Read points that were labelled, such as those of `geoseg sample`.

    Args:
        path: a vector file of points.
        grid: of the map they are for.
        legend: of the map.
        field: column that holds the class, as id or name; `reference_id` or what it is found by when None.
        layer: its layer, where it has several.

    Raises:
        LabelError: no points, none labelled, one that is there twice, classes the map does not have, or no way to
            place them.
    """
    frame = read_vector(path, layer=layer)
    if not (frame.geom_type == "Point").all():
        raise LabelError(f"{path}: holds other shapes than points; samples are points, one for each pixel looked at")
    if (frame.crs is None) != (grid.crs is None):
        raise LabelError(f"{path}: one of samples and map has a CRS and the other has none; assign the missing one")
    name = _field(path, frame, field)
    strata = _strata(path, frame)
    own = classes_of(path, frame, name, None, None)
    found = require_match(path, own.legend, legend, numbered=own.numbered)
    kept = own.frame.index.to_numpy()
    _require_each_once(path, own.frame)
    points = own.frame.geometry if grid.crs is None else moved(own.frame.geometry, grid.crs, path, LabelError)
    if strata is not None:
        strata = Strata(strata.of[kept], strata.ids, strata.names, strata.pixels)
    unlabelled = len(frame) - len(kept)
    return Samples(path, points.to_numpy(), found.table[own.indices], strata, unlabelled, found.lacking)


def sample_field(path: Path, field: str | None = None, layer: str | None = None) -> str | None:
    """The column of a file of samples that holds their class, None where it must be found out.

    Raises:
        LabelError: it is `reference_id`, and none is filled in.
    """
    return _field(path, read_vector(path, layer=layer), field)


def _field(path: Path, frame: gpd.GeoDataFrame, field: str | None) -> str | None:
    name = field or (REFERENCE if REFERENCE in frame.columns else None)
    if name in frame.columns and frame[name].isna().all():
        raise LabelError(
            f"{path}: none of its {len(frame)} points is labelled; fill in the column '{name}', in QGIS say"
        )
    return name


def _require_each_once(path: Path, frame: gpd.GeoDataFrame) -> None:
    """Refuse points that are there twice: they would count as two looks at the ground, and narrow the intervals.

    Numbers that occur twice are suspicious only: two draws that were put together each begin with 1.
    """
    repeated = frame.geometry.to_wkb().duplicated(keep=False).to_numpy()
    if repeated.any():
        rows = ", ".join(str(row + 1) for row in frame.index[repeated][:5])
        raise LabelError(
            f"{path}: {int(repeated.sum())} of {len(frame)} labelled points share their place with another (rows "
            f"{rows}, ...), and each would be counted; keep one for each place"
        )
    if SAMPLE in frame.columns and (again := int(frame[SAMPLE].dropna().duplicated().sum())):
        logger.warning("%s: %d numbers in '%s' occur again, at other places; are these two draws?", path, again, SAMPLE)


def map_at(raster: ClassRaster, points: npt.NDArray[Any]) -> Indices:
    """Class indices (n,) of a map at points in its CRS, `IGNORE` outside and where it has no class."""
    t, x, y = ~raster.grid.transform, shapely.get_x(points), shapely.get_y(points)
    cols, rows = np.floor(t.a * x + t.b * y + t.c), np.floor(t.d * x + t.e * y + t.f)
    height, width = raster.grid.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    result = np.full(len(points), IGNORE, np.uint8)
    # In the order of the file's blocks, so that each is inflated once.
    for place in sorted(np.flatnonzero(inside), key=lambda at: (rows[at] // 512, cols[at] // 512)):
        result[place] = raster.read(Window(int(cols[place]), int(rows[place]), 1, 1))[0, 0]
    return result


def _strata(path: Path, frame: gpd.GeoDataFrame) -> Strata | None:
    """What the file says of its strata; points of one stratum must agree on its size."""
    if STRATUM not in frame.columns or STRATUM_PIXELS not in frame.columns:
        return None
    if frame[STRATUM].isna().any() or frame[STRATUM_PIXELS].isna().any():
        raise LabelError(
            f"{path}: some points have no '{STRATUM}' or '{STRATUM_PIXELS}', so they cannot be weighed; restore them "
            "or leave both columns out"
        )
    try:
        ids, of = np.unique(_whole(frame[STRATUM]), return_inverse=True)
        pixels = _whole(frame[STRATUM_PIXELS])
    except (ValueError, TypeError, OverflowError) as error:
        raise LabelError(f"{path}: '{STRATUM}' and '{STRATUM_PIXELS}' must be whole numbers; restore them") from error
    if (pixels < 1).any():
        raise LabelError(
            f"{path}: a point has a '{STRATUM_PIXELS}' of {pixels.min()}, and a stratum that it was drawn from has 1 "
            "or more; restore the column"
        )
    sizes = np.zeros(len(ids), np.int64)
    sizes[of] = pixels
    if (sizes[of] != pixels).any():
        raise LabelError(f"{path}: points of one stratum have several '{STRATUM_PIXELS}'; a stratum has one size")
    names = frame[STRATUM_NAME] if STRATUM_NAME in frame.columns else frame[STRATUM]
    named = dict(zip(of.tolist(), map(str, names), strict=True))
    return Strata(of, tuple(ids.tolist()), tuple(named[place] for place in range(len(ids))), sizes)


def _whole(values: Any) -> npt.NDArray[np.int64]:
    """A column of numbers as whole ones.

    Raises:
        ValueError: they are not, or not exactly so as floats.
    """
    numbers = values.to_numpy(np.float64)
    if not ((np.abs(numbers) < 2**53) & (numbers == np.round(numbers))).all():
        raise ValueError
    return np.asarray(numbers.astype(np.int64))
