"""Where the scenes of an atlas come from: files, an index of files, or a STAC item collection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from geoseg.antimeridian import unwrapped
from geoseg.atlas.globe import in_degrees
from geoseg.atlas.scenes import Candidate
from geoseg.atlas.search import PREFIX, search
from geoseg.documents import UNSOUND, parse_json
from geoseg.drivers import is_raster
from geoseg.errors import OptionError, SceneError
from geoseg.names import is_remote
from geoseg.placing import DEGREES, require_way
from geoseg.readers import ReadOptions, Source, Words, find_sources
from geoseg.readers._products import BandFile
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.readers.stack import open_stack
from geoseg.registry import suggestion
from geoseg.scene import Scene
from geoseg.vector import read_vector

logger = logging.getLogger(__name__)

INDEXES = (".gpkg", ".fgb", ".parquet", ".shp", ".gti")
_LOCATIONS = ("location", "path", "filename", "file")
_TIMES = ("datetime", "date", "timestamp", "time")
_MOST_JSON = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Assets:
    """Files of a STAC item that make one scene, each with the bands of one asset.

    Attributes:
        name: of the item.
        keys: of the assets.
        files: one for each.
        options: how they are read.
    """

    name: str
    keys: tuple[str, ...]
    files: tuple[str, ...]
    options: ReadOptions

    def open(self) -> Scene:
        """Open the scene; an asset of one band gives it its name.

        Raises:
            SceneError: it cannot be opened.
        """
        if len(self.files) == 1:
            return GeoTiffScene(self.files[0], self.options)
        files = [BandFile(path, name=key) for key, path in zip(self.keys, self.files, strict=True)]
        return open_stack(self.name, files, self.options)


def find_candidates(
    scenes: Words,
    *,
    assets: tuple[str, ...] | None = None,
    regions: list[shapely.Geometry] | None = None,
    **reading: Unpack[ReadOptions],
) -> list[Candidate]:
    """Find scenes.

    Args:
        scenes: files, folders or patterns as `geoseg.readers.find_sources` takes them; or one index (a vector file
            with a column `location`, as gdaltindex makes it); or one STAC item collection (.json); or a STAC API, see
            `geoseg.atlas.search`.
        assets: of STAC items, which are the bands; all assets that look like data where there is only one such.
        regions: outlines in longitude and latitude that a STAC API is searched over.
        **reading: how scenes are read.

    Raises:
        SceneError: nothing is there, or an index that names no files.
        OptionError: options that do not go with the kind of source.
    """
    words = [scenes] if isinstance(scenes, str | Path) else list(scenes)
    if len(words) == 1 and str(words[0]).startswith(PREFIX):
        return list(_items(search(str(words[0]), regions), Path(str(words[0])), assets, reading))
    alone = Path(str(words[0])) if len(words) == 1 and not is_remote(words[0]) else None
    if alone is not None and alone.is_file():
        if alone.suffix.lower() in (".json", ".geojson"):
            return list(_items(_features(alone), alone, assets, reading))
        if alone.suffix.lower() in INDEXES and not is_raster(alone):
            return list(_indexed(alone, reading))
    if assets is not None:
        raise OptionError("--assets names assets of STAC items; give a STAC item collection as --scenes")
    # Workers have working directories of their own.
    return [Candidate(Source.from_dict(source.to_dict())) for source in find_sources(words, **reading)]


def _indexed(path: Path, reading: ReadOptions) -> Iterator[Candidate]:
    """Scenes of an index of files with their footprints."""
    frame = read_vector(path, error=SceneError)
    columns = {str(name).lower(): name for name in frame.columns}
    column = next((columns[name] for name in _LOCATIONS if name in columns), None)
    if column is None:
        raise SceneError(
            f"{path}: has no column 'location' with the path of each scene; make an index with 'gdaltindex'"
        )
    if frame.crs is None:
        raise SceneError(f"{path}: has no CRS, so its footprints have no place on the Earth; make it with 'gdaltindex'")
    when = next((columns[name] for name in _TIMES if name in columns), None)
    crs = pyproj.CRS(frame.crs)
    require_way(crs, DEGREES, path, SceneError)
    for _, row in frame.iterrows():
        if not row[column]:
            raise SceneError(f"{path}: names no file in a row of its column '{column}'; mend the index")
        location = _resolved(str(row[column]), path, reading)
        try:
            moment = None if when is None else _moment(row[when])
        except ValueError as error:
            raise SceneError(
                f"{path}: holds {str(row[when])[:60]!r} in its column '{when}', which is no date; write dates as "
                "2024-05-06, or rename the column"
            ) from error
        outline = in_degrees(shapely.segmentize(row[frame.geometry.name], _reach(frame)), crs)
        yield Candidate(Source(location, (location,), reading), None if moment is None else (moment, moment), outline)


def _features(path: Path) -> list[Any]:
    """What an item collection holds, or a file of one item."""
    try:
        if path.stat().st_size > _MOST_JSON:
            raise SceneError(f"{path}: is larger than any item collection; split it")
        found = parse_json(path.read_bytes())
        return list(found["features"]) if found.get("type") == "FeatureCollection" else [found]
    except (OSError, *UNSOUND) as error:
        raise SceneError(f"{path}: is not a STAC item collection: {type(error).__name__}; give a FeatureCollection of "
                         "items with assets") from error  # fmt: skip


def _items(
    features: list[Any], path: Path, assets: tuple[str, ...] | None, reading: ReadOptions
) -> Iterator[Candidate]:
    """Scenes of STAC items, least cloudy first, then newest."""
    items = [feature for feature in features if _is_item(feature)]
    if not items:
        raise SceneError(f"{path}: holds no STAC item with assets; save the result of a search with 'save_object'")
    for item in sorted(items, key=_rank):
        yield _item(item, path, assets, reading)


def _is_item(feature: Any) -> bool:
    """True for a STAC item that files can be told from."""
    if not isinstance(feature, dict):
        return False
    assets, properties = feature.get("assets"), feature.get("properties")
    return (
        feature.get("type") == "Feature"
        and isinstance(properties, dict | None)
        and isinstance(assets, dict)
        and all(isinstance(asset, dict) for asset in assets.values())
    )


def _item(item: dict[str, Any], path: Path, assets: tuple[str, ...] | None, reading: ReadOptions) -> Candidate:
    name = str(item.get("id", "item"))
    keys = assets or _data_assets(item, name, path)
    for key in keys:
        if key not in item["assets"]:
            raise SceneError(f"{path}: the item {name} has no asset '{key}'; {suggestion(key, sorted(item['assets']))}")
    files = tuple(_resolved(str(item["assets"][key].get("href", "")), path, reading) for key in keys)
    geometry = item.get("geometry")
    try:
        with np.errstate(invalid="ignore"):
            outline = unwrapped(shapely.geometry.shape(geometry)) if geometry else None
        if outline is not None and not np.isfinite(outline.bounds).all():
            raise ValueError("coordinates that are no numbers")
        times = _times(item.get("properties") or {})
    except (shapely.errors.ShapelyError, *UNSOUND) as error:
        raise SceneError(f"{path}: the item {name} has a geometry or time that cannot be read; mend it") from error
    return Candidate(Assets(name, tuple(keys), files, reading), times, outline)


def _is_data(roles: Any) -> bool:
    """True when the roles of an asset, a list of words, say that it is data; "metadata" does not."""
    return isinstance(roles, list) and "data" in roles


def _data_assets(item: dict[str, Any], name: str, path: Path) -> tuple[str, ...]:
    data = [key for key, asset in item["assets"].items() if _is_data(asset.get("roles"))]
    keys = data or list(item["assets"])
    if len(keys) != 1:
        raise OptionError(
            f"{path}: the item {name} has {len(keys)} assets ({', '.join(keys[:12])}); say with --assets which are the "
            "bands, in the model's order"
        )
    return tuple(keys)


def _rank(item: dict[str, Any]) -> tuple[float, str, str]:
    properties = item.get("properties") or {}
    cloud = properties.get("eo:cloud_cover")
    moment = str(properties.get("datetime") or properties.get("start_datetime") or "")
    # Newest first: each character counts from the far end.
    newest = "".join(chr(0x10FFFF - ord(character)) for character in moment)
    share = float(cloud) if isinstance(cloud, int | float) and 0 <= cloud <= 100 else 1000.0
    return share, newest, str(item.get("id"))


def _times(properties: dict[str, Any]) -> tuple[str, str] | None:
    """First and last moment of a STAC item.

    Raises:
        ValueError: something else is in their place.
    """
    moment = properties.get("datetime")
    first, last = (_moment(properties.get(key) or moment) for key in ("start_datetime", "end_datetime"))
    return (first, last) if first and last else None


def _moment(value: Any) -> str | None:
    """A date or time as RFC 3339 in UTC, which it is taken for where it names no zone; None where there is none.

    Raises:
        ValueError: it is neither.

    >>> _moment("2024-05-06"), _moment("2024-05-06 01:30:00+02:00")
    ('2024-05-06T00:00:00Z', '2024-05-05T23:30:00Z')
    """
    if value is None or value != value or value == "":
        return None
    moment = pd.Timestamp(str(value))
    moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _resolved(location: str, index: Path, reading: ReadOptions) -> str:
    """A file that an index names; others' lists open no file outside of their folder unless they are trusted."""
    trusted = reading.get("allow_remote", False)
    if not location:
        raise SceneError(f"{index}: names an empty path; mend the index")
    if is_remote(location):
        if not trusted:
            raise SceneError(f"{index}: names {location[:200]}; give --allow-remote if you trust it to open addresses")
        return location
    try:
        target = (index.resolve().parent / location).resolve()
    except (OSError, ValueError) as error:
        raise SceneError(f"{index}: names {location[:200]!r}, which no file is called; mend the index") from error
    if not trusted and not target.is_relative_to(index.resolve().parent):
        raise SceneError(
            f"{index}: names {location[:200]}, outside of its folder {index.resolve().parent}; give --allow-remote if "
            "you trust it"
        )
    return str(target)


def _reach(frame: gpd.GeoDataFrame) -> float:
    """Distance between points along footprints, in units of their CRS."""
    west, south, east, north = frame.total_bounds
    return float(max(east - west, north - south, 1e-6)) / 1000
