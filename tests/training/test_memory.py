"""When memory runs out, training goes on in smaller batches."""

import subprocess
import sys
from pathlib import Path

import pytest

from geoseg.model import load_model

# In a process of its own: what could not allocate once may not do so again. First a training that loads all there is
# to load, then 800 MB for one that would take twice as much.
SCRIPT = """
import logging, resource, sys, torch, geoseg
torch.set_num_threads(1)
logging.basicConfig(level=logging.INFO, format="%(message)s")
chips, folder = sys.argv[1:]
tiny = {"epochs": 1, "device": "cpu", "arch_options": {"width": 16}}
geoseg.train(chips, f"{folder}/warm.safetensors", chips_per_epoch=2, batch_size=2, **tiny)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 800_000_000, -1))
geoseg.train(chips, f"{folder}/m.safetensors", chips_per_epoch=512, batch_size=512, **tiny)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does it")
def test_batches_are_halved_until_they_fit(small_chips, tmp_path):
    words = [sys.executable, "-c", SCRIPT, str(small_chips), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Out of memory with batches of 512 chips; it goes on with 256, and 2 of them to a step" in done.stderr
    assert load_model(tmp_path / "m.safetensors").spec.training["epochs"] == 1
