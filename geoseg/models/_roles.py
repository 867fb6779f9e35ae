"""What bands see, told from their names: the colours of Sentinel-2, Landsat and plain words."""

from __future__ import annotations

import re

_SENTINEL_2 = {
    "b01": "coastal", "b02": "blue", "b03": "green", "b04": "red", "b05": "red edge 1", "b06": "red edge 2",
    "b07": "red edge 3", "b08": "nir", "b8a": "narrow nir", "b09": "water vapour", "b10": "cirrus", "b11": "swir 1",
    "b12": "swir 2",
}  # fmt: skip
_LANDSAT_OLI = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "nir", "b6": "swir 1", "b7": "swir 2",
    "b8": "panchromatic", "b9": "cirrus", "b10": "thermal 1", "b11": "thermal 2",
}  # fmt: skip
_LANDSAT_TM = {
    "b1": "blue", "b2": "green", "b3": "red", "b4": "nir", "b5": "swir 1", "b6": "thermal 1", "b7": "swir 2",
    "b6_vcid_1": "thermal 1", "b6_vcid_2": "thermal 2", "b8": "panchromatic",
}  # fmt: skip
_WORDS = {
    "r": "red", "g": "green", "b": "blue", "n": "nir", "red": "red", "green": "green", "blue": "blue", "nir": "nir",
    "near infrared": "nir", "coastal": "coastal", "coastal aerosol": "coastal", "swir1": "swir 1", "swir2": "swir 2",
    "pan": "panchromatic", "cirrus": "cirrus", "rededge1": "red edge 1", "rededge2": "red edge 2",
    "rededge3": "red edge 3", "nir08": "narrow nir", "swir16": "swir 1", "swir22": "swir 2",
}  # fmt: skip

SETS: dict[str, tuple[str, ...]] = {
    "rgb": ("red", "green", "blue"),
    "sentinel2": tuple(_SENTINEL_2.values()),
    "landsat-tm": tuple(_LANDSAT_TM[f"b{number}"] for number in range(1, 8)),
    "landsat-etm": ("blue", "green", "red", "nir", "swir 1", "thermal 1", "thermal 2", "swir 2", "panchromatic"),
    "landsat-etm-sr": ("blue", "green", "red", "nir", "swir 1", "swir 2"),
    "landsat-oli-tirs": tuple(_LANDSAT_OLI.values()),
    "landsat-oli-sr": tuple(_LANDSAT_OLI[f"b{number}"] for number in range(1, 8)),
}
"""Bands that published weights take, in their order: ImageNet's, and those of SSL4EO (TorchGeo)."""


def roles(bands: tuple[str, ...]) -> tuple[str | None, ...]:
    """What each band sees, None where its name does not say.

    `B4` is red of Landsat 8 and infrared of Landsat 5: such names count where the others tell which it is.

    >>> roles(("blue", "NIR", "B04", "thing"))
    ('blue', 'nir', 'red', None)
    >>> roles(("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"))
    ('blue', 'green', 'red', 'nir', 'swir 1', 'swir 2')
    >>> roles(("B2", "B3", "B4"))
    (None, None, None)
    """
    names = tuple(re.sub(r"^(sr|st)_", "", band.strip().casefold()) for band in bands)
    known = _WORDS | _SENTINEL_2 | _numbered(set(names))
    found = tuple(known.get(name) for name in names)
    return tuple(role if found.count(role) == 1 else None for role in found)


def _numbered(names: set[str]) -> dict[str, str]:
    """What B1 to B11 mean among these names; nothing where it could be one or the other."""
    if "b8a" in names:
        return {f"b{int(name[1:])}": role for name, role in _SENTINEL_2.items() if name != "b8a"}
    if names & {"b9", "b10", "b11"} and not names & _SENTINEL_2.keys() - {"b10", "b11"}:
        return _LANDSAT_OLI
    if names & {"b6_vcid_1", "b6_vcid_2"} or ({"b5", "b7"} <= names and "b6" not in names):
        return _LANDSAT_TM
    return {}
