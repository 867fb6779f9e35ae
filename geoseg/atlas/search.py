"""Scenes from a STAC API: what lies over the regions, as items. Needs `pip install 'geoseg[stac]'`."""

from __future__ import annotations

import urllib.parse
from typing import Any

import shapely

from geoseg.atlas.globe import lonlat_boxes
from geoseg.documents import UNSOUND
from geoseg.errors import OptionError, SceneError
from geoseg.raster import first_line
from geoseg.registry import suggestion

PREFIX = "stac+"
_KNOWN = ("collections", "datetime", "max_cloud")


def search(address: str, regions: list[shapely.Geometry] | None) -> list[dict[str, Any]]:
    """Search an API.

    Args:
        address: such as "stac+https://host/v1?collections=sentinel-2-l2a&datetime=2024-06/2024-08&max_cloud=20".
        regions: outlines in longitude and latitude, unwrapped.

    Raises:
        OptionError: a query that cannot be, no regions to search over, or pystac-client is not installed.
        SceneError: the API does not answer, or finds nothing.
    """
    if regions is None:
        raise OptionError(f"{address}: an API is searched for scenes over regions; give a file of regions")
    try:
        from pystac_client import Client
        from pystac_client.exceptions import APIError
    except ImportError as error:
        raise OptionError("a STAC API needs pystac-client, not installed here; pip install 'geoseg[stac]'") from error
    url, query = _split(address)
    cloud = query.get("max_cloud")
    found: dict[str, dict[str, Any]] = {}
    try:
        client = Client.open(url, timeout=60)
        for box in _bounds(regions):
            pages = client.search(
                bbox=box,
                collections=query["collections"].split(",") if "collections" in query else None,
                datetime=query.get("datetime"),
                query=None if cloud is None else {"eo:cloud_cover": {"lte": float(cloud)}},
            )
            found |= {f"{item.get('collection')}/{item['id']}": item for item in pages.items_as_dicts()}
    except (APIError, NotImplementedError, OSError, *UNSOUND) as error:
        raise SceneError(f"{address}: the API cannot be searched: {first_line(error)}; check its address") from error
    if not found:
        raise SceneError(f"{address}: the API has no scene over the regions; ask for other dates or collections")
    return list(found.values())


def _split(address: str) -> tuple[str, dict[str, str]]:
    """The API's own address, and what to ask for."""
    parts = urllib.parse.urlsplit(address.removeprefix(PREFIX))
    query = dict(urllib.parse.parse_qsl(parts.query))
    for name in query:
        if name not in _KNOWN:
            raise OptionError(f"{address}: '{name}' cannot be asked for; {suggestion(name, _KNOWN)}")
    if "max_cloud" in query and not query["max_cloud"].replace(".", "", 1).isdecimal():
        raise OptionError(f"{address}: max_cloud is '{query['max_cloud']}'; give a percentage, such as 20")
    return urllib.parse.urlunsplit(parts._replace(query="")), query


def _bounds(regions: list[shapely.Geometry]) -> list[tuple[float, float, float, float]]:
    """Boxes around the regions, one on each side of the antimeridian where they lie on both."""
    boxes = [box for region in regions for box in lonlat_boxes(region)]
    sides = [[box for box in boxes if box[0] < 0], [box for box in boxes if box[0] >= 0]]
    crossing = any(len(lonlat_boxes(region)) > 1 for region in regions)
    groups = sides if crossing else [boxes]
    return [_around(group) for group in groups if group]


def _around(boxes: list[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)
