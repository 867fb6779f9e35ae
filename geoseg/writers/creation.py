"""Creation options of GDAL's COG driver that users may set: those that change how values are stored, not the values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile

from geoseg.errors import OptionError
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings
from geoseg.registry import assignments

_VALUES = {
    "COMPRESS": "DEFLATE|LZW|ZSTD|LZMA|NONE",
    "LEVEL": "[1-9]|1[0-9]|2[0-2]",
    "PREDICTOR": "YES|NO|STANDARD",
    "BLOCKSIZE": "128|256|512|1024|2048",
    "BIGTIFF": "YES|NO|IF_NEEDED|IF_SAFER",
    "STATISTICS": "YES|NO",
}
_PLACE = Affine(1, 0, 0, 0, -1, 64)
USUAL: Mapping[str, str] = {"COMPRESS": "DEFLATE", "BLOCKSIZE": "512", "BIGTIFF": "IF_SAFER"}
"""Where nothing is asked for."""


def creation_options(words: Sequence[str]) -> dict[str, str]:
    """Options of the COG driver, the usual ones where nothing else is asked for.

    They are tried on a small raster, so that what this GDAL was built without is known before any work.

    >>> creation_options(["compress=zstd", "LEVEL=9"])
    {'COMPRESS': 'ZSTD', 'BLOCKSIZE': '512', 'BIGTIFF': 'IF_SAFER', 'LEVEL': '9'}

    Args:
        words: such as "COMPRESS=ZSTD", in letters of any case.

    Raises:
        OptionError: no such option, a value that it cannot have, or a compression that is not there or loses values.
    """
    given: dict[str, str] = {}
    for word in words:
        for name, value in assignments(word.upper(), list(_VALUES), "--co").items():
            if not re.fullmatch(_VALUES[name], value):
                allowed = "1 to 22" if name == "LEVEL" else _VALUES[name].replace("|", ", ")
                raise OptionError(f"--co {name}={value}: {name} must be one of {allowed}")
            if name in given:
                raise OptionError(f"--co {name} is given twice; give it once")
            given[name] = value
    found = {**USUAL, **given}
    if given:
        _try(found)
    return found


def _try(options: dict[str, str]) -> None:
    with MemoryFile() as plain, MemoryFile(ext=".tif") as made, gdal_settings():
        with plain.open(driver="GTiff", height=64, width=64, count=1, dtype="uint8", transform=_PLACE) as dataset:
            dataset.write(np.zeros((1, 64, 64), np.uint8))
        try:
            rasterio.shutil.copy(plain.name, made.name, driver="COG", **options)
        except GDAL_ERRORS as error:
            said = " ".join(f"{name}={value}" for name, value in options.items())
            raise OptionError(f"--co: this GDAL cannot write with {said}: {first_line(error)}") from error
