"""Coordinate systems that would have PROJ open a file: told by their text, before PROJ sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from geoseg.errors import GeosegError

# PROJ takes it from the environment, in each of the libraries that bring a PROJ of their own.
os.environ["PROJ_NETWORK"] = "OFF"

# The name is what is between quotes in WKT and PROJJSON, and what is after "=" in PROJ's strings.
_GRID = re.compile(
    r"""
    (?:PROJ4_GRIDS["']{1,2}\s*,\s*["']                          # WKT 1: EXTENSION["PROJ4_GRIDS","name"]
    | PARAMETERFILE\s*[\[(]\s*"[^"]*"\s*,\s*"    # WKT 2: PARAMETERFILE["what it is","name"]
    | \bfile"\s*,\s*"value"\s*:\s*"                             # PROJJSON: "name": "... file", "value": "name"
    )(?P<quoted>[^"']*)
    | (?:grids|init|file|model|datumgrid_file)\s*=\s*(?P<plain>"[^"]*"|'[^']*'|[^\s"'<>|\]]*)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ELSEWHERE = re.compile(r"[/\\:]|\.\.")
# "+init=epsg:4326" is an old way to write a code.
_CODE = re.compile(r"(?:epsg|esri|iau|ogc|ignf):\w+", re.IGNORECASE)


def grid_elsewhere(text: str) -> str:
    """The first grid file that the text of a CRS (WKT, PROJJSON or PROJ's own) names by a path or address, or "".

    A plain name is one of PROJ's own grids, and opens no other file.

    >>> grid_elsewhere("+proj=longlat +ellps=WGS84 +nadgrids=@null,/etc/hostname")
    '/etc/hostname'
    >>> grid_elsewhere('EXTENSION["PROJ4_GRIDS","us_noaa_alaska.tif"]')
    ''
    """
    for match in _GRID.finditer(text):
        names = (match["quoted"] or match["plain"] or "").strip("\"'")
        for name in map(str.strip, names.split(",")):
            if _ELSEWHERE.search(name) and not _CODE.fullmatch(name):
                return name.removeprefix("@")[:200]
    return ""


def refuse_grid_elsewhere(text: str, path: str | Path, error: type[GeosegError]) -> None:
    """Refuse a file with the text of a CRS that names a grid by a path or address.

    Raises:
        GeosegError: of the given type.
    """
    grid = grid_elsewhere(text)
    if grid:
        raise error(
            f"{path}: its coordinate system names the file {grid}, which would be opened with it; assign a coordinate "
            "system that names none, such as an EPSG code"
        )
