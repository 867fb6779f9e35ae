"""What a GDAL virtual raster (.vrt) reads from, told without opening it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from geoseg.crs import grid_elsewhere, refuse_grid_elsewhere
from geoseg.errors import GeosegError

MAX_BYTES = 50_000_000
# Elements or attributes (GDAL takes either) that hold a file's name; and items of metadata and arguments that do.
_SOURCES = {"sourcefilename", "sourcedataset", "dempath"}
_ITEMS = re.compile(r"mdi x_dataset|mdi y_dataset|mdi overview_file|argument .*filename.*", re.IGNORECASE)
# "NETCDF:", "GTIFF_DIR:1:" and the like; a single letter is the drive of a path.
_DESCRIPTION = re.compile(r"[<{]|\w{2,}:")


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
        return _DESCRIPTION.match(self.name) is not None

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
        root = _parsed(text)
    except (ElementTree.ParseError, LookupError, ValueError) as cause:  # an encoding that nobody knows is no ParseError
        raise error(f"{path}: is not a VRT: {cause}; make it anew with 'gdalbuildvrt'") from cause
    if root.tag.lower() != "vrtdataset":
        raise error(f"{path}: is not a VRT of GDAL but <{root.tag}>; make it with 'gdalbuildvrt'")
    elements = list(_elements(root))
    if any(_is_ambiguous(element) for element in elements):
        raise error(
            f"{path}: has an attribute twice, or a file's name that is not plain text, so it can be read in two ways; "
            "make it anew with 'gdalbuildvrt'"
        )
    for element in elements:
        for words in _crs_texts(element):
            refuse_grid_elsewhere(words, path, error)
    named = (source for element in elements for source in _named_by(element))
    return [source for source in dict.fromkeys(named) if source.name]


def leads_elsewhere(text: bytes) -> bool:
    """True when what GDAL keeps beside a raster (its .aux.xml) names other files for it to open.

    >>> leads_elsewhere(b'<PAMDataset><MDI key="OVERVIEW_FILE">/a.tif</MDI></PAMDataset>')
    True
    >>> leads_elsewhere(b'<PAMDataset><MDI key="STATISTICS_MEAN">5</MDI></PAMDataset>')
    False
    """
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return True
    try:
        root = _parsed(text)
    except ElementTree.ParseError:
        # GDAL reads some of what is no XML, and nothing of what has none of these.
        return b"&#" in text or any(word in text.lower() for word in (b"overview", b"_dataset", b"filename"))
    elements = list(_elements(root))
    return any(
        _is_ambiguous(element)
        or any(map(grid_elsewhere, _crs_texts(element)))
        or any(source.name for source in _named_by(element))
        for element in elements
    )


def _parsed(text: bytes) -> ElementTree.Element:
    """The root of XML whose entities are refused and whose size is bounded; comments stay, as GDAL reads their text."""
    builder = ElementTree.TreeBuilder(insert_comments=True, insert_pis=True)
    return ElementTree.fromstring(text, ElementTree.XMLParser(target=builder))  # noqa: S314


def _elements(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if isinstance(element.tag, str))


def _is_ambiguous(element: ElementTree.Element) -> bool:
    """True when GDAL and this module could read two things from an element.

    Of attributes that differ in case alone GDAL takes the first, and for a text it may take a comment.
    """
    names = [_plain(name) for name in element.attrib]
    return len(set(names)) < len(names) or (_is_name(element) and len(element) > 0)


def _is_name(element: ElementTree.Element) -> bool:
    """True when an element's text is what GDAL opens. Of metadata GDAL takes the first attribute, whatever its name."""
    tag = _plain(element.tag)
    return tag in _SOURCES or any(_ITEMS.fullmatch(f"{tag} {value.strip()}") for value in element.attrib.values())


def _crs_texts(element: ElementTree.Element) -> list[str]:
    """Texts of an element that may be a coordinate system; metadata only tell, but for SRS."""
    # A comment inside parts a text; GDAL may take each of its parts.
    tails = (child.tail or "" for child in element)
    comments = (child.text or "" for child in element if not isinstance(child.tag, str))
    texts = [*element.attrib.values(), element.text or "", *tails, *comments]
    if _plain(element.tag) == "mdi" and not any(value.strip().lower() == "srs" for value in element.attrib.values()):
        return []
    return texts


def _named_by(element: ElementTree.Element) -> Iterator[VrtSource]:
    """What an element names, read as GDAL does: whatever the case, without regard to XML namespaces."""
    attributes = {_plain(name): value.strip() for name, value in element.attrib.items()}
    relative = re.match(r"\s*[+-]?0*[1-9]", attributes.get("relativetovrt", "")) is not None
    if _is_name(element):
        yield VrtSource((element.text or "").strip(), relative)
    yield from (VrtSource(value, relative) for name, value in attributes.items() if name in _SOURCES)


def _plain(name: str) -> str:
    return name.rpartition("}")[2].lower()
