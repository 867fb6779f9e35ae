"""Scenes and the labels that lie on them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack, cast

from geoseg.errors import BandMismatchError, LabelError, OptionError
from geoseg.labels import LabelOptions, Labels, merged_legend, open_labels
from geoseg.legend import Legend, read_legend
from geoseg.readers import SUFFIXES, ReadOptions, Source, Words, find_sources, warn_of_doubts
from geoseg.scene import Scene

logger = logging.getLogger(__name__)

LABEL_SUFFIXES = (*SUFFIXES, ".png", ".gpkg", ".geojson", ".json", ".parquet", ".fgb", ".shp", ".gml", ".kml")


LabelPaths = str | Path | Sequence[str | Path]


class InputOptions(ReadOptions, LabelOptions, total=False):
    """How scenes and labels are read: `ReadOptions`, `LabelOptions`, and the classes.

    Keys:
        class_field: column of the labels that holds the class, or one for each scene, of files with one for each date
            say; found by its name when not given.
        legend: a legend, or a legend.toml; made from the labels when not given.
    """

    class_field: str | Sequence[str] | None
    legend: str | Path | Legend | None


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """A scene with its labels.

    Attributes:
        source: what the scene is made of.
        scene: the scene.
        labels: what is known of its ground.
        field: column of the labels that holds the class, None where it was found.
    """

    source: Source
    scene: Scene
    labels: Labels
    field: str | None = None


def open_pairs(scenes: Words, labels: LabelPaths, **options: Unpack[InputOptions]) -> list[LabelledScene]:
    """Open scenes with their labels; one legend and one set of bands for all.

    Args:
        scenes: as `geoseg.readers.find_sources` takes them.
        labels: labels that lie on all scenes; or one path for each scene, in order; or a folder with a file for each,
            named alike.
        **options: see `InputOptions`.

    Raises:
        GeosegError: something cannot be read, or does not fit.
    """
    sources = find_sources(scenes, **reading(options))
    opened = [source.open() for source in sources]
    bands = options.get("bands")
    _require_alike(opened, by_number=bands is not None and all(band.isdecimal() for band in bands))
    files = _label_files(labels, sources)
    fields = _fields(options.get("class_field"), sources)
    found = _open_labels(list(zip(files, fields, strict=True)), options)
    return [LabelledScene(*parts) for parts in zip(sources, opened, found, fields, strict=True)]


def files_of(scenes: Words, labels: LabelPaths, **options: Unpack[InputOptions]) -> list[str]:
    """All files that `open_pairs` reads, scenes first; a file of labels for several scenes once.

    Raises:
        GeosegError: there are none.
    """
    sources = find_sources(scenes, **reading(options))
    return [file for source in sources for file in source.files] + [
        *dict.fromkeys(map(str, _label_files(labels, sources)))
    ]


def reading(options: InputOptions) -> ReadOptions:
    """Those of the options that say how scenes are read."""
    known = ReadOptions.__annotations__
    return cast(ReadOptions, {key: value for key, value in options.items() if key in known})


def labelling(options: InputOptions) -> LabelOptions:
    """Those of the options that say how labels are read."""
    known = LabelOptions.__annotations__
    return cast(LabelOptions, {key: value for key, value in options.items() if key in known})


def _label_files(labels: LabelPaths, sources: list[Source]) -> list[Path]:
    """The label file of each scene."""
    paths = [Path(labels)] if isinstance(labels, str | Path) else [Path(path) for path in labels]
    if len(paths) == 1:
        folder = paths[0]
        return [_partner(folder, source) for source in sources] if folder.is_dir() else paths * len(sources)
    if len(paths) != len(sources):
        raise OptionError(
            f"label files: {len(paths)}, scenes: {len(sources)}; give one label file, or one for each scene"
        )
    return paths


def _fields(given: str | Sequence[str] | None, sources: list[Source]) -> list[str | None]:
    """The class column of each scene's labels."""
    if given is None or isinstance(given, str):
        return [given] * len(sources)
    if len(given) <= 1:
        return [*given, *[None]][:1] * len(sources)
    if len(given) != len(sources):
        raise OptionError(f"class fields: {len(given)}, scenes: {len(sources)}; give one field, or one for each scene")
    return list(given)


def _open_labels(files: list[tuple[Path, str | None]], options: InputOptions) -> list[Labels]:
    """Labels of one legend; what several scenes share is opened once."""
    given = options.get("legend")
    legend = given if isinstance(given, Legend) or given is None else read_legend(Path(given))
    opened = _each(files, legend, options)
    if legend is None and len(opened) > 1:
        opened = _each(files, merged_legend(list(opened.values())), options)
    return [opened[file] for file in files]


def _each(
    files: list[tuple[Path, str | None]], legend: Legend | None, options: InputOptions
) -> dict[tuple[Path, str | None], Labels]:
    further = labelling(options)
    return {(path, field): open_labels(path, field=field, legend=legend, **further)
            for path, field in dict.fromkeys(files)}  # fmt: skip


def _partner(folder: Path, source: Source) -> Path:
    """The label file of a scene: the raster or vector file in the folder that has its name."""
    files = sorted(f for f in folder.iterdir() if f.stem == source.stem and f.suffix.lower() in LABEL_SUFFIXES)
    if len(files) != 1:
        found = "no label file" if not files else f"{len(files)} label files"
        raise LabelError(
            f"{folder}: has {found} for the scene {source.name}; it needs one named {source.stem}.tif or .gpkg"
        )
    return files[0]


def _require_alike(scenes: Sequence[Scene], *, by_number: bool) -> None:
    """Refuse scenes of different bands; warn of those that differ in other ways."""
    first = scenes[0]
    for scene in scenes:
        warn_of_doubts(scene)
        same = [band.casefold() for band in scene.bands] == [band.casefold() for band in first.bands]
        if not same and not (by_number and len(scene.bands) == len(first.bands)):
            raise BandMismatchError(
                f"{scene.name} has the bands {', '.join(scene.bands)} and {first.name} has "
                f"{', '.join(first.bands)}; choose the bands they share by number with --bands"
            )
        ours, theirs = first.grid.ground_sample_distance, scene.grid.ground_sample_distance
        if ours and theirs and not 0.8 <= theirs / ours <= 1.25:
            logger.warning("%s has pixels of %.3g m and %s of %.3g m", scene.name, theirs, first.name, ours)
        if scene.dtype != first.dtype:
            logger.warning("%s holds %s values and %s %s", scene.name, scene.dtype, first.name, first.dtype)
