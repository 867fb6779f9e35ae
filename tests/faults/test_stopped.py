"""Real processes that are killed, interrupted and terminated: `GEOSEG_KILLS=50 pytest tests/faults`."""

import os
import random
import shutil
import signal
import time

import geopandas as gpd
import pytest

from faults.conftest import files_in, hidden_of, output_of, started, wait_for, words_of
from geoseg.errors import OutputError
from geoseg.output import new_output

KILLS = int(os.environ.get("GEOSEG_KILLS", "2"))


def content(path):
    """What an output says."""
    if path.is_dir():
        return files_in(path)
    frame = gpd.read_file(path, layer=0)
    return frame.drop(columns="geometry").to_csv(), frame.geometry.to_wkb().tolist()


@pytest.mark.parametrize("name", ["tile", "vectorize"])
def test_killed_at_any_moment_the_same_command_ends_as_if_it_had_not_been(name, inputs, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = output_of(name, tmp_path / "whole")
    start = time.monotonic()
    process = started(words_of(name, inputs, whole))
    _, told = process.communicate()
    assert process.returncode == 0, told
    seconds, chance = time.monotonic() - start, random.Random(0)
    output = output_of(name, tmp_path)
    for number in range(KILLS):
        process = started(words_of(name, inputs, output))
        if number % 2:
            time.sleep(chance.uniform(0, seconds))
        elif wait_for(hidden_of(output).exists, process):
            time.sleep(chance.uniform(0, seconds / 10))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        # What has the output's name is whole.
        if output.exists():
            assert content(output) == content(whole)
    process = started([*words_of(name, inputs, output), "--overwrite"])
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert content(output) == content(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output.name, "whole"])


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("tile", signal.SIGINT, 130),
        ("train", signal.SIGTERM, 143),
        ("predict", signal.SIGINT, 130),
        ("vectorize", signal.SIGTERM, 143),
    ],
)
def test_a_command_that_is_stopped_ends_at_once_and_says_so_in_a_line(name, number, code, inputs, tmp_path):
    output = output_of(name, tmp_path)
    for _ in range(10):
        process = started(words_of(name, inputs, output))
        at_work = wait_for(hidden_of(output).exists, process)
        os.killpg(process.pid, number)
        start = time.monotonic()
        _, told = process.communicate()
        if at_work and process.returncode:  # where this test was slow the command may have been done before
            break
        if output.exists():
            shutil.rmtree(output) if output.is_dir() else output.unlink()
    assert process.returncode == code, told
    assert time.monotonic() - start < 60
    lines = told.strip().splitlines()
    assert "Traceback" not in told
    assert lines[-1].startswith("Stopped;" if number == signal.SIGINT else "Terminated;")
    assert not output.exists()


def test_of_two_runs_with_one_output_the_second_is_refused(inputs, tmp_path):
    output = output_of("predict", tmp_path)
    first = started(words_of("predict", inputs, output))
    assert wait_for((hidden_of(output) / ".geoseg-key").exists, first)
    with pytest.raises(OutputError, match="being written by another run"), new_output(output):
        pytest.fail("no work may begin")
    _, told = first.communicate()
    assert first.returncode == 0, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]
