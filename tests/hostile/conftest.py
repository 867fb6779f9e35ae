"""A small world to attack: good inputs, a folder for outputs, and things beside them that nobody may touch."""

import hashlib
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from click.testing import CliRunner
from rasterio.errors import NotGeoreferencedWarning

from conftest import CORNER, UTM, legend_of, striped
from geoseg.cli import main
from geoseg.model import ModelSpec, write_model
from geoseg.models import build
from geoseg.statistics import BandStatistics

BANDS = ("red", "green", "nir")


@dataclass(frozen=True)
class World:
    """Good inputs of every kind in one folder, an empty folder for outputs, and a canary beside both.

    Attributes:
        inputs: scene.tif, labels.tif (classes 1 to 3), polygons.gpkg, regions.gpkg.
        out: where outputs go.
        model: a model of the scene's bands.
    """

    inputs: Path
    out: Path
    model: Path

    @property
    def scene(self):
        return self.inputs / "scene.tif"

    @property
    def labels(self):
        return self.inputs / "labels.tif"

    def call(self, *words):
        """Run a command in this process; nothing but the output's folder may change."""
        before = self._seen()
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert self._seen() == before, "something beside the outputs was touched"
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert "Traceback" not in done.output
        assert not any(ord(sign) < 32 and sign not in "\n\r" for sign in done.stderr), "control characters were printed"
        return done

    def refuses(self, *words, names, says=""):
        """The command ends with 1 or 2, one line that names what is wrong, and nothing made; returns the line."""
        done = self.call(*words)
        assert done.exit_code in (1, 2), done.output
        assert done.stdout == ""
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, done.stderr
        assert done.stderr.splitlines()[-1] == errors[0]
        assert names in errors[0], errors[0]
        assert says in errors[0], errors[0]
        assert not list(self.out.rglob("*")), "something was left"
        return errors[0]

    def works(self, *words):
        done = self.call(*words)
        assert done.exit_code == 0, done.output
        return done

    def predict(self, scene, *further):
        return "predict", self.model, scene, "-o", self.out / "map.tif", "--runtime", "torch", *further

    def tile(self, scene, labels, *further):
        return "tile", scene, "--labels", labels, "-o", self.out / "chips", "--chip-size", 16, *further

    def _seen(self):
        found = {}
        for path in self.inputs.parent.rglob("*"):
            if path == self.out or self.out in path.parents:
                continue
            status = path.lstat()
            small = stat.S_ISREG(status.st_mode) and status.st_size < 1_000_000
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if small else ""
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, digest)
        return found


def write(path, values, **profile):
    """A GeoTIFF on the test grid."""
    count, height, width = values.shape
    own = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "photometric": "minisblack", "tiled": True}
    size = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    settings = own | size | {"blockxsize": 16, "blockysize": 16} | profile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path, "w", **settings)
    with dataset:
        dataset.write(values)
        if count == len(BANDS):
            dataset.descriptions = BANDS
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    network = build("unet_compact", 3, 3, width=4)
    spec = ModelSpec(
        architecture="unet_compact",
        options={"width": 4},
        bands=BANDS,
        statistics=BandStatistics((1500.0,) * 3, (700.0,) * 3, (0.0,) * 3, (4000.0,) * 3),
        legend=legend_of(3),
        ground_sample_distance=10.0,
        reach=58,
        stride=8,
        chip_size=64,
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path, spec, network.state_dict())
    return path


@pytest.fixture
def world(tmp_path, model_file):
    inputs, out, canary = (tmp_path / name for name in ("inputs", "out", "canary"))
    for folder in (inputs, out, canary):
        folder.mkdir()
    (canary / "diary.txt").write_text("not geoseg's")
    values, classes = striped(72, 80, 3)
    write(inputs / "scene.tif", values)
    write(inputs / "labels.tif", classes[None], nodata=0)
    boxes = [shapely.box(500_000 + 200 * i, 5_399_300, 500_190 + 200 * i, 5_399_990) for i in range(4)]
    polygons = gpd.GeoDataFrame({"class": ["a", "b"] * 2}, geometry=boxes, crs=UTM)
    polygons.to_file(inputs / "polygons.gpkg")
    return World(inputs, out, model_file)


def scene_values(height=72, width=80, bands=3):
    return np.ascontiguousarray(striped(height, width, bands)[0])
