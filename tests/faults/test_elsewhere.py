"""What commands do beside their output: nothing is left among temporary files or at home, and nobody is spoken to."""

import os

import pytest

from faults.conftest import started
from faults.test_strangers import CASES, LONG

WATCH = """
import os, sys

def heard(event, arguments):
    told = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.connect": 1, "urllib.Request": 0}.get(event)
    if event == "os.fork" or (told is not None and "127.0.0.1" not in str(arguments[told])):
        with open(os.environ["GEOSEG_TESTS_HEARD"], "a") as file:
            print(event, arguments, file=file)

sys.addaudithook(heard)
"""

CACHES = {"geoseg", "matplotlib", "fontconfig"}
"""Of libraries, in the user's cache folder; PyTorch makes an empty folder for its own among temporary files."""


@pytest.mark.parametrize("case", [*CASES, LONG[0]], ids=lambda case: case.name)
def test_a_command_leaves_nothing_elsewhere_and_asks_nobody(case, inputs, tmp_path):
    for name in ("home", "tmp", "watch", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    words = case.words(inputs, tmp_path / "out")
    if case.name == "predict":
        words[words.index("torch")] = "auto"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "watch"), os.environ.get("PYTHONPATH")])),
        "GEOSEG_TESTS_HEARD": str(tmp_path / "heard"),
    }
    with started(words, env=environment, cwd=tmp_path / "out") as process:
        _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert not (tmp_path / "heard").exists(), (tmp_path / "heard").read_text()
    assert not [path for path in (tmp_path / "tmp").iterdir() if not path.name.startswith("torchinductor_")]
    home = {path.relative_to(tmp_path / "home").parts[:2] for path in (tmp_path / "home").rglob("*")}
    assert not [parts for parts in home if len(parts) > 1 and parts[1] not in CACHES]
    assert {parts[0] for parts in home} <= {".cache", ".config"}
