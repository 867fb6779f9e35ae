"""Graphs made of model files, kept in the user's cache folder.

An entry is a folder with a graph and `about.json`, which holds the size and the hash of every file: an entry that is
not what was written counts as absent. When all entries take more than `LIMIT` those used longest ago are removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from geoseg.documents import UNSOUND, parse_json
from geoseg.errors import OutputError
from geoseg.output import new_output

logger = logging.getLogger(__name__)

LIMIT = 2_000_000_000
"""Bytes that all entries may take together."""

ABOUT = "about.json"


def folder() -> Path:
    """Where graphs are kept: `geoseg/graphs` in the user's cache folder."""
    if os.environ.get("XDG_CACHE_HOME"):
        root = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        root = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return root / "geoseg" / "graphs"


def key_of(content: bytes | Path, *versions: str) -> str:
    """The name of an entry: what it was made of, and with what."""
    digest = hashlib.sha256(json.dumps(versions).encode())
    digest.update(_hash(content).encode() if isinstance(content, Path) else content)
    return digest.hexdigest()[:40]


def find_or_make(key: str, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The folder of an entry and what was noted of it; made when absent or broken.

    Where the cache cannot be written the entry is made in a temporary folder, for this run only.

    Args:
        key: see `key_of`.
        make: fills an empty folder with files, and returns what to note as JSON.
    """
    entry = folder() / key
    about = _read(entry)
    if about is not None:
        with suppress(OSError):
            os.utime(entry)
        return entry, about
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with new_output(entry, overwrite=True) as workspace:
            workspace.main.mkdir()
            about = _fill(workspace.main, make)
        _prune(entry)
        return entry, about
    except (OSError, OutputError) as error:
        logger.debug("the graph is not kept: %s", error)
    spare = Path(mkdtemp(prefix="geoseg-"))
    _forget_at_exit(spare)
    return spare, _fill(spare, make)


def _fill(place: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    about = make(place)
    files = {path.name: [path.stat().st_size, _hash(path)] for path in sorted(place.iterdir())}
    (place / ABOUT).write_text(json.dumps(about | {"files": files}), encoding="utf-8")
    return about


def _read(entry: Path) -> dict[str, Any] | None:
    """What was noted of an entry, None unless all of it is there as it was written."""
    try:
        about: dict[str, Any] = parse_json((entry / ABOUT).read_bytes())
        for name, (size, digest) in about["files"].items():
            if (entry / name).stat().st_size != size or _hash(entry / name) != digest:
                return None
    except (OSError, *UNSOUND):
        return None
    return about


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prune(kept: Path) -> None:
    """Remove the entries used longest ago, but for `kept`, until the rest is within `LIMIT`."""
    entries = [entry for entry in kept.parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    with suppress(OSError):
        sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries}
        for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime):
            if entry != kept and sum(sizes.values()) > LIMIT:
                shutil.rmtree(entry)
                del sizes[entry]


def _forget_at_exit(place: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, place, ignore_errors=True)
