"""A clock that jumps an hour back and forth all the time, under real processes: the maps are the same."""

import os
import shutil
import subprocess
import sys

import pytest
import rasterio

from faults.conftest import COMMAND, words_of

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static long looks;

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += (looks++ / 50 % 3 - 1) * 3600;
    return result;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *when, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    when->tv_sec = now.tv_sec;
    when->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""
"""Functions that the loader puts before those of the C library."""


@pytest.fixture(scope="module")
def jumping(tmp_path_factory):
    """An environment in which the time of day is an hour early, right or an hour late, and changes every 50 looks."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("a clock is put under processes on Linux, by a compiler for C")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    times = subprocess.run(
        [sys.executable, "-c", "import time; print(*{int(time.time() // 600) for _ in range(500)})"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert len(times) > 2
    return environment


def atlas(inputs, output):
    small = ("--jobs", "2", "--window", "128", "--margin", "16", "--block", "64", "--runtime", "torch")
    return ["map", inputs.regions, "--scenes", inputs.scene, "--model", inputs.model, *small, "-q", "-o", output]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["map", "predict"])
def test_a_clock_that_jumps_changes_nothing(name, inputs, tmp_path, jumping):
    made = []
    for folder, environment in ((tmp_path / "usual", dict(os.environ)), (tmp_path / "jumping", jumping)):
        folder.mkdir()
        output = folder / ("atlas" if name == "map" else "map.tif")
        words = atlas(inputs, output) if name == "map" else words_of(name, inputs, output)
        done = subprocess.run(
            [*COMMAND, *map(str, words)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        made.append({path.relative_to(folder): pixels(path) for path in sorted(folder.rglob("*.tif"))})
    usual, jumped = made
    assert usual.keys() == jumped.keys()
    assert len(usual) == (2 if name == "map" else 1)
    assert all((usual[path] == jumped[path]).all() for path in usual)


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read()
