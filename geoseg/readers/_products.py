"""Folders that satellites' products come in: which files are bands, what they are called, and how to read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geoseg.readers._names import natural

_MOST = 10_000_000
# Digital numbers mean nothing by themselves from one processing baseline to the next; reflectance does.
_SENTINEL = re.compile(r"_(B(?:0\d|1[0-2]|8A))(?:_(\d+)m)?$", re.IGNORECASE)
_LANDSAT = re.compile(r"_((?:SR_|ST_)?B\d{1,2})$", re.IGNORECASE)
_SENTINEL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@dataclass(frozen=True, slots=True)
class BandFile:
    """A file of a band stack.

    Attributes:
        path: the file or URL.
        name: of its band; None to tell it from the file names.
        nodata: value without data that the file itself does not declare.
        scaling: scale and offset that turn its values into reflectance or kelvin.
    """

    path: str
    name: str | None = None
    nodata: float | None = None
    scaling: tuple[float, float] | None = None


def product_bands(folder: Path) -> list[BandFile] | None:
    """The bands of a Sentinel-2 SAFE folder or a Landsat Collection 2 folder; None for any other folder."""
    if next(folder.glob("MTD_MSI*.xml"), None) is not None or folder.suffix.upper() == ".SAFE":
        return _sentinel(folder)
    if _is_landsat(folder):
        return _landsat(folder)
    return None


def _sentinel(folder: Path) -> list[BandFile]:
    """Each band at its finest resolution, in reflectance: (number + BOA_ADD_OFFSET) / QUANTIFICATION_VALUE."""
    finest: dict[str, tuple[int, Path]] = {}
    for path in folder.glob("GRANULE/*/IMG_DATA/**/*"):
        match = _SENTINEL.search(path.stem)
        if match and path.suffix.lower() in {".jp2", ".tif", ".tiff"}:
            name, metres = match[1].upper(), int(match[2] or 0)
            if name not in finest or metres < finest[name][0]:
                finest[name] = metres, path
    text = _metadata(folder.glob("MTD_MSI*.xml"))
    quantum = float(_tag(text, r"(?:BOA_)?QUANTIFICATION_VALUE") or 0)
    offsets = dict(re.findall(r'_ADD_OFFSET band_id="(\d+)">\s*(-?\d+(?:\.\d+)?)\s*<', text))
    files = []
    for name in sorted(finest, key=_SENTINEL_BANDS.index):
        offset = float(offsets.get(str(_SENTINEL_BANDS.index(name)), 0))
        scaling = (1 / quantum, offset / quantum) if quantum else None
        files.append(BandFile(str(finest[name][1]), name, 0, scaling))
    return files


def _tag(text: str, name: str) -> str | None:
    match = re.search(rf"<{name}[^>]*>\s*([\d.]+)\s*</", text)
    return match[1] if match else None


def _is_landsat(folder: Path) -> bool:
    return any(re.match(r"L[COTEM]0\d_.*_0[1-9]_(?:T1|T2|RT)_", path.name) and _LANDSAT.search(path.stem)
               for path in folder.glob("L*"))  # fmt: skip


def _landsat(folder: Path) -> list[BandFile]:
    """Reflective and thermal bands by the factors of the MTL file; quality bands are left out."""
    text = _metadata(folder.glob("*_MTL.txt"))
    # A level 2 MTL also holds the factors of the level 1 product it was made from.
    own = re.search(r"GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS(.*)", text, re.DOTALL)
    files = []
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.stem)):
        match = _LANDSAT.search(path.stem)
        if match and path.suffix.lower() in {".tif", ".tiff"}:
            name = match[1].upper()
            files.append(BandFile(str(path), name, 0, _landsat_scaling(own[1] if own else text, name)))
    return files


def _landsat_scaling(text: str, name: str) -> tuple[float, float] | None:
    band = re.sub(r"\D", "", name)
    key = f"TEMPERATURE_{{}}_BAND_ST_B{band}" if name.startswith("ST_") else f"REFLECTANCE_{{}}_BAND_{band}"
    number = r"(-?\d{1,30}(?:\.\d{1,30})?(?:E[+-]?\d{1,2})?)"
    factors = [re.search(rf"\b{key.format(kind)} = {number}\s*$", text, re.MULTILINE) for kind in ("MULT", "ADD")]
    return (float(factors[0][1]), float(factors[1][1])) if factors[0] and factors[1] else None


def _metadata(paths: Iterator[Path]) -> str:
    path = next(paths, None)
    if path is None or path.stat().st_size > _MOST:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")
