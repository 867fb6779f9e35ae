"""The regions of a run: how far each is, told to a table on disk and to whoever watches."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd

from geoseg import progress
from geoseg.antimeridian import wrapped
from geoseg.atlas.engine import Engine, Job
from geoseg.atlas.plan import Planner, RegionJob, RegionPlan
from geoseg.atlas.regions import Region
from geoseg.atlas.state import DONE, FAILED, NO_DATA, NO_SCENE, REGIONS, RUNNING, WAITING, Outcome, Table, earlier
from geoseg.atlas.tasks import BlockResult, Recipe, RegionResult, read_made

logger = logging.getLogger(__name__)

_TELL = 0.5
"""Seconds at least between two counts of the regions."""


@dataclass
class Batch:
    """The regions of a run, how far they are, and the listener of the engine."""

    folder: Path
    plans: dict[str, RegionPlan]
    recipe: Recipe
    table: Table
    bar: progress.Bar | None = None
    said: float = 0.0

    @classmethod
    def begin(cls, folder: Path, regions: list[Region], planner: Planner) -> Batch:
        """See what is done already."""
        before = earlier(folder)
        plans = {region.slug: planner.plan(region) for region in regions}
        outcomes = [_known(folder, plan, before.get(slug), planner.recipe) for slug, plan in plans.items()]
        table = Table(folder, outcomes, [wrapped(plan.region.outline) for plan in plans.values()])
        table.save(now=True)
        counts = table.counts()
        logger.info("%d regions: %s", len(plans), ", ".join(f"{count} {state}" for state, count in counts.items()))
        return cls(folder, plans, planner.recipe, table)

    def todo(self) -> list[RegionPlan]:
        """The regions that are to be mapped."""
        return [self.plans[outcome.slug] for outcome in self.table.outcomes if outcome.state == WAITING]

    def run(self, engine: Engine, block: int, retries: int) -> None:
        """Map them."""
        todo = self.todo()
        jobs: Iterator[Job] = (RegionJob.begin(plan, self.recipe, self.folder, block, retries) for plan in todo)
        with progress.bar("Mapping", sum(plan.megapixels for plan in todo), "MP") as self.bar:
            engine.run(jobs, self)

    def stop(self) -> None:
        """Leave a table to go on from."""
        for outcome in self.table.outcomes:
            if outcome.state == RUNNING:
                outcome.state = WAITING
        self.table.save(now=True)

    def running(self, job: Job) -> None:
        """A region is begun."""
        self._of(job).state = RUNNING
        self._of(job).attempts += 1
        self.table.changed()

    def block_done(self, job: Job, result: BlockResult) -> None:
        """A block of a region is done."""
        outcome = self._of(job)
        outcome.seconds += result.seconds
        outcome.attempts += result.deaths
        outcome.left_out |= result.left_out
        self._advance(self.plans[outcome.slug].megapixels / job.blocks)

    def tried(self, job: Job) -> None:
        """A task of a region failed."""
        self._of(job).attempts += 1

    def done(self, job: Job, result: RegionResult) -> None:
        """A region is done."""
        outcome = self._of(job)
        outcome.seconds += result.seconds
        outcome.megapixels = result.pixels / 1e6
        if result.pixels:
            _name_files(outcome, self.recipe)
        elif outcome.left_out:
            outcome.why = f"none of its pixels could be read: {next(iter(outcome.left_out.values()))}"
        outcome.state = DONE if result.pixels else FAILED if outcome.left_out else NO_DATA
        for reason in outcome.left_out.values():
            logger.warning("%s: left out: %s", outcome.name, reason)
        self._told()

    def failed(self, job: Job, why: str) -> None:
        """A region failed for good."""
        outcome = self._of(job)
        outcome.state, outcome.why = FAILED, why
        outcome.attempts -= 1  # the last try is counted when it begins
        logger.warning("%s failed: %s", outcome.name, why)
        self._told()

    def idle(self) -> None:
        """A time to write the table."""
        self.table.save()

    def _told(self) -> None:
        self.table.changed()
        self._advance(0.0)

    def _advance(self, megapixels: float) -> None:
        if self.bar is None:
            return
        # Counting thousands of regions for each block would take longer than telling.
        if time.monotonic() - self.said > _TELL:
            self.said = time.monotonic()
            counts = self.table.counts()
            failed = f", {counts[FAILED]} failed" if counts[FAILED] else ""
            self.bar.say(f"{counts[DONE]} of {len(self.table.outcomes)} regions{failed}")
        self.bar.advance(megapixels)

    def _of(self, job: Job) -> Outcome:
        assert isinstance(job, RegionJob)  # noqa: S101
        return self.table[job.slug]


def _known(folder: Path, plan: RegionPlan, before: Outcome | None, recipe: Recipe) -> Outcome:
    """How far a region is at the beginning of a run, by its folder; strictly, one that lacks a scene is not done."""
    fresh = Outcome(plan.region.name, plan.region.slug, scenes=len(plan.scenes), key=plan.key)
    fresh.megapixels = plan.megapixels
    if not plan.scenes:
        return replace(fresh, state=NO_SCENE, megapixels=0.0)
    made = read_made(folder / REGIONS / plan.region.slug)
    same = before is not None and before.key == plan.key
    if made is not None and made.key == plan.key and not (recipe.strict and made.left_out):
        done = before if before is not None and same and before.state == DONE else fresh
        pixels = sum(made.pixels.values())
        done = replace(done, name=plan.region.name, state=DONE, why="", megapixels=pixels / 1e6)
        done.left_out = made.left_out
        _name_files(done, recipe)
        return done
    if before is not None and same and before.state == NO_DATA:
        return before
    return fresh


def _name_files(outcome: Outcome, recipe: Recipe) -> None:
    base = f"{REGIONS}/{outcome.slug}/{outcome.slug}"
    outcome.map, outcome.item = f"{base}.tif", f"{base}.json"
    outcome.polygons = f"{base}.parquet" if recipe.polygons else ""


def summary(frame: gpd.GeoDataFrame, output: str | Path) -> str:
    """What became of the regions, in words, with a table of those that failed."""
    counts = frame["state"].value_counts()
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    effort = f"{frame['megapixels'].sum():.4g} MP, {frame['seconds'].sum():.0f} s of work"
    line = f"{output}: {len(frame)} regions: {told} ({effort})"
    failed = frame[frame["state"] == FAILED]
    lines = [f"  {name}: {why}" for name, why in zip(failed["name"], failed["why"], strict=True)]
    return "\n".join("".join(c if c.isprintable() else "?" for c in text) for text in [line, *lines])
