import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from geoseg.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_the_steps_run(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "steps.py", tmp_path / "out", "--quick"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "map.gpkg").is_file()
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    assert "mean IoU" in done.stdout


def test_the_configuration_is_accepted():
    done = CliRunner().invoke(main, ["-c", str(EXAMPLES / "geoseg.toml"), "tile", "--help"])
    assert done.exit_code == 0
