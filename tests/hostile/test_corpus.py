"""A whole corpus of broken and nasty inputs, where there is one: a folder with a `manifest.jsonl`.

A row has `id`, `cmd`, `slots` (files of each kind; "@good" for a good one), `exit` (codes that are right) and `says`
(patterns that an error must match). Set GEOSEG_BAD_INPUTS to the folder.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from geoseg.cli import main
from geoseg.model import load_model, write_model
from geoseg.models import build
from geoseg.statistics import BandStatistics

CORPUS = os.environ.get("GEOSEG_BAD_INPUTS")
WORDS = {
    "predict": "predict {model} {image} -o {out}/out.tif --runtime torch",
    "tile": "tile {image} --labels {labels} -o {out}/chips",
    "vectorize": "vectorize {pred} -o {out}/out.gpkg",
    "evaluate": "evaluate {pred} {labels} -o {out}/report",
    "map": "map {regions} --scenes {image} --model {model} -o {out}/atlas --jobs 1 --runtime torch",
    "train": "tile {image} --labels {labels} -o {out}/chips",  # what cannot be learned from is refused before
}
GOOD = {"image": "scene.tif", "labels": "labels.tif", "pred": "pred.tif", "regions": "regions.geojson"}

# Rows whose wish is not geoseg's, each with the reason.
OTHERWISE = {
    "B01": "a scene without CRS is mapped in its pixel coordinates, with a warning; only an atlas needs a place",
    "B02": "as B01: the map has the scene's own grid, and a warning says that it has no place",
    "B03": "as B01",
    "B19": "as B01; the world file gives the grid",
    "D15": "four bytes of which the last is tagged alpha may be a picture: --bands 1,2,3,4 says that it is data",
    "F04": "without --legend every value is a class; with it 77 is refused",
    "F14": "the file holds 255 where its row speaks of -1; it is warned of",
    "F18": "the file holds 255 where its row speaks of 65535; it is warned of",
    "G11": "without --legend every name is a class; with it 'lava' is refused",
    "V02": "polygons in pixel coordinates are of use, and a warning says so",
    "I12": "weights without geoseg's description are refused before any version of it could be read",
    "I13": "as I12",
    "I14": "as I12",
    "I17": "as I12",
    "I18": "as I12",
    "E09": "four thousand megapixels take their time; memory is tested elsewhere",
    "J": "its configuration is YAML; what it tries is tried as TOML in test_options.py",
}


def rows():
    manifest = Path(CORPUS or ".") / "manifest.jsonl"
    if CORPUS is None or not manifest.is_file():
        reason = "the corpus of bad inputs is not here; set GEOSEG_BAD_INPUTS to its folder"
        return [pytest.param({}, id="none", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(row, id=row["id"]) for row in map(json.loads, manifest.read_text().splitlines())]


@pytest.fixture(scope="module")
def four_bands(tmp_path_factory, model_file):
    """The corpus's good scene has four bands."""
    torch.manual_seed(0)
    spec = replace(
        load_model(model_file).spec,
        bands=("blue", "green", "red", "nir"),
        statistics=BandStatistics((1500.0,) * 4, (700.0,) * 4, (0.0,) * 4, (4000.0,) * 4),
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path, spec, build("unet_compact", 4, 3, width=4).state_dict())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("row", rows())
def test_a_row_of_the_corpus(row, four_bands, tmp_path, monkeypatch):
    for known in (row["id"].split("-")[0], row["id"][0]):
        if known in OTHERWISE:
            pytest.skip(OTHERWISE[known])
    for name, value in row["env"].items():
        monkeypatch.setenv(name, value)
    folder, slots, odd = Path(CORPUS), {"out": str(tmp_path)}, []
    for slot, given in row["slots"].items():
        good = four_bands if slot == "model" else folder / "files" / "good" / GOOD.get(slot, slot)
        slots[slot] = str(good) if given == "@good" else given[1:] if given.startswith("=") else str(folder / given)
        odd += [] if given == "@good" else [slots[slot]]
    if "nonroot" in row["needs"] and os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    if "out_is_input" in row["checks"]:
        pytest.skip("the project's own test of outputs has it")
    words = [word.format(**slots) for word in WORDS[row["cmd"]].split()]
    done = CliRunner().invoke(main, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    assert done.exit_code in row["exit"], done.output
    if done.exit_code:
        assert not list(tmp_path.rglob("*"))
        assert any(Path(path).name.encode("ascii", "ignore")[:20].decode() in done.stderr for path in odd)
        for pattern in filter(None, row["says"]):
            assert re.search(pattern, done.stderr, re.IGNORECASE), done.stderr
