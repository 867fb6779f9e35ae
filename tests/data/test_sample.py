"""The committed sample data is what its generator makes, and is fit for the demo."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.legend import Legend, read_legend
from geoseg.readers import open_scene

DATA = Path(__file__).parents[2] / "data"
SAMPLE = DATA / "sample"
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
SCENES = {
    "synthetic_scene.tif": BANDS,
    "synthetic_scene_2.tif": BANDS,
    "synthetic_bands_10m.tif": BANDS[:4],
    "synthetic_bands_20m.tif": BANDS[4:],
}
REFERENCES = ("synthetic_reference.tif", "synthetic_reference_2.tif")
LABELS = "synthetic_labels.gpkg"
FILES = {*SCENES, *REFERENCES, LABELS, "legend.toml", "README.md"}


def pixels(path: Path) -> npt.NDArray[np.generic]:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample", DATA / "make_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def remade(generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    generator.make_sample(folder, generator.SEED)
    return folder


@pytest.fixture(scope="module")
def labels() -> geopandas.GeoDataFrame:
    return geopandas.read_file(SAMPLE / LABELS)


@pytest.fixture(scope="module")
def legend() -> Legend:
    return read_legend(SAMPLE / "legend.toml")


def test_files_are_all_there_and_small() -> None:
    found = {path.name: path.stat().st_size for path in SAMPLE.iterdir()}
    assert set(found) == FILES
    assert sum(found.values()) <= 5_000_000


@pytest.mark.parametrize("name", [*SCENES, *REFERENCES])
def test_generator_makes_the_committed_pixels(remade: Path, name: str) -> None:
    # Sine and the tails of the normal distribution differ in their last bit between CPUs and C libraries. Rounding
    # hides that but for a value just between two steps, so a few pixels may differ on another machine.
    committed, again = pixels(SAMPLE / name), pixels(remade / name)
    assert committed.shape == again.shape
    assert committed.dtype == again.dtype
    assert np.mean(committed != again) <= 0.001


def test_generator_makes_the_committed_labels_and_legend(
    remade: Path, labels: geopandas.GeoDataFrame, legend: Legend
) -> None:
    again = geopandas.read_file(remade / LABELS)
    assert labels.crs == again.crs
    assert labels.drop(columns="geometry").equals(again.drop(columns="geometry"))
    same = shapely.equals_exact(labels.geometry.to_numpy(), again.geometry.to_numpy(), tolerance=2e-7)
    assert same.all()
    assert read_legend(remade / "legend.toml") == legend


def test_another_seed_makes_another_land(generator: ModuleType) -> None:
    small = generator.recipes(generator.SEED)[1]
    other = generator.recipes(generator.SEED + 100)[1]
    assert np.mean(generator.observe(small).reference != generator.observe(other).reference) > 0.4


@pytest.mark.parametrize(("name", "bands"), SCENES.items())
def test_scenes_open_with_band_names_and_nodata(name: str, bands: tuple[str, ...]) -> None:
    scene = open_scene(SAMPLE / name)
    values, valid = scene.read(scene.grid.window)
    assert scene.bands == bands
    assert values.dtype == np.uint16
    assert scene.grid.crs.to_epsg() == 32632
    assert 0.01 < np.mean(~valid) < 0.15
    assert (values[:, ~valid] == 0).all()
    assert values[:, valid].min() > 0


def test_nodata_is_a_slanted_wedge() -> None:
    scene = open_scene(SAMPLE / "synthetic_scene.tif")
    _, valid = scene.read(scene.grid.window)
    widths = valid.sum(axis=1)
    first_invalid = np.where(valid.all(axis=1), valid.shape[1], np.argmin(valid, axis=1))
    assert (first_invalid == widths).all()  # what is valid in a row is one piece from its left end
    assert (np.diff(widths) <= 0).all()
    assert widths[0] - widths[-1] > 80


def test_native_bands_are_those_of_the_stacked_scene() -> None:
    stacked = pixels(SAMPLE / "synthetic_scene.tif")
    coarse = pixels(SAMPLE / "synthetic_bands_20m.tif")
    assert np.array_equal(stacked[:4], pixels(SAMPLE / "synthetic_bands_10m.tif"))
    assert np.array_equal(stacked[4:], coarse.repeat(2, axis=1).repeat(2, axis=2))
    fine, rough = (open_scene(SAMPLE / f"synthetic_bands_{pixel}.tif").grid for pixel in ("10m", "20m"))
    assert fine.bounds == rough.bounds
    assert (fine.resolution, rough.resolution) == ((10.0, 10.0), (20.0, 20.0))


@pytest.mark.parametrize("name", REFERENCES)
def test_references_are_complete_and_hold_every_class(name: str, legend: Legend) -> None:
    reference = open_class_raster(SAMPLE / name)
    scene = open_scene(SAMPLE / name.replace("reference", "scene"))
    assert reference.legend == legend
    assert reference.grid == scene.grid
    _, valid = scene.read(scene.grid.window)
    indices = reference.read(reference.grid.window)
    assert np.array_equal(indices < len(legend), valid)
    assert (np.bincount(indices[valid], minlength=len(legend)) > 0.02 * valid.sum()).all()
    with rasterio.open(SAMPLE / name) as dataset:
        assert json.loads(dataset.tags()[LEGEND_TAG]) == legend.to_dict()
        table = dataset.colormap(1)
        assert all(table[item.id] == (*item.rgb, 255) for item in legend)


def test_labels_are_sparse_valid_and_of_every_class(labels: geopandas.GeoDataFrame, legend: Legend) -> None:
    names = {item.id: item.name for item in legend}
    assert 60 <= len(labels) <= 150
    assert labels.crs.to_epsg() == 4326
    assert labels.geometry.is_valid.all()
    assert (labels["class"] == labels["class_id"].map(names)).all()
    assert labels["class"].value_counts().reindex(legend.names).min() >= 10


def test_labels_are_mostly_right_and_scattered(labels: geopandas.GeoDataFrame, legend: Legend) -> None:
    reference = pixels(SAMPLE / "synthetic_reference.tif")[0]
    grid = open_scene(SAMPLE / "synthetic_scene.tif").grid
    placed = labels.to_crs(grid.crs)
    pairs = zip(placed.geometry, placed["class_id"], strict=True)
    drawn = rasterize(pairs, grid.shape, transform=grid.transform, dtype="uint8")
    inside = drawn > 0
    assert 0.08 < inside.sum() / (reference > 0).sum() < 0.15
    wrong = np.mean(drawn[inside] != reference[inside])
    assert 0.01 < wrong < 0.08

    blocks = np.add.outer(np.arange(grid.height) // 100 * 100, np.arange(grid.width) // 100)
    for item in legend:
        assert len(np.unique(blocks[drawn == item.id])) >= 12


@pytest.mark.parametrize("name", [*SCENES, *REFERENCES])
def test_rasters_say_that_they_are_synthetic(name: str) -> None:
    with rasterio.open(SAMPLE / name) as dataset:
        assert dataset.tags()["SYNTHETIC"] == "YES"
        assert "SYNTHETIC" in dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        assert "not accuracy on land" in dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        assert dataset.profile["tiled"]
        assert dataset.profile["compress"] == "deflate"


def test_labels_and_readme_say_that_they_are_synthetic() -> None:
    metadata = pyogrio.read_info(SAMPLE / LABELS, layer="labels")["layer_metadata"]
    assert metadata["SYNTHETIC"] == "YES"
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "Scores on it are never accuracy on land" in readme
    assert "CC0" in readme
    assert all(name in readme for name in FILES - {"README.md"})
