"""Real worker processes, and what becomes of the work when they or the command are killed."""

import hashlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import dask
import geopandas as gpd
import numpy as np
import psutil
import pytest
import rasterio
from atlas.conftest import SMALL, make_scenes, pixels, rectangles
from atlas.test_engine import Told, Work
from distributed import Client, Security

import geoseg
from geoseg.atlas.cluster import connected
from geoseg.atlas.engine import Engine, Rules

FEW = SMALL | {"polygons": False}
NINE = {f"r{row}{col}": (row * 87, col * 134, 87, 134) for row in range(3) for col in range(3)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    make_scenes(folder / "scenes")
    rectangles(folder / "regions.gpkg", NINE)
    return folder


@pytest.fixture(scope="module")
def two():
    """The workers that `--jobs 2` starts."""
    with connected(client=None, scheduler=None, jobs=2, threads=1, gpu=False) as client:
        yield client


@pytest.fixture(scope="module")
def whole(place, model_file, client):
    """The pixels of an unbroken run of one worker."""
    outcomes = geoseg.map(place / "regions.gpkg", place / "scenes", model_file, place / "whole", client=client, **FEW)
    assert (outcomes["state"] == "done").all()
    return pixels(place / "whole", outcomes)[0]


def workers(client):
    return {worker["id"]: client.run(os.getpid, workers=[address])[address]
            for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()}  # fmt: skip


def keys_of(client):
    """The environment in which a command can speak to the workers of another."""
    keys = client.security.get_tls_config_for_role("client")
    return {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": keys["ca_file"],
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": keys["cert"],
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": keys["key"],
    }


def test_two_workers_make_the_same_maps_and_nobody_else_can_reach_them(place, model_file, two, whole):
    outcomes = geoseg.map(
        place / "regions.gpkg", place / "scenes", model_file, place / "two", client=two, block=200, **FEW
    )
    assert (pixels(place / "two", outcomes)[0] == whole).all()
    heard = [
        connection.laddr.ip
        for process in [psutil.Process(worker) for worker in workers(two).values()]
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    ]
    assert set(heard) == {"127.0.0.1"}
    threads = two.run(lambda: (os.environ["OMP_NUM_THREADS"], __import__("torch").get_num_threads()))
    assert set(threads.values()) == {("1", 1)}


def test_another_user_of_this_machine_has_no_say_over_the_workers(two, tmp_path):
    """Whoever can speak to a scheduler or worker has it run what they like, in the name of who started it."""
    keyless, foreign = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    keys = Security.temporary().get_tls_config_for_role("client")
    (tmp_path / "keys.pem").write_text(keys["key"] + keys["cert"])
    foreign.load_cert_chain(tmp_path / "keys.pem")
    for address in [two.scheduler.address, *two.scheduler_info(n_workers=-1)["workers"]]:
        parts = urllib.parse.urlsplit(address)
        with pytest.raises(OSError, match="closed"):
            Client(f"tcp://{parts.netloc}", timeout=2)
        for context in (keyless, foreign):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with (
                socket.create_connection((parts.hostname, parts.port)) as plain,
                pytest.raises(ssl.SSLError, match="ALERT"),
                context.wrap_socket(plain) as line,
            ):
                line.recv(1)
    assert two.submit(sum, [1, 2]).result() == 3


def test_a_worker_that_dies_while_it_starts_is_started_again(tmp_path):
    preload = tmp_path / "deadly.py"
    preload.write_text(
        "import os, pathlib, signal\n"
        f"died = pathlib.Path({str(tmp_path / 'died')!r})\n"
        "if not died.exists():\n"
        "    died.touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with (
        dask.config.set({"distributed.worker.preload": [str(preload)]}),
        connected(client=None, scheduler=None, jobs=1, threads=1, gpu=False) as client,
    ):
        assert client.submit(sum, [1, 2]).result() == 3
    assert (tmp_path / "died").exists()


def test_nobody_looks_for_modules_in_a_folder_that_another_user_made(monkeypatch, tmp_path):
    (tmp_path / "dask-scratch-space").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with connected(client=None, scheduler=None, jobs=1, threads=1, gpu=False) as client:
        (found,) = client.run(lambda: sys.path).values()
        searched = {Path(entry).relative_to(tmp_path).parts[0] for entry in found if entry.startswith(str(tmp_path))}
        (private,) = searched
        assert (tmp_path / private).stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.rglob("*")] == ["dask-scratch-space"]


def test_the_scheduler_that_is_started_remembers_nothing_of_what_is_over(two, tmp_path):
    """What dask keeps of every task for its diagnostic pages would grow with the plan."""
    told = Told()
    Engine(two, Rules(), len, len).run([Work(f"r{number}", tmp_path) for number in range(20)], told)
    assert len(told.states) == 20
    scheduler = two.cluster.scheduler
    deadline = time.monotonic() + 30
    while scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.02)
    kept = scheduler.tasks, scheduler.task_groups, scheduler.computations, scheduler.extensions["spans"].spans
    assert not any(kept)
    logs = [stream.recent_message_log for stream in scheduler.stream_comms.values()]
    assert max(map(len, (scheduler.transition_log, *logs))) <= 10


def test_a_worker_that_is_killed_is_replaced_and_its_region_done(place, model_file, two, whole):
    found = {}

    def run():
        found["outcomes"] = geoseg.map(
            place / "regions.gpkg", place / "scenes", model_file, place / "killed", client=two, **FEW
        )

    thread = threading.Thread(target=run)
    thread.start()
    begun = place / "killed" / ".work"
    while thread.is_alive() and not any(mark.stat().st_size for mark in begun.glob("*/*.begun")):
        time.sleep(0.01)
    before = workers(two)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    thread.join(timeout=120)
    assert (found["outcomes"]["state"] == "done").all()
    two.wait_for_workers(2, timeout=30)
    assert set(workers(two).values()) != set(before.values())


def deadly(task):
    """A block that kills its worker, the way a crash in a library would."""
    from geoseg.atlas.block import _begun, map_block

    if task.place.slug == "r11":
        with _begun(task):
            os.kill(os.getpid(), signal.SIGKILL)
    return map_block(task)


def test_a_region_that_kills_its_workers_fails_alone(place, model_file, two, monkeypatch):
    monkeypatch.setattr("geoseg.atlas.map.map_block", deadly)
    options = FEW | {"retries": 1}
    outcomes = geoseg.map(
        place / "regions.gpkg", place / "scenes", model_file, place / "deadly", client=two, **options
    ).set_index("name")
    assert outcomes.loc["r11", "state"] == "failed"
    assert "was begun 2 times and its worker died each time" in outcomes.loc["r11", "why"]
    assert (outcomes.drop("r11")["state"] == "done").all()


def command(place, model_file, name, *more):
    options = [word for key, value in SMALL.items() for word in (f"--{key}", str(value))]
    geoseg_ = [sys.executable, "-c", "from geoseg.cli import main; main()"]
    return [*geoseg_, "map", str(place / "regions.gpkg"), "--scenes", str(place / "scenes"), "--model", str(model_file),
            "-o", str(place / name), "--no-polygons", *options, *more]  # fmt: skip


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("regions/*/*.tif")}


def started(words):
    # Where tests run in the background of a shell Ctrl-C is ignored, and processes inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_command_that_is_stopped_goes_on_where_it_was(how, place, model_file, two, whole):
    """It is started again with workers that are there, which also need no time to start."""
    for number in range(5):
        name = f"stopped-{how.name}-{number}"
        process = started(command(place, model_file, name, "--block", "100", "--jobs", "1"))
        while process.poll() is None and not digests(place / name):
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        # Ctrl-C goes to the whole group of a terminal; a kill to one process.
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        _, told = process.communicate(timeout=60)
        if process.returncode:  # where the test was slow the command may have been done before
            break
    assert process.returncode == (-9 if how == signal.SIGKILL else 130), told
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive
    done = {path: path.stat().st_mtime_ns for path in (place / name).glob("regions/*/*.tif")}
    assert 0 < len(done) < 9
    table = gpd.read_parquet(place / name / "regions.parquet")
    assert set(table["state"]) <= {"done", "waiting", "running"}
    words = command(place, model_file, name, "--block", "100", "--json", "--scheduler", two.scheduler.address)
    again = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | keys_of(two))
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not (place / name / ".work").exists()
    frame = gpd.read_parquet(place / name / "regions.parquet")
    assert (frame["state"] == "done").all()
    assert (pixels(place / name, frame)[0] == whole).all()


@pytest.mark.slow
def test_a_batch_that_failed_in_part_ends_with_3_and_says_which(place, model_file, two):
    scenes = place / "damaged"
    make_scenes(scenes)
    content = (scenes / "a.tif").read_bytes()
    with rasterio.open(scenes / "a.tif") as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_0_5", "TIFF", bidx=1))
    (scenes / "a.tif").write_bytes(content[: start + 10])
    words = command(place, model_file, "part", "--strict", "--retries", "0", "--scheduler", two.scheduler.address)
    words[words.index("--scenes") + 1] = str(scenes)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | keys_of(two))
    assert done.returncode == 3, done.stderr
    assert "r00: " in done.stdout
    assert "a.tif: cannot read" in done.stdout
    assert np.all(gpd.read_parquet(place / "part" / "regions.parquet")["state"] != "waiting")
