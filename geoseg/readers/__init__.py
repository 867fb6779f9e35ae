"""Scenes from files: one module per kind of source, found by its name.

A scene is named by one word: a path or URL that GDAL opens, the folder of a Sentinel-2 or Landsat product, or, with
`join`, several files, a folder or a pattern that make one scene together.
"""

from __future__ import annotations

import glob
import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from geoseg.documents import checked
from geoseg.errors import OptionError, SceneError
from geoseg.names import is_remote
from geoseg.readers._coarse import read_coarse as read_coarse
from geoseg.readers._doubts import require_written as require_written
from geoseg.readers._doubts import warn_of_doubts as warn_of_doubts
from geoseg.readers._names import natural
from geoseg.readers._options import JOINS
from geoseg.readers._options import NODATA_RULES as NODATA_RULES
from geoseg.readers._options import ReadOptions as ReadOptions
from geoseg.readers._options import limits_of as limits_of
from geoseg.readers._products import BandFile, product_bands
from geoseg.readers._regrid import RESAMPLINGS
from geoseg.readers._regrid import on_grid as on_grid
from geoseg.readers._regrid import pixel_places as pixel_places
from geoseg.readers._regrid import reprojected as reprojected
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.readers.mosaic import open_mosaic
from geoseg.readers.stack import open_stack
from geoseg.registry import suggestion
from geoseg.scene import Scene

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
"""What counts as a scene in a folder."""

Words = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Source:
    """What a scene is made of: plain values, so that it can be written down and opened again elsewhere.

    Attributes:
        name: what to call it.
        paths: its files, or folders of products.
        options: how it is read.
    """

    name: str
    paths: tuple[str, ...]
    options: ReadOptions

    def open(self) -> Scene:
        """Open the scene.

        Raises:
            SceneError: it cannot be opened.
            BandMismatchError: it has no such band.
        """
        join = self.options.get("join")
        if join == "stack":
            return open_stack(self.name, [BandFile(path) for path in self.paths], self.options)
        if join == "mosaic":
            return open_mosaic(self.name, [_open_part(path, self.options) for path in self.paths], self.options)
        return _open_part(self.paths[0], self.options)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file it reads; the bands of a product one by one."""
        found: list[str] = []
        for path in self.paths:
            bands = product_bands(Path(path)) if _is_folder(path) else None
            found += [path] if bands is None else [band.path for band in bands]
        return tuple(found)

    @property
    def stem(self) -> str:
        """A short name, for files made from the scene."""
        return Path(self.name.rstrip("/")).stem

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; paths from the root, so that it opens from any folder."""
        paths = [path if is_remote(path) else str(Path(path).absolute()) for path in self.paths]
        options: dict[str, Any] = {key: value for key, value in self.options.items() if value is not None}
        if "like" in options and not is_remote(options["like"]):
            options["like"] = str(Path(options["like"]).absolute())
        return {"name": self.name, "paths": paths, "options": options}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Source:
        """The inverse of `to_dict`; raises KeyError, TypeError or ValueError for anything else."""
        options: dict[str, Any] = dict(values["options"])
        for name in ("bands", "allow_driver"):
            if options.get(name) is not None:
                options[name] = tuple(map(str, options[name]))
        return cls(str(values["name"]), tuple(map(str, values["paths"])), checked(ReadOptions, options))


def open_scene(scene: Words, **options: Unpack[ReadOptions]) -> Scene:
    """Open one scene.

    Args:
        scene: a path or URL; the folder of a Sentinel-2 or Landsat product; with `join`, several files, a folder or a
            pattern such as "scene_B*.tif".
        **options: see `ReadOptions`.

    Raises:
        SceneError: it cannot be opened, or is more than one scene.
        BandMismatchError: it has no such band.
        OptionError: an option that cannot be.
    """
    return find_source(scene, **options).open()


def find_source(scene: Words, **options: Unpack[ReadOptions]) -> Source:
    """What one scene is made of.

    Raises:
        SceneError: nothing is there, or more than one scene.
        OptionError: an option that cannot be.
    """
    found = find_sources(scene, **options)
    if len(found) != 1:
        raise SceneError(
            f"{found[0].name} and {found[1].name}: are {len(found)} scenes and one is needed; if they are the bands of "
            "one scene give --join stack, if they lie side by side --join mosaic"
        )
    return found[0]


def find_sources(scenes: Words, **options: Unpack[ReadOptions]) -> list[Source]:
    """What each of several scenes is made of.

    Without `join` each file and each product folder is a scene, and any other folder or pattern stands for those in it.
    With it, each folder or pattern is one scene, and the files that are named one by one are one scene together.

    Raises:
        SceneError: nothing is there.
        OptionError: an option that cannot be.
    """
    _require_known("join", options.get("join"), JOINS)
    _require_known("resampling", options.get("resampling"), RESAMPLINGS)
    _require_known("nodata_rule", options.get("nodata_rule"), NODATA_RULES)
    words = [scenes] if isinstance(scenes, str | Path) else list(scenes)
    if not words:
        raise OptionError("there is no scene; name at least one")
    if options.get("join") is None:
        if options.get("like") is not None:
            raise OptionError("--like gives the grid of a stack or mosaic; say which with --join")
        return [Source(path, (path,), options) for word in words for path in _members(str(word))]
    groups, single = [], []
    for word in map(str, words):
        members = _members(word)
        if members == [word]:
            single.append(word)
        else:
            groups.append(Source(word, tuple(members), options))
    if single and options["join"] == "stack" and all(map(_is_folder, single)):
        # A product is a stack by itself.
        groups += [Source(word, (word,), {**options, "join": None}) for word in single]
    elif single:
        name = single[0] if len(single) == 1 else f"{single[0]} and {len(single) - 1} more"
        groups.append(Source(name, tuple(single), options))
    return groups


def _open_part(path: str, options: ReadOptions) -> Scene:
    if _is_folder(path):
        files = product_bands(Path(path))
        if not files:
            raise SceneError(
                f"{path}: is a folder without the bands of a Sentinel-2 or Landsat product; name its files"
            )
        return open_stack(path, files, options)
    return GeoTiffScene(path, options)


def _members(word: str) -> list[str]:
    """The files and product folders that a word stands for; the word itself where it is one of them."""
    if is_remote(word):
        return [word]
    path = Path(word)
    if _is_folder(word):
        if product_bands(path) is not None:
            return [word]
        inside = sorted(_scenes_in(path), key=lambda entry: natural(entry.name))
        if not inside:
            raise SceneError(f"{path}: holds no scene (.tif, .tiff, .jp2, .vrt, or the folder of a product)")
        return [str(entry) for entry in inside]
    if glob.has_magic(word) and not os.path.exists(word):  # noqa: PTH110 - whatever the name, this does not raise
        matches = sorted(glob.glob(word), key=natural)  # noqa: PTH207 - a pattern of folders too
        if not matches:
            raise SceneError(f"{word}: no file matches this pattern; check its folder and its name")
        return matches
    return [word]


def _is_folder(word: str) -> bool:
    return not is_remote(word) and os.path.isdir(word)  # noqa: PTH112 - whatever the name, this does not raise


def _scenes_in(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if product_bands(entry):
                yield entry
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def _require_known(option: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise OptionError(f"{option} '{value}' is unknown; {suggestion(value, known)}")
