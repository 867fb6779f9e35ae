"""Files that geoseg did not make, beside and inside of what it makes: they stay as they are, whatever happens."""

import signal
from dataclasses import dataclass, replace

import pytest
from click.testing import CliRunner

import geoseg
from faults.conftest import files_in, started, wait_for
from geoseg.cli import main
from geoseg.errors import GeosegError

SMALL = ("--epochs", "1", "--chips-per-epoch", "8")


@dataclass(frozen=True)
class Case:
    """A command and what it makes.

    Attributes:
        name: of the command.
        output: what it makes.
        made: names of all that stands in the output's folder after it succeeded.
        inside: True for a folder that a stranger could put something into.
        again: True when a second run finds all done and succeeds.
    """

    name: str
    output: str
    made: tuple[str, ...] = ()
    inside: bool = False
    again: bool = False

    def words(self, inputs, folder):
        words = {
            "tile": ("tile", inputs.scene, "--labels", inputs.labels, "--chip-size", 32),
            "train": ("train", inputs.chips, *SMALL, "--batch-size", 4, "--arch-option", "width=4"),
            "predict": ("predict", inputs.model, inputs.scene, "--runtime", "torch"),
            "vectorize": ("vectorize", inputs.map),
            "evaluate": ("evaluate", inputs.map, inputs.labels),
            "sample": ("sample", inputs.map, "--size", 60),
            "view": ("view", inputs.map),
            "map": ("map", inputs.regions, "--scenes", inputs.scene, "--model", inputs.model, "--jobs", 1,
                    "--window", 256, "--runtime", "torch", "--no-polygons"),
            "run": ("run", inputs.scene, "--labels", inputs.labels),
        }[self.name]  # fmt: skip
        return [str(word) for word in (*words, "-q", "-o", folder / self.output)]


MODEL = tuple(f"m.{end}" for end in ("confusion.csv", "curves.png", "md", "metrics.csv", "safetensors"))
CASES = (
    Case("tile", "chips", inside=True),
    Case("train", "m.safetensors", MODEL),
    Case("predict", "map.tif", ("map.qml", "map.tif", "map.tif.aux.xml")),
    Case("vectorize", "map.gpkg"),
    Case("evaluate", "report", inside=True),
    Case("sample", "samples.gpkg"),
    Case("view", "page.html"),
)
LONG = (Case("map", "atlas", inside=True, again=True), Case("run", "out", inside=True))
STRANGERS = (
    "precious.txt", ".lock", ".geoseg-lock", "notes.aux.xml", "notes.qml", ".notes.partial/half", ".work/block.npy",
    "report/mine.html", "chips/mine.tif", "regions/mine/mine.tif", "run.json", "atlas.json", "other.tif.aux.xml",
    ".m.safetensors.checkpoint/mine.new", ".map.tif.new",
)  # fmt: skip


@pytest.fixture
def strangers(tmp_path, case):
    """A folder of a stranger, and its files."""
    for name in STRANGERS:
        if not name.startswith(f"{case.output}/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"precious: {name}")
    return files_in(tmp_path)


@dataclass(frozen=True)
class Done:
    """How a job ended, in the words of a command."""

    exit_code: int
    output: str = ""


def did(case, inputs, folder, *more):
    if case.name == "run":  # with a training that is shorter than the command can make it
        training = {"epochs": 1, "chips_per_epoch": 8, "batch_size": 4, "arch_options": {"width": 4}}
        try:
            geoseg.run(inputs.scene, inputs.labels, folder / case.output, tiling={"chip_size": 32}, training=training,
                       overwrite="--overwrite" in more)  # fmt: skip
        except GeosegError as error:
            return Done(error.exit_code, str(error))
        return Done(0)
    return CliRunner().invoke(main, [*case.words(inputs, folder), *more])


def interrupted(case, inputs, folder):
    """Press Ctrl-C once the work has begun, of a process of its own: it may come anywhere."""
    before = set(folder.rglob("*"))
    with started(case.words(inputs, folder)) as process:
        wait_for(lambda: set(folder.rglob("*")) - before, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def check(case, inputs, folder, strangers):
    """Through failure, interruption and success, again and with --overwrite."""

    def untouched():
        found = files_in(folder)
        return {name: found.get(name) for name in strangers} == strangers

    def others():
        return sorted({name.split("/")[0] for name in set(files_in(folder)) - set(strangers)})

    wrong = replace(inputs, **dict.fromkeys(("scene", "map", "chips"), inputs.scene.with_name("missing.tif")))
    done = did(case, wrong, folder)
    assert done.exit_code == 1, done.output
    assert untouched()
    assert not others()
    if case.name != "map":  # its workers are stopped in the tests of the atlas, as real processes
        interrupted(case, inputs, folder)
    assert untouched()
    done = did(case, inputs, folder, "--overwrite")
    assert done.exit_code == 0, done.output
    assert untouched()
    assert others() == sorted(case.made or (case.output,))
    done = did(case, inputs, folder)
    assert done.exit_code == (0 if case.again else 1), done.output
    assert untouched()
    assert others() == sorted(case.made or (case.output,))
    if case.inside:
        (folder / case.output / "mine.txt").write_text("precious")
        for more in ((), ("--overwrite",)):
            did(case, inputs, folder, *more)
            assert (folder / case.output / "mine.txt").read_text() == "precious"
        assert untouched()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_of_others_stay_as_they_are(case, inputs, tmp_path, strangers):
    check(case, inputs, tmp_path, strangers)


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG, ids=lambda case: case.name)
def test_files_of_others_stay_as_they_are_in_long_work(case, inputs, tmp_path, strangers):
    check(case, inputs, tmp_path, strangers)
    left = [path for path in (tmp_path / case.output).rglob("*") if ".partial" in path.name or path.suffix == ".new"]
    assert not left
    assert not (tmp_path / case.output / ".work").exists()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("more", [(), ("--overwrite",)], ids=["", "overwrite"])
def test_a_stranger_where_geoseg_would_write_is_said_and_left(case, more, inputs, tmp_path):
    """Where it would work, and what would stand beside its output."""
    beside = [name for name in case.made if name != case.output][:1]
    for name in (f".{case.output}.partial/half", *beside):
        stranger = tmp_path / name
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_text("precious")
        done = did(case, inputs, tmp_path, *more)
        assert done.exit_code == 1, done.output
        assert "move it away" in done.stderr
        assert files_in(tmp_path) == {name: b"precious"}
        stranger.unlink()
        if stranger.parent != tmp_path:
            stranger.parent.rmdir()
