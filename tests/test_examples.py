import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from conftest import model_of
from geoseg.cli import main
from geoseg.model import write_model
from geoseg.models import build
from geoseg.statistics import BandStatistics

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


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    """Its cells one after the other, with other parameters after those that stand there, as papermill does it."""
    cells = json.loads((EXAMPLES / "first_map.ipynb").read_text(encoding="utf-8"))["cells"]
    code = []
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "commit it without outputs"
            code.append("".join(cell["source"]))
            if "parameters" in cell["metadata"].get("tags", ()):
                code.append('out, training = Path("made"), {"epochs": 1, "chips_per_epoch": 16}')
    assert any("training = {" in text for text in code)
    script = tmp_path / "cells.py"
    script.write_text("\n".join(code), encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "map.gpkg").is_file()
    assert "mean IoU" in done.stdout


def test_regions_are_mapped_in_few_lines(tmp_path):
    """With a model that was never trained: what matters is that the script and the batch work."""
    bands = ("blue", "green", "red", "nir", "swir1", "swir2")
    torch.manual_seed(1)
    network = build("unet_compact", 6, 3, width=4)
    statistics = BandStatistics((2000.0,) * 6, (1000.0,) * 6, (0.0,) * 6, (5000.0,) * 6)
    spec = replace(model_of(network, 6, 3, reach=64).spec, architecture="unet_compact", options={"width": 4})
    write_model(tmp_path / "model.safetensors", replace(spec, bands=bands, statistics=statistics), network.state_dict())
    done = subprocess.run(
        [sys.executable, EXAMPLES / "map_regions.py", tmp_path / "model.safetensors", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 2
    for name in ("collection.json", "maps.vrt", "polygons.parquet", "areas.png", "regions/west/west.tif"):
        assert (tmp_path / "out" / "atlas" / name).is_file()
    code = [line for line in (EXAMPLES / "map_regions.py").read_text().splitlines() if line.strip()]
    assert len(code) < 20


def test_the_configuration_is_accepted():
    done = CliRunner().invoke(main, ["-c", str(EXAMPLES / "geoseg.toml"), "tile", "--help"])
    assert done.exit_code == 0
