"""Cut scenes and labels into chips: overlapping, georeferenced, and honest about what is training and what is test."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import numpy.typing as npt

from geoseg import __version__, progress
from geoseg.chips.areas import SplitAreas, read_areas
from geoseg.chips.cells import count_cells
from geoseg.chips.cutter import Cut, Rules, chip_name, cut_task
from geoseg.chips.encode import COMPRESSIONS
from geoseg.chips.footprints import chip_frame
from geoseg.chips.index import FORMAT, SIZES, check_leaks, count_columns, leaking_pairs, write_index
from geoseg.chips.journal import Journal
from geoseg.chips.layout import ChipPlan, plan_chips
from geoseg.chips.pairs import InputOptions, LabelledScene, LabelPaths, files_of, labelling, open_pairs
from geoseg.chips.result import TileResult
from geoseg.chips.split import Division, Folds, Shares, Windows
from geoseg.chips.strips import Task, make_tasks
from geoseg.chips.work import Workers, workers
from geoseg.disk import Stamp, refuse_read, stamps
from geoseg.errors import ChipError, OptionError, require_seed
from geoseg.output import digest, new_output, refuse_existing
from geoseg.readers import Words
from geoseg.registry import suggestion
from geoseg.statistics import BandStatistics

logger = logging.getLogger(__name__)

SAMPLE_PIXELS, SAMPLE_BYTES = 1_000_000, 64_000_000
"""Most training pixels that statistics are made of."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How `tile` cuts, as it was asked for; `folds` and `areas` say how splits are made, where not by shares."""

    chip_size: int | None
    overlap: float
    block_size: int | None
    split: tuple[float, ...]
    split_by: str
    folds: int | None
    areas: str | None
    area_column: str | None
    min_labelled: float
    min_valid: float
    compress: str
    virtual: bool
    seed: int

    def __post_init__(self) -> None:
        require_seed(self.seed)
        if self.compress not in COMPRESSIONS:
            raise OptionError(f"compression '{self.compress}' is unknown; {suggestion(self.compress, COMPRESSIONS)}")
        for name in ("min_labelled", "min_valid"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it is a share, from 0 to 1")
        if self.folds is not None and self.areas is not None:
            raise OptionError("folds and areas both say how splits are made; give one of them")

    @property
    def division(self) -> Division:
        """Into what the labels are divided, unless areas say."""
        return Shares.of(self.split) if self.folds is None else Folds(self.folds)


def tile(
    scenes: Words,
    labels: LabelPaths,
    output: str | Path,
    *,
    chip_size: int | None = None,
    overlap: float = 0.25,
    block_size: int | None = None,
    split: Sequence[float] = (0.7, 0.15, 0.15),
    split_by: str = "auto",
    folds: int | None = None,
    areas: str | Path | None = None,
    area_column: str | None = None,
    min_labelled: float = 0.0,
    min_valid: float = 0.1,
    compress: str = "deflate",
    virtual: bool = False,
    jobs: int = 1,
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    **inputs: Unpack[InputOptions],
) -> TileResult:
    """Cut scenes into overlapping chips with labels, split into training, validation and test by ground.

    A run that was killed goes on where it stopped when it is started again. With several jobs, a script must start its
    work under `if __name__ == "__main__":`, as always with processes in Python.

    Args:
        scenes: one or more scenes, as `geoseg.open_scene` takes them, or a folder of them; all with the same bands.
        labels: polygons, points, lines or a class raster that lies on all scenes; or one for each scene, in order; or a
            folder with a file for each scene, named alike.
        output: the chip folder to make.
        chip_size: side of a chip in pixels; chosen from the labels when not given.
        overlap: share of a chip that its neighbours share, and the gap between splits.
        block_size: side of the blocks that are split, in pixels; chosen when not given.
        split: shares of training, validation and test.
        split_by: "blocks", "scene", or "auto" (scenes from 8 on).
        folds: number of equal parts for cross-validation, in place of `split`.
        areas: polygons that say by hand which ground is for training, validation and test, in place of `split`.
        area_column: column of `areas` that says train, val or test; "split" when not given.
        min_labelled: least share of labelled pixels of a chip that is kept; at least one pixel must be labelled.
        min_valid: least share of valid pixels of a chip that is kept.
        compress: "deflate", "zstd", "lzw", or "none" for the fastest reading.
        virtual: write no pixels; the index points into the scenes.
        jobs: processes that cut; 0 for one per core. The chips are the same for any number.
        seed: of the split and of the sample that the statistics are made of.
        dry_run: write nothing; only say what would be made.
        overwrite: replace the folder if it is there.
        **inputs: how scenes and labels are read, see `geoseg.chips.pairs.InputOptions`.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    output = Path(output)
    given = str(Path(areas).absolute()) if areas else None  # as with scenes, the same from any folder
    settings = Settings(
        chip_size, overlap, block_size, tuple(split), split_by, folds, given, area_column,
        min_labelled, min_valid, compress, virtual, seed,
    )  # fmt: skip
    division = settings.division
    if not dry_run:
        refuse_existing(output, overwrite)
    # Before anything is opened: what was read is at most as old as this.
    sources = stamps([*files_of(scenes, labels, **inputs), *([settings.areas] if settings.areas else [])])
    if not dry_run:
        legend = inputs.get("legend")
        refuse_read(output, [*(known[0] for known in sources), *([legend] if isinstance(legend, str | Path) else [])])
    pairs = open_pairs(scenes, labels, **inputs)
    drawn = read_areas(areas, area_column) if areas is not None else None
    with workers(pairs, jobs) as crew:
        plan = plan_chips(
            count_cells(pairs, crew),
            chip_size=chip_size,
            overlap=overlap,
            block_size=block_size,
            shares=division,
            split_by=split_by,
            seed=seed,
            areas=drawn,
            files=[tuple(Path(file).resolve() for file in pair.source.files) for pair in pairs],
            name=f"{pairs[0].labels.path} on {pairs[0].scene.name}",
        )
        logger.info("Chips of %d pixels, %d apart between splits, split by %s", plan.chip, plan.gap, plan.by)
        job = _Job(output, pairs, settings, plan, _wanted(division, drawn), inputs, sources)
        frame = job.frame(list(job.cut(crew, None))) if dry_run else job.make(crew, overwrite)
    return job.result(frame, dry_run=dry_run)


@dataclass(frozen=True)
class _Job:
    """One run of `tile`, when it is known what to cut."""

    output: Path
    pairs: list[LabelledScene]
    settings: Settings
    plan: ChipPlan
    wanted: tuple[str, ...]
    inputs: InputOptions
    sources: tuple[Stamp, ...]

    @property
    def key(self) -> str:
        """What makes two runs the same work."""
        legend = self.pairs[0].labels.legend.to_dict()
        same = {"version": __version__, "format": FORMAT, "legend": legend} | self._options() | self._origin()
        return digest(same, self.sources)

    def make(self, crew: Workers[list[LabelledScene]], overwrite: bool) -> gpd.GeoDataFrame:
        """Make the chip folder, and return its index."""
        made = new_output(
            self.output, overwrite=overwrite, key=self.key, bulk=("images", "labels"), sources=self.sources
        )
        with made as workspace:
            workspace.main.mkdir(exist_ok=True)
            notes = workspace.scratch("notes")
            notes.mkdir(exist_ok=True)
            cuts = list(self.cut(crew, Journal(notes, workspace.main)))
            frame = self.frame(cuts)
            write_index(workspace.main, frame, self.description(cuts))
        return frame

    def cut(self, crew: Workers[list[LabelledScene]], journal: Journal | None) -> Iterator[Cut]:
        """Cut all chips, but for those that the journal has; without one, none is written."""
        windows = _without_leaks(self.plan, self.pairs)
        sizes = [len(pair.scene.bands) * np.dtype(pair.scene.dtype).itemsize for pair in self.pairs]
        tasks = make_tasks(windows, sizes)
        done = {} if journal is None else _done(journal, tasks, self.pairs)
        if done:
            logger.info("Going on: %d of %d parts were cut before", len(done), len(tasks))
        rules = self._rules(windows, max(sizes), journal)
        left = [task for task in tasks if task.number not in done]
        fresh = crew.run(partial(_cut, rules=rules, journal=journal), left)
        with progress.bar("Cutting", sum(map(len, windows)), "chips") as bar:
            for task in tasks:
                yield done[task.number] if task.number in done else next(fresh)
                bar.advance(sum(len(strip.windows) for strip in task.strips))

    def _rules(self, windows: tuple[Windows, ...], pixel_bytes: int, journal: Journal | None) -> Rules:
        settings = self.settings
        # Of training alone: much validation and test ground beside it would leave little, or nothing, of its pixels.
        split = 0 if settings.folds is None else None
        pixels = sum(int((own[:, 3] * own[:, 4])[(own[:, 0] == split) | (split is None)].sum()) for own in windows)
        share = min(1.0, min(SAMPLE_PIXELS, SAMPLE_BYTES // pixel_bytes) / max(pixels, 1))
        folder = None
        if journal is not None and not settings.virtual:
            folder = journal.chips
            for name in ("images", "labels"):
                (folder / name).mkdir(exist_ok=True)
        # Without a journal nothing is written; what chips take before compression is told at once.
        compress = None if settings.virtual else settings.compress if journal is not None else "none"
        sampled = share if journal is not None else 0.0
        return Rules(folder, compress, settings.min_labelled, settings.min_valid, sampled, split, settings.seed)

    def frame(self, cuts: list[Cut]) -> gpd.GeoDataFrame:
        """The index of what was cut.

        Raises:
            ChipError: a split has no chip.
            LeakError: chips of different splits share ground; a fault of geoseg's own.
        """
        rows = np.concatenate([cut.rows for cut in cuts]) if cuts else np.empty((0, 0), np.int64)
        if not len(rows):
            raise ChipError(
                f"{self.pairs[0].scene.name}: no chip has enough labelled and valid pixels; lower --min-labelled or "
                "label more"
            )
        sizes = np.concatenate([cut.sizes for cut in cuts])
        frame = _chip_frame(rows, self.pairs, self.plan)
        names = [chip_name(self.pairs[scene], scene, row, col) for scene, _, row, col in rows[:, :4].tolist()]
        for place, folder in enumerate(("images", "labels")):
            files = [""] * len(names) if self.settings.virtual else [f"{folder}/{name}" for name in names]
            frame.insert(place, folder.removesuffix("s"), files)
        for number, column in enumerate(count_columns(self.pairs[0].labels.legend)):
            frame.insert(len(frame.columns) - 1, column, rows[:, 6 + number])
        for place, column in enumerate(SIZES):
            frame.insert(len(frame.columns) - 1, column, sizes[:, place])
        self._refuse_poor(frame)
        check_leaks(frame, self.plan.gap, str(self.output))
        return frame

    def description(self, cuts: list[Cut]) -> dict[str, Any]:
        """What chips.json says."""
        scene = self.pairs[0].scene
        legend = self.pairs[0].labels.legend
        return {
            "bands": list(scene.bands),
            "dtype": scene.dtype,
            "ground_sample_distance": scene.grid.ground_sample_distance,
            "legend": legend.to_dict(),
            "statistics": _statistics(cuts, self.plan.names, self.settings.folds),
            "options": self._options(),
            **self._origin(),
            "fingerprint": digest({}, self.sources),
        }

    def result(self, frame: gpd.GeoDataFrame, *, dry_run: bool) -> TileResult:
        """What to tell of it."""
        legend = self.pairs[0].labels.legend
        size = int(frame[list(SIZES)].to_numpy().sum())
        result = TileResult.of(str(self.output), frame, self.plan, legend, self.wanted, size, dry_run=dry_run)
        for split, name in result.missing:
            what = {"train": "training", "val": "validation"}.get(split, split)
            logger.warning("No %s label of class '%s'", what, name)
        return result

    def _options(self) -> dict[str, Any]:
        plan = self.plan
        decided = {"chip_size": plan.chip, "overlap": plan.overlap, "gap": plan.gap, "block_size": plan.block,
                   "split_by": plan.by, "split": list(self.settings.split),
                   "nodata_rule": self.inputs.get("nodata_rule") or "any"}  # fmt: skip
        named = {"scenes": [pair.scene.name for pair in self.pairs], "labels": str(self.pairs[0].labels.path)}
        return named | asdict(self.settings) | decided

    def _origin(self) -> dict[str, Any]:
        """The scenes and labels, and how they are read."""
        return {
            "sources": [pair.source.to_dict() for pair in self.pairs],
            "label_files": [str(Path(pair.labels.path).absolute()) for pair in self.pairs],
            "label_fields": [pair.field for pair in self.pairs],
            "label_options": labelling(self.inputs),
        }

    def _refuse_poor(self, frame: gpd.GeoDataFrame) -> None:
        for name in self.wanted:
            if (frame["split"] == name).any():
                continue
            remedy = f"give {name} no share with --split, or use scenes that overlap less"
            if self.plan.by == "areas":
                beside = f"{self.plan.gap} pixels beside those of other splits are left out"
                remedy = f"or draw the {name} areas larger: {beside}"
            raise ChipError(
                f"{self.pairs[0].labels.path}: no {name} chip has labels on valid pixels of its own ground; label "
                f"more places, {remedy}"
            )


def _cut(pairs: list[LabelledScene], task: Task, *, rules: Rules, journal: Journal | None) -> Cut:
    cut = cut_task(pairs, task, rules=rules)
    if journal is not None:
        journal.write(task.number, cut)
    return cut


def _done(journal: Journal, tasks: list[Task], pairs: list[LabelledScene]) -> dict[int, Cut]:
    found = ((task.number, journal.read(task.number, pairs)) for task in tasks)
    return {number: cut for number, cut in found if cut is not None}


def _wanted(division: Division, areas: SplitAreas | None) -> tuple[str, ...]:
    """The splits that must have chips."""
    if areas is not None:
        return areas.wanted
    return tuple(name for name, share in zip(division.names, division.values, strict=True) if share > 0)


def _chip_frame(rows: npt.NDArray[np.int64], pairs: list[LabelledScene], plan: ChipPlan) -> gpd.GeoDataFrame:
    return chip_frame(rows, [pair.scene.grid for pair in pairs], plan.names, [pair.scene.name for pair in pairs])


def _without_leaks(plan: ChipPlan, pairs: list[LabelledScene]) -> tuple[Windows, ...]:
    """Leave out chips that lie on, or too near, the ground of another split: where scenes overlap or touch.

    Of two such chips the training chip goes, or the validation chip when the other is for the test.
    """
    if len(pairs) == 1 and plan.by != "areas":
        return plan.windows  # blocks of one scene keep their gap by themselves
    scene = np.repeat(np.arange(len(pairs)), [len(own) for own in plan.windows])
    rows = np.column_stack([scene, np.concatenate(plan.windows)])
    leaking = leaking_pairs(_chip_frame(rows, pairs, plan), plan.gap)
    lost = np.unique(np.where(rows[leaking[:, 0], 1] < rows[leaking[:, 1], 1], leaking[:, 0], leaking[:, 1]))
    if len(lost):
        logger.warning("%d chips lie on or near ground of another split and are left out", len(lost))
    kept = np.delete(rows, lost, axis=0)
    return tuple(kept[kept[:, 0] == number, 1:] for number in range(len(pairs)))


def _statistics(cuts: list[Cut], names: tuple[str, ...], folds: int | None) -> dict[str, Any]:
    """Statistics of the training pixels; with folds, for each of them those of all others."""
    sample = np.concatenate([cut.sample for cut in cuts])
    split = np.repeat(np.concatenate([cut.rows[:, 1] for cut in cuts]), np.concatenate([cut.sampled for cut in cuts]))
    if folds is None:
        return BandStatistics.of(sample[split == 0]).to_dict()
    return {name: BandStatistics.of(sample[split != number]).to_dict() for number, name in enumerate(names)}
