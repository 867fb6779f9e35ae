"""Scenes, labels and models made for tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import matplotlib
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from hypothesis import settings
from torch import Tensor, nn

from browser import Browser, browser
from geoseg.legend import Legend
from geoseg.model import Model, ModelSpec, write_model
from geoseg.models import build
from geoseg.models._network import SegmentationNetwork
from geoseg.statistics import BandStatistics

# Also for the processes that tests start: two tests run at a time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# Graphs of networks are kept for one run of the tests, by all of its processes, and the user's own are left alone.
if "PYTEST_XDIST_WORKER" not in os.environ:
    # Making its list of fonts takes matplotlib seconds.
    os.environ.setdefault("MPLCONFIGDIR", matplotlib.get_cachedir())
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="geoseg-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
# How long an example takes says more of the machine than of the code. The same examples every time: what is red was
# made so by a change; GEOSEG_FUZZ looks for new ones.
settings.register_profile("geoseg", deadline=None, derandomize="GEOSEG_FUZZ" not in os.environ)
settings.load_profile("geoseg")

UTM = "EPSG:32632"
CORNER = Affine(10, 0, 500_000, 0, -10, 5_400_000)
REAL = Path(os.environ.get("GEOSEG_REAL_SCENES", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def real_scenes() -> Path:
    """The folder of real labelled scenes, which are not part of the project."""
    if not REAL.is_dir():
        pytest.skip("the real scenes are not here; set GEOSEG_REAL_SCENES to their folder")
    return REAL


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all pages of a run."""
    with browser() as opened:
        yield opened


WriteScene = Callable[..., Path]


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """Write an array (bands, rows, cols) as a GeoTIFF; keyword arguments go into the profile."""

    def write(
        values: np.ndarray[Any, Any],
        name: str = "scene.tif",
        *,
        bands: tuple[str, ...] | None = None,
        mask: np.ndarray[Any, Any] | None = None,
        **profile: Any,
    ) -> Path:
        count, height, width = values.shape
        path = tmp_path / name
        settings = {"driver": "GTiff", "crs": UTM, "transform": CORNER, "photometric": "minisblack"} | profile
        size = {"count": count, "height": height, "width": width, "dtype": values.dtype}
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **size, **settings) as dataset:
            dataset.write(values)
            if bands:
                dataset.descriptions = bands
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write


def striped(
    height: int, width: int, bands: int = 4, seed: int = 0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A scene (bands, rows, cols) of three classes in a checkerboard of 24 pixels, and the classes 1 to 3."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width] // 24
    classes = ((rows + 2 * cols) % 3 + 1).astype(np.uint8)
    levels = rng.uniform(500, 3000, (bands, 4))
    values = levels[:, classes] + rng.normal(0, 60, (bands, height, width))
    return values.clip(1).astype(np.uint16), classes


@pytest.fixture
def labelled_scene(write_scene: WriteScene) -> tuple[Path, Path]:
    """A scene of 240 x 260 pixels with a class raster over all of it."""
    values, classes = striped(240, 260)
    scene = write_scene(values, bands=("blue", "green", "red", "nir"), nodata=0)
    return scene, write_scene(classes[None], "labels.tif", nodata=0)


def polygons(classes: dict[str, list[tuple[int, int, int, int]]], crs: str | None = UTM) -> gpd.GeoDataFrame:
    """Rectangles (row, col, height, width) in pixels of the test grid, by class name."""
    rows = []
    for name, rectangles in classes.items():
        for row, col, height, width in rectangles:
            corners = (CORNER @ (col, row), CORNER @ (col + width, row + height))
            rows.append({"class": name, "geometry": shapely.box(*corners[0], *corners[1])})
    frame = gpd.GeoDataFrame(rows, geometry="geometry", crs=UTM)
    return frame if crs == UTM else frame.to_crs(crs) if crs else frame.set_crs(None, allow_override=True)


class Constant(nn.Module):
    """Always the same class."""

    def __init__(self, classes: int, winner: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.eye(classes)[winner] * 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits[None, :, None, None].expand(len(image), -1, *image.shape[-2:])


def legend_of(count: int) -> Legend:
    return Legend.from_names((number, f"class {number}") for number in range(1, count + 1))


def model_of(network: SegmentationNetwork, bands: int, classes: int, reach: int | None = 0) -> Model:
    """A model in memory around a network, with unscaled bands."""
    ones, zeros = (1.0,) * bands, (0.0,) * bands
    spec = ModelSpec(
        architecture="test",
        options={},
        bands=tuple(f"band_{number}" for number in range(1, bands + 1)),
        statistics=BandStatistics(zeros, ones, zeros, ones),
        legend=legend_of(classes),
        ground_sample_distance=10.0,
        reach=reach,
        stride=network.stride,
        chip_size=64,
    )
    return Model("test model", spec, network.eval())


def write_small_model(path: Path, statistics: BandStatistics, **changes: Any) -> None:
    """Write a small network of 2 bands and 3 classes, with labels that change from place to place."""
    torch.manual_seed(1)
    options = {"width": 4}
    network = build("unet_compact", 2, 3, **options).train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 2, 64, 64))
    plain = model_of(network, 2, 3, reach=64).spec
    spec = replace(plain, architecture="unet_compact", options=options, statistics=statistics, **changes)
    write_model(path, spec, network.state_dict())


@pytest.fixture
def constant_model() -> Model:
    """A model of 2 bands that maps every pixel as class 2 of 3."""
    return model_of(SegmentationNetwork(Constant(3, 1), stride=8), bands=2, classes=3)
