"""The engine on dask's real scheduler, with tasks that do next to nothing."""

import os
import time
from dataclasses import dataclass, field

import pytest
from atlas.conftest import SMALL, make_scenes, rectangles

import geoseg
from geoseg.atlas.engine import AHEAD, Engine, Rules
from geoseg.atlas.finish import finish_region
from geoseg.errors import ClusterError

TO_DO = ("waiting", "no-worker", "queued", "processing")
"""States of a task that the scheduler has still to see done."""


def block(task):
    name, number, is_last, folder = task
    begun = folder / f"{name}-{number}"
    begun.write_text(begun.read_text() + "." if begun.exists() else ".")
    if name == "hopeless" or (name == "unsteady" and not is_last):
        raise ValueError("no luck")
    time.sleep(0.002)
    return number


def finish(task):
    name, results, folder = task
    (folder / f"{name}-done").write_text(str(results))
    return len(results)


@dataclass
class Work:
    name: str
    folder: os.PathLike
    blocks: int = 3

    def block(self, number, *, is_last):
        return self.name, number, is_last, self.folder

    def finish(self, results):
        return self.name, results, self.folder


@dataclass
class Told:
    states: dict = field(default_factory=dict)
    begun: list = field(default_factory=list)
    tries: int = 0
    most: int = 0
    look: object = None

    def running(self, job):
        self.begun.append(job.name)

    def block_done(self, job, result):
        pass

    def tried(self, job):
        self.tries += 1

    def done(self, job, result):
        self.states[job.name] = result

    def failed(self, job, why):
        self.states[job.name] = why

    def idle(self):
        if self.look:
            self.most = max(self.most, self.look())


@pytest.fixture
def run(client):
    def run(jobs, **rules):
        def unfinished():
            # What is done, of this run or of the one before, stays until the scheduler hears that nobody wants it.
            return sum(task.state in TO_DO for task in list(client.cluster.scheduler.tasks.values()))

        told = Told(look=unfinished)
        Engine(client, Rules(**rules), block, finish).run(jobs, told)
        return told

    return run


def test_every_region_is_put_together_from_all_of_its_blocks(run, tmp_path):
    told = run([Work(f"r{number}", tmp_path, blocks=1 + number % 4) for number in range(20)])
    assert told.states == {f"r{number}": 1 + number % 4 for number in range(20)}
    assert (tmp_path / "r3-done").read_text() == "[0, 1, 2, 3]"
    assert all(path.read_text() == "." for path in tmp_path.glob("r*-[0-9]"))


def test_the_scheduler_holds_a_few_tasks_however_many_there_are(run, tmp_path):
    pulled = []

    def jobs():
        for number in range(150):
            pulled.append(number)
            yield Work(f"r{number}", tmp_path, blocks=1)

    told = run(jobs())
    assert len(told.states) == len(pulled) == 150
    assert 1 <= told.most <= AHEAD


def test_what_fails_is_tried_again_and_then_given_up(run, tmp_path):
    told = run([Work("unsteady", tmp_path), Work("hopeless", tmp_path), Work("good", tmp_path)], retries=2)
    assert told.states["unsteady"] == told.states["good"] == 3
    assert told.states["hopeless"] == "ValueError: no luck"
    assert (tmp_path / "unsteady-0").read_text() == "..."
    assert not (tmp_path / "hopeless-done").exists()
    # Once a block is given up, the others of its region are too.
    assert told.tries <= 3 * 2 + 3 * 3


def test_the_scheduler_keeps_nothing_of_what_is_over_done_or_failed(run, client, tmp_path):
    run([Work("unsteady", tmp_path), Work("hopeless", tmp_path), Work("good", tmp_path)], retries=2)
    deadline = time.monotonic() + 30
    while client.cluster.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not client.cluster.scheduler.tasks


def twice(task):
    first, second = finish_region(task), finish_region(task)
    assert second.pixels == first.pixels
    assert second.areas == pytest.approx(first.areas, rel=1e-6)
    return second


def test_a_result_that_died_with_its_worker_is_made_again(model_file, client, tmp_path):
    """Putting a region together a second time finds it done, with nothing left of its blocks."""
    make_scenes(tmp_path / "scenes")
    regions = rectangles(tmp_path / "one.gpkg", {"one": (0, 0, 90, 90)})
    options = SMALL | {"polygons": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geoseg.atlas.map.finish_region", twice)
        outcomes = geoseg.map(regions, tmp_path / "scenes", model_file, tmp_path / "atlas", client=client, **options)
    assert list(outcomes["state"]) == ["done"]
    assert outcomes["megapixels"][0] == 90 * 90 / 1e6


def test_the_first_failure_ends_all_where_that_is_asked_for(run, tmp_path):
    told = run([Work("hopeless", tmp_path), *(Work(f"r{n}", tmp_path) for n in range(50))], retries=0, fail_fast=True)
    assert told.states["hopeless"]
    assert len(told.begun) < 10


def test_a_cluster_without_workers_is_not_waited_for_for_ever(tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}
        ) as cluster,
        Client(cluster) as client,
        pytest.raises(ClusterError, match="no worker for 1 s; they end as soon as they begin"),
    ):
        Engine(client, Rules(patience=1.0), block, finish).run([Work("r", tmp_path)], Told())
