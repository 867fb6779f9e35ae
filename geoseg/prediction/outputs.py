"""The rasters that come out of a map: classes, probabilities, confidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.disk import Stamp, flush, fresh_file, identity, is_that, refuse_changed, refuse_read
from geoseg.documents import UNSOUND, parse_json
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend
from geoseg.output import Workspace, new_output, refuse_existing
from geoseg.prediction.store import Store
from geoseg.writers.creation import USUAL
from geoseg.writers.geotiff import EXTENSIONS, MapWriter, ShareWriter, beside

BEGUN = "outputs"
CONFIDENCE = ("confidence", "margin", "certainty")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results go.

    Attributes:
        classes: the map.
        probabilities: a band per class, or None.
        confidence: three bands, see `confidence`, or None.
        overwrite: replace what is there.
        creation: options of the rasters, see `geoseg.writers.creation.creation_options`.
    """

    classes: Path
    probabilities: Path | None = None
    confidence: Path | None = None
    overwrite: bool = False
    creation: Mapping[str, str] = field(default_factory=lambda: USUAL)

    @property
    def further(self) -> list[Path]:
        """Those beside the map."""
        return [path for path in (self.probabilities, self.confidence) if path is not None]

    def refuse(self, sources: tuple[str, ...]) -> None:
        """Refuse names that cannot be, before any work.

        Args:
            sources: files that are read.

        Raises:
            OptionError: not the name of a GeoTIFF, or one name for two outputs.
            OutputError: an output is one of the sources, or its folder cannot be written.
            OutputExistsError: it is there already.
        """
        paths = [self.classes, *self.further]
        begun = _begun(self.classes)
        for path in paths:
            if path.suffix.lower() not in EXTENSIONS:
                raise OptionError(f"{path}: a map is a GeoTIFF; name it .tif")
            known = self.overwrite or path.absolute() in begun
            refuse_existing(path, known, beside(path) if path == self.classes else ())
            refuse_read(path, sources)
        # Two spellings, or a folder under two names, may lead to one place.
        if len({path.parent.resolve() / path.name for path in paths}) != len(paths):
            raise OptionError(f"{self.classes}: two outputs have this name; give each its own")


def confidence(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How sure a map is (3, rows, cols), each from 0 to 1, of class probabilities (classes, rows, cols).

    The highest probability; what it is ahead of the second by; and one minus the entropy in units of its largest,
    log(classes) (Shannon 1948).
    """
    first, second = np.partition(probabilities, len(probabilities) - 2, axis=0)[-2:][::-1]
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(0) / np.log(len(probabilities))
    return np.stack([first, first - second, 1 - entropy]).clip(0, 1).astype(np.float32)


def write_outputs(
    workspace: Workspace,
    outputs: Outputs,
    store: Store,
    grid: Grid,
    legend: Legend,
    tags: dict[str, Any],
    sources: tuple[Stamp, ...] = (),
) -> npt.NDArray[np.int64]:
    """Write the rasters from a complete store; returns pixels per class index (256,).

    The map itself takes its name when `workspace` is left, after the others; and none of these before all are written,
    read back and flushed.

    Raises:
        OutputError: one cannot be written; none has its name then.
        SceneError: one of `sources`, the files that the store was made from, was changed meanwhile.
    """
    begun = _begun(outputs.classes)
    with ExitStack() as names:
        made = [
            names.enter_context(new_output(path, overwrite=outputs.overwrite or path.absolute() in begun))
            for path in outputs.further
        ]
        counts = _write(workspace, made, outputs, store, grid, legend, tags)
        # Here a full disk, or a scene that was written to, still costs none of the old rasters.
        for own in (workspace, *made):
            flush(own.main)
        refuse_changed(sources, workspace.target)
        # What takes its name before the map does is ours to replace, should this run be killed in between.
        _note_begun(workspace, made)
    return counts


def _write(
    workspace: Workspace,
    further: list[Workspace],
    outputs: Outputs,
    store: Store,
    grid: Grid,
    legend: Legend,
    tags: dict[str, Any],
) -> npt.NDArray[np.int64]:
    """Write the map and the rasters beside it; pixels per class index (256,)."""
    counts, creation = np.zeros(256, np.int64), outputs.creation
    bands = [
        *([] if outputs.probabilities is None else [(legend.names, _same)]),
        *([] if outputs.confidence is None else [(CONFIDENCE, confidence)]),
    ]
    with ExitStack() as stack:
        writers = [
            (stack.enter_context(ShareWriter(made, grid, names, tags, creation)), derive)
            for made, (names, derive) in zip(further, bands, strict=True)
        ]
        classes = stack.enter_context(MapWriter(workspace, grid, legend, tags, creation))
        for window in classes.windows():
            labels = store.labels(*window.toslices())
            counts += np.bincount(labels.ravel(), minlength=256)
            classes.write(window, labels)
            if writers:
                probabilities, valid = store.probabilities(*window.toslices()), labels != IGNORE
                for writer, derive in writers:
                    writer.write(window, derive(probabilities), valid)
    return counts


def _note_begun(workspace: Workspace, further: list[Workspace]) -> None:
    with fresh_file(workspace.scratch(BEGUN)) as fresh:
        fresh.write_text(json.dumps({str(made.target): identity(made.main) for made in further}), encoding="utf-8")


def _begun(target: Path) -> set[Path]:
    """Outputs that an unfinished run of a map has put under their names; a user's own file of that name is none."""
    try:
        noted = parse_json(Workspace.of(target).scratch_path(BEGUN).read_bytes())
        return {Path(path) for path, known in noted.items() if is_that(Path(path), known)}
    except (OSError, *UNSOUND):
        return set()


def _same(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return probabilities
