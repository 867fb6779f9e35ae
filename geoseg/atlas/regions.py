"""Regions: the polygons that are mapped, each with a name of its own and a file name that cannot lead astray."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from rasterio.crs import CRS

from geoseg.atlas.globe import in_degrees, placed
from geoseg.errors import OptionError, RegionError
from geoseg.named_regions import name_of
from geoseg.names import plain_name
from geoseg.placing import DEGREES, require_way
from geoseg.registry import suggestion
from geoseg.vector import read_vector

logger = logging.getLogger(__name__)

_NAMES = ("name", "region", "admin", "title", "label", "id", "code")
_MOST_CELLS = 1_000_000
# Windows knows devices by these names, whatever the extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Region:
    """An area of interest.

    Attributes:
        name: as it was given.
        slug: the same as the name of a file or folder; no two regions share one, whatever the case of their letters.
        outline: polygon in longitude and latitude; beyond 180 degrees where it crosses the antimeridian.
    """

    name: str
    slug: str
    outline: shapely.Geometry


def read_regions(path: str | Path, *, layer: str | None = None, name_field: str | None = None) -> list[Region]:
    """Read the regions of a vector file.

    Args:
        path: polygons, in any CRS.
        layer: its name, where the file has several.
        name_field: column of the names; by default one called name, region, ..., else they are numbered.

    Raises:
        RegionError: no polygons, no CRS, two regions of one name, one without a name or without a place on the globe.
        OptionError: no such column.
    """
    frame = read_vector(path, layer=layer, error=RegionError)
    kept = frame[frame.geom_type.isin(["Polygon", "MultiPolygon"])].reset_index(drop=True)
    if kept.empty:
        raise RegionError(f"{path}: holds no polygons; each region to map is a polygon")
    if len(kept) < len(frame):
        logger.warning(
            "%s: %d of %d features are no polygons and are left out", path, len(frame) - len(kept), len(frame)
        )
    if kept.crs is None:
        raise RegionError(f"{path}: has no CRS, so its regions have no place on the Earth; assign one in QGIS")
    names = _names(path, kept, name_field)
    require_way(kept.crs, DEGREES, path, RegionError)
    outlines = [in_degrees(geometry, pyproj.CRS(kept.crs)) for geometry in _dense(kept)]
    for name, outline in zip(names, outlines, strict=True):
        if not np.isfinite(outline.bounds).all() or not -90 <= outline.bounds[1] <= outline.bounds[3] <= 90:
            raise RegionError(f"{path}: the region '{name}' has no place on the globe; check the file's CRS")
    return [Region(*item) for item in zip(names, slugs(names), outlines, strict=True)]


def slugs(names: list[str]) -> list[str]:
    """File names for names: letters, digits, `_` and `-`, at most 60; made different where two would be the same.

    >>> slugs(["Nord/Süd", "../../etc", "a b", "A_B"])
    ['Nord_Süd', 'etc', 'a_b-c8687a', 'A_B-6c1908']
    """
    plain = [plain_name(name).strip("_-") for name in names]
    plain = ["" if _DEVICES.match(slug) else slug for slug in plain]
    seen = Counter(slug.casefold() for slug in plain)
    return [
        slug if slug and seen[slug.casefold()] == 1 else f"{slug or 'region'}-{_digest(name)}"
        for slug, name in zip(plain, names, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Size:
    """Side of the cells of a grid of regions.

    Attributes:
        value: metres, or degrees.
        in_degrees: which of the two.
    """

    value: float
    in_degrees: bool

    @classmethod
    def parse(cls, text: str) -> Size:
        """A size such as "100km", "5000m" or "1deg".

        Raises:
            OptionError: no such size.

        >>> Size.parse("100km"), Size.parse("0.5deg")
        (Size(value=100000.0, in_degrees=False), Size(value=0.5, in_degrees=True))
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(km|m|deg)\s*", text, re.IGNORECASE)
        if match is None or float(match[1]) <= 0:
            raise OptionError(f"grid is '{text}'; write the side of its cells as 100km, 5000m or 1deg")
        unit = match[2].lower()
        return cls(float(match[1]) * (1000 if unit == "km" else 1), unit == "deg")


def grid_regions(size: Size, crs: CRS, areas: list[shapely.Geometry], *, clip: bool) -> list[Region]:
    """Square regions at whole multiples of their size from the origin of a CRS, where they meet some areas.

    Args:
        size: of their sides.
        crs: which they are square in.
        areas: polygons in degrees, unwrapped.
        clip: only the parts of cells inside of the areas.

    Raises:
        OptionError: degrees in a CRS of metres or the other way round, or more cells than anybody means.
    """
    if crs.is_geographic != size.in_degrees:
        wanted, unit = ("degrees", "1deg") if crs.is_geographic else ("metres", "100km")
        raise OptionError(
            f"the CRS of the maps, {crs.to_string()}, is in {wanted}; write --grid as {unit}, or give --crs"
        )
    side = size.value if crs.is_geographic else size.value / float(crs.linear_units_factor[1])
    laid = [placed(area, crs) for area in areas]
    tree = shapely.STRtree(laid)
    low, high = (np.array([shape.bounds for shape in laid])[:, span] for span in (slice(2), slice(2, 4)))
    first, last = np.floor(low.min(0) / side), np.ceil(high.max(0) / side)
    if not np.isfinite([first, last]).all() or np.prod(last - first) > _MOST_CELLS:
        raise OptionError(f"a grid of {size.value:g} {'degrees' if size.in_degrees else 'm'} has too many cells here")
    found = []
    for row in range(int(first[1]), int(last[1])):
        for col in range(int(first[0]), int(last[0])):
            cell = shapely.box(col * side, row * side, (col + 1) * side, (row + 1) * side)
            near = [laid[number] for number in tree.query(cell, predicate="intersects")]
            inside = shapely.union_all([shapely.intersection(shape, cell) for shape in near]) if near else None
            if inside is not None and inside.area > 0:
                name = f"x{col}_y{row}"
                # Points along the sides, or the cell would not be square any more in degrees.
                shape = shapely.segmentize(_polygons(inside) if clip else cell, side / 64)
                found.append(Region(name, name, in_degrees(shape, crs)))
    return found


def span_of(outlines: list[shapely.Geometry]) -> float:
    """Degrees of longitude between the middles of the first and the last, the short way round the globe."""
    middles = sorted((outline.bounds[0] + outline.bounds[2]) / 2 % 360 for outline in outlines)
    gaps = [after - before for before, after in itertools.pairwise(middles)]
    return 360 - float(max([*gaps, 360 - (middles[-1] - middles[0])]))


def _dense(frame: gpd.GeoDataFrame) -> Any:
    """Shapes with points along their edges, which are straight in their own CRS and nowhere else."""
    if frame.crs.is_geographic:
        return frame.geometry
    # As `fine_step` says, between such points an arc bulges by a millimetre.
    metres = 250.0 / float(frame.crs.axis_info[0].unit_conversion_factor or 1)
    return shapely.segmentize(frame.geometry.to_numpy(), metres)


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    """Its polygons alone, without the lines and points where it touches a cell's side."""
    parts = [part for part in shapely.get_parts(shape) if part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _names(path: str | Path, frame: gpd.GeoDataFrame, field: str | None) -> list[str]:
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field is not None and field not in columns:
        raise OptionError(f"{path}: has no column '{field}'; {suggestion(field, columns)}")
    by_name = {name.lower(): name for name in columns}
    field = field or next((by_name[name] for name in _NAMES if name in by_name), None)
    if field is None:
        return [str(number) for number in range(1, len(frame) + 1)]
    names = [name_of(value) for value in frame[field]]
    if "" in names:
        raise RegionError(
            f"{path}: the region in row {names.index('') + 1} has no name in the column '{field}'; give it one, or "
            "another column with --name-field"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        rows = [str(number) for number, name in enumerate(names, 1) if name == twice[0]]
        raise RegionError(
            f"{path}: {len(rows)} regions are called '{twice[0]}' in the column '{field}' (rows {', '.join(rows[:5])}) "
            "and each needs its own name: rename or dissolve them, or give another column with --name-field"
        )
    return names


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
