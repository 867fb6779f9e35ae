"""What a GDAL virtual raster (.vrt) reads from, told without opening it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from geoseg.errors import GeosegError

MAX_BYTES = 50_000_000
_SOURCES = {"sourcefilename", "sourcedataset", "dempath"}
_DRIVER_PREFIXES = ("<", "{", "vrt:", "netcdf:", "hdf5:", "hdf4_", "gtiff_dir:", "gti:", "stacit:", "wms:", "pg:")


@dataclass(frozen=True, slots=True)
class VrtSource:
    """One file, address or description that a VRT reads.

    Attributes:
        name: as it stands in the VRT.
        relative: True when the name is relative to the VRT's folder, not to where the program runs.
    """

    name: str
    relative: bool

    @property
    def is_description(self) -> bool:
        """True when it is no path but a description, or a name that only a driver of GDAL understands."""
        return self.name.lower().startswith(_DRIVER_PREFIXES)

    def resolved(self, folder: Path) -> Path:
        """The file meant, links followed, for a VRT in `folder`."""
        return (folder / self.name if self.relative else Path(self.name)).resolve()


def vrt_sources(path: Path, error: type[GeosegError]) -> list[VrtSource]:
    """What a VRT reads from.

    Raises:
        GeosegError: of the given type: not readable, too large, or not a VRT.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(f"{path}: is a VRT of more than {MAX_BYTES} bytes; cut it in parts")
        text = path.read_bytes()
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise error(f"{path}: declares XML entities, which no VRT needs; make it anew with 'gdalbuildvrt'")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - entities are refused above, the size is bounded
    except ElementTree.ParseError as cause:
        raise error(f"{path}: is not a VRT: {cause}; make it anew with 'gdalbuildvrt'") from cause
    if root.tag.lower() != "vrtdataset":
        raise error(f"{path}: is not a VRT of GDAL but <{root.tag}>; make it with 'gdalbuildvrt'")
    named = (
        VrtSource((element.text or "").strip(), element.get("relativeToVRT", "0") == "1")
        for element in root.iter()
        if element.tag.lower() in _SOURCES
    )
    return [source for source in dict.fromkeys(named) if source.name]
