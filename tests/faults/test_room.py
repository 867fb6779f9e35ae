"""Disks that are full or cannot be written, and too little memory."""

import os
import resource
import signal
import subprocess
import sys
from importlib import import_module

import pytest
from click.testing import CliRunner

from faults.conftest import COMMAND, files_in, output_of, started, words_of
from geoseg.cli import main
from geoseg.cli._command import command


def limited(size):
    """No file may become larger than `size` bytes from now on; with None any."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


@pytest.fixture
def room():
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield limited
    limited(None)
    signal.signal(signal.SIGXFSZ, before)


def quick(name, inputs, output):
    """The same commands, without what makes them slow."""
    words = {
        "predict": ("predict", inputs.model, inputs.scene, "--runtime", "torch", "-q", "-o", output),
        "view": ("view", inputs.map, "-q", "-o", output),
        "evaluate": ("evaluate", inputs.map, inputs.labels, "-q", "-o", output),
        "sample": ("sample", inputs.map, "--size", "60", "-q", "-o", output),
    }.get(name) or words_of(name, inputs, output)
    return [str(word) for word in words]


NAMES = {"predict": "map.tif", "tile": "chips", "vectorize": "map.gpkg", "view": "map.html", "evaluate": "report",
         "sample": "samples.gpkg"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_said_and_never_leaves_a_wreck(name, inputs, tmp_path, room):
    output = tmp_path / NAMES[name]
    runner = CliRunner()
    done = runner.invoke(main, quick(name, inputs, output))
    assert done.exit_code == 0, done.output
    whole = files_in(tmp_path)
    largest = max(map(len, whole.values()))
    shares = (0.5, 0.9, 0.97, 0.99) if name != "evaluate" else (0.9,)  # its figures take seconds
    folder = tmp_path / "full"
    folder.mkdir()
    for share in shares:
        room(int(share * largest))
        stopped = runner.invoke(main, quick(name, inputs, folder / output.name))
        room(None)
        assert stopped.exit_code == 1, stopped.output
        assert stopped.stderr.startswith("Error: ")
        assert len(stopped.stderr.splitlines()) == 1
        assert any(words in stopped.stderr for words in ("File too large", "disk full", "disk is full", "space"))
        # What stays is hidden, and there to go on from.
        assert not [path for path in folder.iterdir() if not path.name.startswith(".")]
    done = runner.invoke(main, quick(name, inputs, folder / output.name))
    assert done.exit_code == 0, done.output
    assert sorted(files_in(folder)) == sorted(whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_said_before_the_work(name, inputs, tmp_path):
    if os.geteuid() == 0:
        folder = output_of("tile", tmp_path).parent / "proc"
        folder.symlink_to("/proc")  # where not even the superuser makes files
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o555)
    done = CliRunner().invoke(main, quick(name, inputs, folder / NAMES[name]))
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("Error: ")
    assert "cannot be written" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to limits of the address space")
@pytest.mark.parametrize(("name", "megabytes"), [("predict", 1500), ("vectorize", 600), ("tile", 250)])
def test_too_little_memory_ends_in_a_line(name, megabytes, inputs, tmp_path):
    output = output_of(name, tmp_path)

    def less():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    process = started(words_of(name, inputs, output), preexec_fn=less)
    _, told = process.communicate(timeout=100)
    if process.returncode == 0:
        pytest.skip("that was enough on this machine")
    assert process.returncode == 1, told
    assert "Traceback" not in told
    assert "memory" in told
    assert "ulimit -v" in told
    assert len(told.splitlines()) == 1
    assert not output.exists()


def test_a_library_that_cannot_be_loaded_where_memory_is_limited_is_want_of_memory(tmp_path, monkeypatch):
    (tmp_path / "large_library.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)

    @command()
    def load():
        import_module("large_library")

    assert isinstance(CliRunner().invoke(load).exception, RuntimeError)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 45, before[1]))
    try:
        done = CliRunner().invoke(load)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert (done.exit_code, done.stderr) == (
        1, "Error: out of memory: operator nms does not exist; use smaller windows or chips, or raise the limit of "
        "what may be addressed (ulimit -v)\n",
    )  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is full")  # noqa: PTH110
def test_a_result_that_cannot_be_printed_is_said(inputs, tmp_path):
    words = words_of("vectorize", inputs, tmp_path / "map.gpkg")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*COMMAND, *map(str, words)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: the result cannot be printed: No space left on device; what was to be made is"
    )
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "map.gpkg").exists()


def test_a_folder_to_start_in_that_is_gone_is_said(inputs, tmp_path):
    words = [str(word) for word in words_of("vectorize", inputs, "map.gpkg")]
    code = f"import os; os.rmdir(os.getcwd()); from geoseg.cli import main; main({words})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the folder that this was started in is gone, so no name leads anywhere; go to another\n"
    )
