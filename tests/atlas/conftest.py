"""A model, scenes and regions of one place, and a dask cluster inside of this process."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geoseg
from conftest import CORNER, UTM, write_small_model
from geoseg.statistics import BandStatistics

SMALL = {"window": 128, "margin": 16, "feather": 12, "runtime": "torch"}
"""Options that make small maps of many windows, which fade."""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A small network of 2 bands and 3 classes, with labels that change from place to place."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_small_model(path, BandStatistics((100.0,) * 2, (50.0,) * 2, (0.0,) * 2, (200.0,) * 2))
    return path


@pytest.fixture(scope="session")
def client():
    """A scheduler and a worker inside of this process: the real ones, without the time to start."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def scene(path, row, col, height, width, *, seed=0, holes=False, crs=UTM, transform=CORNER, bands=2):
    """A scene of one large random landscape: its part at (row, col) of the test grid, darker by its seed."""
    ground = np.random.default_rng(7).normal(100, 40, (4, 30, 40)).repeat(20, 1).repeat(20, 2)
    noise = np.random.default_rng(seed).normal(0, 25, (bands, height, width))
    values = (ground[:bands, row : row + height, col : col + width] + noise).clip(1, 255).astype(np.uint8)
    if holes:
        values[:, height // 3 : height // 2, ::3] = 0
        values[:, :, : width // 5] = 0
    place = transform @ Affine.translation(col, row)
    profile = {"driver": "GTiff", "crs": crs, "transform": place, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", count=bands, height=height, width=width, **profile) as dataset:
        dataset.write(values)
    return path


@pytest.fixture
def scenes(tmp_path):
    """Three scenes that overlap."""
    return make_scenes(tmp_path / "scenes")


def make_scenes(folder):
    """Three scenes that overlap, one of them with holes: 260 x 400 pixels in all."""
    folder.mkdir()
    scene(folder / "a.tif", 0, 0, 260, 220, seed=1)
    scene(folder / "b.tif", 0, 160, 200, 240, seed=2, holes=True)
    scene(folder / "c.tif", 100, 120, 160, 200, seed=3)
    return folder


def rectangles(path, places, *, crs=None, **columns):
    """Regions: rectangles (row, col, height, width) in pixels of the test grid, by name."""
    shapes = []
    for row, col, height, width in places.values():
        corners = (CORNER @ (col, row), CORNER @ (col + width, row + height))
        shapes.append(shapely.box(*corners[0], *corners[1]))
    frame = gpd.GeoDataFrame({"name": list(places), **columns}, geometry=shapes, crs=UTM)
    (frame if crs is None else frame.to_crs(crs)).to_file(path)
    return path


def pixels(atlas, outcomes, shape=(260, 400)):
    """All maps laid on the test grid: class ids, and how many regions lie on each pixel."""
    together, count = np.zeros(shape, np.uint8), np.zeros(shape, int)
    for name in outcomes.loc[outcomes["state"] == "done", "map"]:
        with rasterio.open(atlas / name) as dataset:
            values = dataset.read(1)
            col, row = (round(value) for value in ~CORNER @ (dataset.transform.c, dataset.transform.f))
            inside = values[max(-row, 0) : shape[0] - row, max(-col, 0) : shape[1] - col]
            place = np.s_[max(row, 0) : max(row, 0) + inside.shape[0], max(col, 0) : max(col, 0) + inside.shape[1]]
            together[place] = np.maximum(together[place], inside)
            count[place] += inside > 0
    return together, count


QUARTERS = {
    "north west": (0, 0, 130, 170),
    "north east": (0, 170, 130, 230),
    "south west": (130, 0, 130, 170),
    "south east": (130, 170, 130, 230),
}


@pytest.fixture
def quarters(tmp_path):
    return rectangles(tmp_path / "quarters.gpkg", QUARTERS)


@pytest.fixture
def make(model_file, client, tmp_path):
    """Map regions into a folder of the test."""

    def run(regions, scenes, name="atlas", **options):
        return geoseg.map(regions, scenes, model_file, tmp_path / name, client=client, **SMALL | options)

    return run


@pytest.fixture(scope="session")
def first(model_file, client, tmp_path_factory):
    """An atlas of the quarters, made once."""
    folder = tmp_path_factory.mktemp("first")
    make_scenes(folder / "scenes")
    regions = rectangles(folder / "quarters.gpkg", QUARTERS)
    outcomes = geoseg.map(regions, folder / "scenes", model_file, folder / "atlas", client=client, **SMALL)
    assert (outcomes["state"] == "done").all()
    return folder / "atlas", outcomes
