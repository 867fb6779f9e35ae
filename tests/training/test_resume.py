"""A training that is stopped anywhere goes on and ends as if nothing had happened."""

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

import geoseg
from geoseg.errors import ModelError, OutputError, OutputExistsError
from geoseg.model import load_model
from geoseg.training.checkpoint import Checkpoints, State, discard_spent
from geoseg.training.job import prepare
from geoseg.training.options import Asked
from geoseg.training.team import Team

# With dropout, which draws anew at each step.
OPTIONS = {"arch": "fcn8s", "arch_options": {"encoder": "vgg11_bn", "width": 4}, "epochs": 4, "chips_per_epoch": 8,
           "batch_size": 2, "seed": 3, "checkpoint_every": 0.001}  # fmt: skip


@pytest.fixture(scope="module")
def whole(small_chips, tmp_path_factory):
    """The weights of a training that nobody stopped."""
    path = tmp_path_factory.mktemp("whole") / "m.safetensors"
    geoseg.train(small_chips, path, **(OPTIONS | {"checkpoint_every": None}))
    return load_model(path).network.state_dict()


def folder_of(path):
    return path.parent / f".{path.name}.checkpoint"


def steps_of(path):
    return sorted(int(file.stem.split("-")[1]) for file in folder_of(path).glob("step-*.safetensors"))


def same(path, weights):
    found = load_model(path).network.state_dict()
    return all(torch.equal(found[key], value) for key, value in weights.items())


def stop_at(path, step, number=signal.SIGINT):
    """Send this process a signal once a checkpoint of `step` or a later one is there."""

    def watch():
        while not any(found >= step for found in steps_of(path)):
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()


def stopped(chips, path, step=3, **options):
    stop_at(path, step)
    with pytest.raises(KeyboardInterrupt):
        geoseg.train(chips, path, **(OPTIONS | options))
    return steps_of(path)


def test_killed_at_any_step_it_ends_with_the_same_weights(small_chips, tmp_path, whole):
    path = tmp_path / "m.safetensors"
    script = (
        "import sys, torch, geoseg\ntorch.set_num_threads(1)\n"
        f"geoseg.train({str(small_chips)!r}, {str(path)!r}, resume=True, **{OPTIONS!r})"
    )
    for kill in (random.randint(1, 5), random.randint(7, 13)):
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            while process.poll() is None and not any(found >= kill for found in steps_of(path)):
                time.sleep(0.001)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not path.exists()
    geoseg.train(small_chips, path, resume=True, **OPTIONS)
    assert same(path, whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "m.confusion.csv", "m.curves.png", "m.md", "m.metrics.csv", "m.safetensors",
    ]  # fmt: skip
    assert len((tmp_path / "m.metrics.csv").read_text().splitlines()) == 5


def test_the_rate_of_an_epoch_is_noted_though_no_step_of_it_is_left(small_chips):
    job = prepare(small_chips, Asked(arch="unet_compact", epochs=4, chips_per_epoch=8, batch_size=2), Team())
    (before, _), (after, _) = job.task(), job.task()
    for _ in range(4):
        before.optimizer_step(0, 0, before.optimizer)
    after.restore(before.state())
    rates = [[group["lr"] for group in task.optimizer.param_groups] for task in (before, after)]
    assert rates[0] == rates[1]
    assert rates[0][0] != before.settings.lr


def test_ctrl_c_is_noted_between_steps_and_broken_checkpoints_are_passed_over(small_chips, tmp_path, whole, caplog):
    path = tmp_path / "m.safetensors"
    handler = signal.getsignal(signal.SIGINT)
    kept = stopped(small_chips, path, 5)
    assert signal.getsignal(signal.SIGINT) == handler
    assert len(kept) == 2
    newest = folder_of(path) / f"step-{kept[-1]:09d}.safetensors"
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(content)
    caplog.set_level("INFO")
    geoseg.train(small_chips, path, resume=True, **OPTIONS)
    assert f"goes on after step {kept[0]}" in caplog.text
    assert "is broken" in caplog.text
    assert same(path, whole)


def test_what_is_there_is_never_thrown_away_or_mixed_unasked(small_chips, tmp_path, caplog):
    path = tmp_path / "m.safetensors"
    kept = stopped(small_chips, path)
    with pytest.raises(OutputExistsError, match="go on with --resume, or begin anew with --overwrite"):
        geoseg.train(small_chips, path, **OPTIONS)
    with pytest.raises(OutputExistsError, match="seed was 3 and is 4"):
        geoseg.train(small_chips, path, resume=True, **(OPTIONS | {"seed": 4}))
    assert steps_of(path) == kept
    # The time that is left is no part of what is learned: the best so far is made a model at once.
    result = geoseg.train(small_chips, path, resume=True, max_time=0.01, **OPTIONS)
    assert result.epochs == 1
    assert "The time was over after 1 of 4 epochs, with the rate at 9" in caplog.text
    assert "training with --epochs 1 takes as long" in caplog.text
    assert not folder_of(path).exists()
    stopped(small_chips, tmp_path / "n.safetensors")
    geoseg.train(small_chips, tmp_path / "n.safetensors", overwrite=True, **(OPTIONS | {"epochs": 1}))
    assert not folder_of(tmp_path / "n.safetensors").exists()


def test_checkpoints_of_a_model_that_is_complete_are_taken_away_and_no_others(small_chips, tmp_path):
    path, made = tmp_path / "m.safetensors", tmp_path / "made"
    checkpoints = Checkpoints(path, "key", {})
    checkpoints.save(State(1, {"weights": torch.ones(2)}, {}))
    made.write_text("model")
    checkpoints.spent(made)
    path.write_text("another model")
    with pytest.raises(OutputExistsError):
        geoseg.train(small_chips, path, **OPTIONS)
    assert steps_of(path) == [1]
    made.replace(path)
    for left in (lambda: None, folder_of(path).mkdir):  # as runs leave it that are killed then, and a little later
        left()
        with pytest.raises(OutputExistsError):
            geoseg.train(small_chips, path, **OPTIONS)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_runs_left_that_were_killed_while_they_wrote_does_not_add_up(tmp_path):
    checkpoints = Checkpoints(tmp_path / "m.safetensors", "key", {})
    checkpoints.save(State(1, {"weights": torch.ones(2)}, {}))
    (scratch,) = (path for path in checkpoints.folder.iterdir() if path.is_dir())
    for name in (".tmp8P51Hy", "step-000000002.safetensors"):  # as safetensors names it, and then we
        (scratch / name).write_bytes(b"half")
    checkpoints.save(State(3, {"weights": torch.ones(2)}, {}))
    assert not list(scratch.iterdir())
    (scratch / ".tmpAL4Shp").write_bytes(b"half")
    assert checkpoints.begin(resume=True, overwrite=False).step == 3
    checkpoints.discard()
    assert not list(tmp_path.iterdir())


def test_what_the_next_run_has_begun_is_not_taken_for_spent(tmp_path):
    """The lock is given back when a model has its name; the checkpoints that led to it are taken away after that."""
    path = tmp_path / "m.safetensors"
    path.write_text("the model")
    first, second = (Checkpoints(path, "key", {}) for _ in range(2))
    first.save(State(9, {"weights": torch.ones(2)}, {}))
    first.spent(path)
    second.begin(resume=False, overwrite=True)
    second.save(State(1, {"weights": torch.ones(2)}, {}))
    discard_spent(path)
    assert steps_of(path) == [1]
    second.spent(path)
    discard_spent(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_last_whole_checkpoint(small_chips, tmp_path):
    path = tmp_path / "m.safetensors"
    kept = stopped(small_chips, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match="checkpoint cannot be written") as caught:
            geoseg.train(small_chips, path, resume=True, **OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "make room and go on with --resume" in str(caught.value)
    assert steps_of(path) == kept
    assert [file.name for file in tmp_path.iterdir()] == [folder_of(path).name]


def test_a_disk_without_room_for_one_checkpoint_is_left_empty(small_chips, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match="is the disk full"):
            geoseg.train(small_chips, tmp_path / "m.safetensors", **OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_without_a_checkpoint_resume_begins(small_chips, tmp_path):
    result = geoseg.train(small_chips, tmp_path / "m.safetensors", resume=True, **(OPTIONS | {"epochs": 1}))
    assert result.epochs == 1


def test_a_training_that_diverges_keeps_what_it_learned(small_chips, tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match=r"diverged in epoch \d at step \d \(loss (nan|inf)\) on the chips images/"):
        geoseg.train(small_chips, path, **(OPTIONS | {"lr": 0.99, "clip": 0, "optimizer": "sgd", "epochs": 12,
                                                      "loss": "ce:1e30"}))  # fmt: skip
    assert not path.exists()
