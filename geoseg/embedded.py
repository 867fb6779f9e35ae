"""What a raster names inside of it, told from its bytes: opening it with GDAL would open that too."""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from geoseg.crs import refuse_grid_elsewhere
from geoseg.errors import GeosegError

_MOST_BYTES = 50_000_000
_NETCDF_HEAD = 1_000_000
_GEO_TEXTS = 34737
_CODESTREAM = b"jp2c"
_MOST_NODES = 100_000
_IMAGINE = b"EHFA_HEADER_TAG"
_PIXELS_ELSEWHERE = b"externalrasterdms"
# GDAL takes such a name relative to the file's folder; one without a path stays in it.
_PATH = re.compile(rb"\.\.|[/\\][^\0-\x1f]")


def refuse_names_inside(path: str | Path, driver: str, error: type[GeosegError]) -> None:
    """Refuse a file that names a grid of its coordinate system, or its pixels, somewhere else.

    Args:
        path: a regular file.
        driver: GDAL's, for its content; those that keep no such names are not looked at.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type.
        OSError: it cannot be read.
    """
    texts = _TEXTS.get(driver)
    if texts is None and driver != "HFA":
        return
    with Path(path).open("rb") as file:
        try:
            found = _imagine_texts(file, path, error) if texts is None else texts(file)
        except struct.error:  # it is cut off, which GDAL finds too
            return
    refuse_grid_elsewhere(html.unescape(found.decode("latin-1")), path, error)


def _tiff_texts(file: BinaryIO) -> bytes:
    """The texts of the geo keys of the first directory: a CRS that ArcGIS wrote is told there in full."""
    head = file.read(16)
    order = ">" if head.startswith(b"MM") else "<"
    is_big = 43 in head[2:4]
    counts, entry = ("Q", "HHQ8s") if is_big else ("H", "HHI4s")
    (start,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", head, 8 if is_big else 4)
    file.seek(start)
    (count,) = struct.unpack(f"{order}{counts}", file.read(struct.calcsize(f"{order}{counts}")))
    size = struct.calcsize(f"{order}{entry}")
    table = file.read(min(count, 65536) * size)
    found = b""
    for tag, _, length, value in struct.iter_unpack(f"{order}{entry}", table[: len(table) // size * size]):
        if tag == _GEO_TEXTS and length > len(value):
            file.seek(struct.unpack(f"{order}{'Q' if is_big else 'I'}", value)[0])
            found += file.read(min(length, _MOST_BYTES))
    return found


def _jpeg2000_texts(file: BinaryIO) -> bytes:
    """All boxes but that of the pixels."""
    found, start = b"", 0
    end = file.seek(0, 2)
    while start + 8 <= end and len(found) < _MOST_BYTES:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        elif length == 0:
            length = end - start
        if kind != _CODESTREAM:
            found += file.read(min(length, _MOST_BYTES))
        if length < 8:
            break
        start += length
    return found


def _imagine_texts(file: BinaryIO, path: str | Path, error: type[GeosegError]) -> bytes:
    """What is in the nodes of an Erdas Imagine file, of which none may name a file of pixels outside of its folder."""
    if file.read(15).upper() != _IMAGINE:  # a .aux of another program
        return b""
    found: list[bytes] = []
    size = 0
    for name, data in _imagine_nodes(file):
        if name == _PIXELS_ELSEWHERE and _PATH.search(data):
            raise error(
                f"{path}: is an Erdas Imagine file whose pixels are in a file outside of its folder; give "
                "--allow-driver HFA if you trust it, or convert it with 'gdal_translate IN OUT.tif'"
            )
        found.append(data)
        size += len(data)
        if len(found) > _MOST_NODES or size > _MOST_BYTES:
            raise error(
                f"{path}: is an Erdas Imagine file with more in its nodes than can be looked through; give "
                "--allow-driver HFA if you trust it, or convert it with 'gdal_translate IN OUT.tif'"
            )
    return b"\0".join(found)


def _imagine_nodes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Name, in small letters, and content of each node; GDAL finds one by its name, whatever the case."""
    file.seek(16)
    file.seek(struct.unpack("<I", file.read(4))[0])
    _, _, root = struct.unpack("<3I", file.read(12))
    waiting, seen = [root], {0}
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        file.seek(place)
        head = file.read(88)
        if len(head) < 88:
            continue
        following, _, _, child, start, size, name = struct.unpack("<6I64s", head)
        waiting += [following, child]
        file.seek(start)
        yield name.partition(b"\0")[0].lower(), file.read(min(size, _MOST_BYTES + 1)) if start else b""


def _netcdf_texts(file: BinaryIO) -> bytes:
    """Its attributes, which are at its beginning."""
    return file.read(_NETCDF_HEAD)


_TEXTS = {"GTiff": _tiff_texts, "JP2OpenJPEG": _jpeg2000_texts, "netCDF": _netcdf_texts}
