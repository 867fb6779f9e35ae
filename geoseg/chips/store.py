"""The pixels of chips: from their files, or, of virtual chips, from the scenes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.chips.index import ChipIndex, ChipRow
from geoseg.class_raster import ClassRaster
from geoseg.documents import UNSOUND, checked
from geoseg.errors import ChipError, GeosegError
from geoseg.labels import LabelOptions, Labels, open_labels
from geoseg.legend import IGNORE
from geoseg.output import fingerprint
from geoseg.readers import Source, open_scene
from geoseg.scene import Scene

Pixels = tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[np.uint8]]
"""Bands (bands, rows, cols), where all have data (rows, cols), and class indices (rows, cols)."""


class ChipStore(Protocol):
    """Reads chips of an index; can be pickled."""

    def read(self, chip: ChipRow) -> Pixels:
        """Pixels of a chip.

        Raises:
            ChipError: they are not there any more.
        """

    def read_label(self, chip: ChipRow) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) of a chip, of virtual chips also where the scene has no data.

        Raises:
            ChipError: they are not there any more.
        """


def open_store(index: ChipIndex) -> ChipStore:
    """The store of an index.

    Raises:
        ChipError: scenes or labels of virtual chips have changed since.
    """
    return _VirtualChips.of(index) if index.is_virtual else _ChipFiles(index)


@dataclass(frozen=True, slots=True)
class _ChipFiles:
    """Chips that have files of their own."""

    index: ChipIndex

    def read(self, chip: ChipRow) -> Pixels:
        folder = self.index.folder
        try:
            scene = open_scene(folder / chip.image)
            values, valid = scene.read(scene.grid.window)
            raster = ClassRaster(folder / chip.label, scene.grid, self.index.legend, ChipError)
            return values, valid, raster.read(scene.grid.window)
        except GeosegError as error:
            raise ChipError(f"{error}; the chips have changed since they were cut, make them again") from error

    def read_label(self, chip: ChipRow) -> npt.NDArray[np.uint8]:
        return self.read(chip)[2]


class _Origin(TypedDict):
    """What chips.json says of the scenes and labels of virtual chips."""

    sources: list[dict[str, Any]]
    label_files: list[str]
    label_fields: list[str | None]
    label_options: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class _VirtualChips:
    """Chips that are windows of scenes, labels of which lie in files of their own."""

    index: ChipIndex
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, index: ChipIndex) -> _VirtualChips:
        try:
            origin = checked(_Origin, index.origin)
            sources = tuple(Source.from_dict(values) for values in origin["sources"])
            checked(LabelOptions, origin["label_options"])
            files = [file for source in sources for file in source.files]
            files += [*dict.fromkeys(origin["label_files"])]
            numbers = index.frame["scene"]
            if not len(sources) == len(origin["label_files"]) == len(origin["label_fields"]) > numbers.max():
                raise ValueError("it names other scenes than its labels or chips are of")
            areas = index.options.get("areas")
            found = fingerprint({}, [*files, *([areas] if areas else [])])
        except (OSError, *UNSOUND) as error:
            raise ChipError(
                f"{index.folder}: its chips.json does not say where its scenes are; make it again"
            ) from error
        if found != origin["fingerprint"]:
            raise ChipError(
                f"{index.folder}: its chips are windows of scenes that have changed or moved since; make them again"
            )
        return cls(index, sources)

    @cached_property
    def _opened(self) -> list[tuple[Scene, Labels]]:
        origin, legend = self.index.origin, self.index.legend
        files = list(zip(origin["label_files"], origin["label_fields"], strict=True))
        opened: dict[tuple[str, str | None], Labels] = {}
        for path, field in files:
            if (path, field) not in opened:
                opened[path, field] = open_labels(Path(path), field=field, legend=legend, **origin["label_options"])
        return [(source.open(), opened[file]) for source, file in zip(self.sources, files, strict=True)]

    def read(self, chip: ChipRow) -> Pixels:
        try:
            values, valid = self._opened[chip.scene][0].read(_window(chip))
        except GeosegError as error:
            raise _changed(error) from error
        return values, valid, np.where(valid, self.read_label(chip), np.uint8(IGNORE))

    def read_label(self, chip: ChipRow) -> npt.NDArray[np.uint8]:
        try:
            scene, labels = self._opened[chip.scene]
            return labels.read(scene.grid.crop(_window(chip)))
        except GeosegError as error:
            raise _changed(error) from error

    def __getstate__(self) -> dict[str, Any]:
        # Each process opens its own.
        return {"index": self.index, "sources": self.sources}


def _window(chip: ChipRow) -> Window:
    return Window(chip.col, chip.row, chip.width, chip.height)


def _changed(error: GeosegError) -> ChipError:
    return ChipError(f"{error}; the scenes have changed since the chips were cut, make them again")
