"""The lines of examples/README.md, on the real scenes they speak of."""

import json

import geopandas as gpd
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from geoseg.cli import main
from geoseg.readers import open_scene

VOLCAN = "volcan_barva_landsat5_1986_2001"
ELKTON = "elkton_va_landsat8_separate_bands"
NAIP = "odd/naip_two_utm_zones/m_*subset.tif"


def call(*words):
    done = CliRunner().invoke(main, [*map(str, words), "-q"])
    assert done.exit_code == 0, done.stderr


def go_through(scene, tiling, tmp_path, *, mapped=None, join=()):
    """Tile, train two epochs, predict; the map lies on its scene and knows its classes."""
    chips, model, target = tmp_path / "chips", tmp_path / "model.safetensors", tmp_path / "map.tif"
    call("tile", *scene, *join, *tiling, "-o", chips)
    call("train", chips, "-o", model, "--epochs", 2, "--chips-per-epoch", 16)
    call("predict", model, *(mapped or scene), *join, "-o", target)
    opened = open_scene([str(word) for word in mapped or scene], join=join[1] if join else None)
    with rasterio.open(target) as found:
        assert (found.crs, found.transform, found.shape) == (opened.grid.crs, opened.grid.transform, opened.grid.shape)
        valid = opened.read(opened.grid.window)[1]
        assert ((found.read_masks(1) != 0) == valid).all()


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["labels_polygons.geojson", "labels_sparse.tif"])
def test_a_band_per_file(real_scenes, tmp_path, labels):
    folder = real_scenes / ELKTON
    scene = [folder / "L8_B[1-9]*.tif"]
    go_through(scene, ["--labels", folder / labels], tmp_path, join=("--join", "stack"))
    # 0 is a class of this reference, 255 is none.
    assert {"class 0", "class 1", "class 2"} == {
        entry["name"] for entry in json.loads((tmp_path / "chips" / "chips.json").read_text())["legend"]
    }


@pytest.mark.slow
def test_points(real_scenes, tmp_path):
    folder = real_scenes / "leipzig_sentinel2"
    go_through([folder / "scene.tif"], ["--labels", folder / "training_points.gpkg", "--buffer", 20], tmp_path)


@pytest.mark.slow
def test_polygons(real_scenes, tmp_path):
    folder = real_scenes / "chiapas_landsat7_1999"
    go_through([folder / "scene.tif"], ["--labels", folder / "training_polygons.gpkg"], tmp_path)


@pytest.mark.slow
def test_two_dates(real_scenes, tmp_path):
    folder = real_scenes / VOLCAN
    fields = ["--class-field", "class_1986", "--class-field", "class_2001"]
    scenes = [folder / "scene_1986.tif", folder / "scene_2001.tif"]
    labels = ["--labels", folder / "training_polygons.gpkg"]
    go_through(scenes, [*labels, *fields], tmp_path, mapped=scenes[1:])


@pytest.mark.slow
def test_a_mosaic_over_two_zones(real_scenes, tmp_path):
    boxes = [
        shapely.box(-78.003 + i * 8e-4, 36.6205 + j * 7e-4, -78.0026 + i * 8e-4, 36.6209 + j * 7e-4)
        for i in range(7)
        for j in range(5)
    ]
    names = [("field", "wood")[number % 2] for number in range(len(boxes))]
    labels = tmp_path / "polygons.geojson"
    gpd.GeoDataFrame({"class": names}, geometry=boxes, crs=4326).to_file(labels)
    go_through([real_scenes / NAIP], ["--labels", labels], tmp_path, join=("--join", "mosaic"))
