"""`geoseg view`: what is read, how it is placed, and what is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from rasterio.crs import CRS
from rasterio.warp import transform

import geoseg
from conftest import CORNER, UTM, WriteScene, legend_of, polygons, striped
from geoseg.class_raster import LEGEND_TAG
from geoseg.cli import main
from geoseg.errors import GeosegError, OptionError, OutputExistsError, ViewError
from geoseg.legend import IGNORE
from geoseg.raster import create_raster
from geoseg.viewing.files import Wanted, find
from geoseg.viewing.layers import ClassLayer, PictureLayer, ShapeLayer, ShareLayer
from geoseg.viewing.place import NODES, Place
from geoseg.viewing.shapes import slimmed
from geoseg.viewing.view import placed


def told(page: Path) -> dict[str, object]:
    """What a page tells its own script."""
    text = page.read_text(encoding="utf-8")
    start = text.index('<script type="application/json" class="told">') + 45
    return json.loads(text[start : text.index("</script>", start)])


def layers_of(*paths: Path, **wanted: object) -> tuple[Place, list[object]]:
    found = find([str(path) for path in paths], Wanted(**wanted))
    place = placed(found)
    return place, [one.layer(place) for one in found]


@pytest.fixture
def scene(write_scene: WriteScene) -> Path:
    values, _ = striped(60, 80)
    return write_scene(values, bands=("blue", "green", "red", "nir"))


@pytest.fixture
def class_map(write_scene: WriteScene) -> Path:
    _, classes = striped(60, 80)
    classes[:5] = 0
    path = write_scene(classes[None], "map.tif", nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{LEGEND_TAG: json.dumps(legend_of(3).to_dict())})
    return path


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    frame = polygons({"class 1": [(10, 10, 20, 20)], "class 3": [(10, 40, 20, 20)]})
    frame["confidence_mean"] = [0.5, np.nan]
    path = tmp_path / "shapes.gpkg"
    frame.to_file(path)
    return path


def test_files_of_every_kind_become_layers_in_drawing_order(
    tmp_path: Path, write_scene: WriteScene, scene: Path, class_map: Path, shapes: Path
) -> None:
    share = np.full((3, 60, 80), 125, np.uint8)
    share[:, :5] = 255
    confidence = write_scene(share, "sure.tif", bands=("confidence", "margin", "certainty"), nodata=255)
    with rasterio.open(confidence, "r+") as dataset:
        dataset.scales = (0.004,) * 3
    result = geoseg.view([shapes, class_map, confidence, scene], tmp_path / "page.html")
    assert result.layers == ("scene.tif", "sure.tif", "map.tif", "shapes.gpkg")
    assert result.bytes == (tmp_path / "page.html").stat().st_size
    page = told(tmp_path / "page.html")
    assert [layer["kind"] for layer in page["layers"]] == ["picture", "share", "classes", "shapes"]
    # One switch for a class of one name, wherever it occurs.
    assert [item["name"] for item in page["classes"]] == ["class 1", "class 2", "class 3"]
    assert page["layers"][3]["classes"] == [0, 2]
    _, (layer,) = layers_of(confidence)
    assert isinstance(layer, ShareLayer)
    assert set(np.unique(layer.percent[6:])) == {50}
    assert (layer.percent[:5] == IGNORE).all()


def test_a_map_keeps_its_pixels_where_they_are(class_map: Path) -> None:
    place, (layer,) = layers_of(class_map)
    assert isinstance(layer, ClassLayer)
    with rasterio.open(class_map) as dataset:
        np.testing.assert_array_equal(legend_of(3).decode(layer.indices), dataset.read(1))
        assert layer.grid.bounds == tuple(dataset.bounds)
    assert place.crs == CRS.from_string(UTM)


def test_large_rasters_are_overviews_of_the_same_ground(write_scene: WriteScene) -> None:
    rows, cols = np.mgrid[:300, :500]
    classes = (1 + (cols >= 250)).astype(np.uint8)
    path = write_scene(classes[None], "large.tif", nodata=0)
    scene = write_scene(np.stack([rows, cols, rows]).astype(np.uint16), "scene.tif")
    _, (mapped, picture) = layers_of(path, scene, longest=100)
    assert isinstance(mapped, ClassLayer)
    assert isinstance(picture, PictureLayer)
    assert mapped.indices.shape == (60, 100)
    assert picture.pixels.shape == (60, 100, 4)
    with rasterio.open(path) as dataset:
        np.testing.assert_allclose(mapped.grid.bounds, tuple(dataset.bounds))
    assert (mapped.indices[:, :50] == 0).all()
    assert (mapped.indices[:, 50:] == 1).all()
    assert "5 x 5" in mapped.about


@pytest.mark.parametrize("turn", [Affine.rotation(20), Affine.scale(1, -1)], ids=["rotated", "south-up"])
def test_turned_rasters_are_laid_north_up(write_scene: WriteScene, turn: Affine) -> None:
    _, classes = striped(60, 80)
    path = write_scene(classes[None], "turned.tif", transform=CORNER @ turn, nodata=0)
    _, (layer,) = layers_of(path)
    t = layer.grid.transform
    assert (t.b, t.d) == (0, 0)
    assert t.e < 0
    # The class at the middle of the map's own pixel, wherever it came to lie.
    for row, col in ((12, 12), (12, 40), (40, 60)):
        x, y = CORNER @ turn @ (col + 0.5, row + 0.5)
        c, r = ~t @ (x, y)
        assert layer.indices[int(r), int(c)] == classes[row, col] - 1


def test_layers_in_other_crss_lie_on_the_same_ground(tmp_path: Path, class_map: Path) -> None:
    frame = polygons({"class 1": [(10, 10, 20, 20)]})
    path = tmp_path / "degrees.geojson"
    frame.to_crs("EPSG:4326").to_file(path)
    _, (_, layer) = layers_of(class_map, path)
    assert isinstance(layer, ShapeLayer)
    np.testing.assert_allclose(layer.frame.total_bounds, frame.total_bounds, atol=0.01)


def test_without_a_crs_pixels_count_downwards(tmp_path: Path) -> None:
    _, classes = striped(60, 80)
    path = tmp_path / "plain.tif"
    with create_raster(path, count=1, height=60, width=80, dtype="uint8", nodata=0) as dataset:
        dataset.write(classes[None])
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[shapely.box(10, 20, 30, 50)]).to_parquet(tmp_path / "plain.parquet")
    place, (layer, shape) = layers_of(path, tmp_path / "plain.parquet")
    assert place.crs is None
    assert place.to_dict()["down"] is True
    assert layer.grid.bounds == (0, -60, 80, 0)
    np.testing.assert_array_equal(layer.indices, classes - 1)
    np.testing.assert_allclose(shape.frame.total_bounds, (10, -50, 30, -20))


def test_longitude_and_latitude_of_a_page_are_those_of_its_ground() -> None:
    place = Place(CRS.from_string(UTM), (500_000, 5_390_000, 520_000, 5_400_000))
    page = place.to_dict()
    (lon,), (lat,) = transform(UTM, "EPSG:4326", [520_000], [5_390_000])
    np.testing.assert_allclose([axis[NODES - 1] for axis in page["lonlat"]], [lon, lat], atol=1e-6)
    np.testing.assert_allclose(page["metres"], [1, 1], rtol=0.01)
    across = Place(CRS.from_epsg(3832), (-100_000, -100_000, 100_000, 100_000)).to_dict()  # Pacific, around 150 E
    assert np.ptp(across["lonlat"][0]) < 3
    date_line = Place(CRS.from_epsg(32660), (800_000, 0, 1_000_000, 100_000)).to_dict()
    assert 1 < np.ptp(date_line["lonlat"][0]) < 3
    degrees = Place(CRS.from_epsg(4326), (10, 59.9, 11, 60.1)).to_dict()
    np.testing.assert_allclose(degrees["metres"], [55_660, 111_200], rtol=0.01)


def test_shapes_are_no_more_than_a_page_bears() -> None:
    rng = np.random.default_rng(0)
    circles = shapely.buffer(shapely.points(rng.uniform(0, 1000, (300, 2))), rng.uniform(1, 20, 300))
    left, kept, about = slimmed(circles, 0.25, most=4000)
    assert shapely.get_num_coordinates(left).sum() <= 4000
    assert len(left) == len(kept) <= 300
    assert "simplified" in about
    # What was left out is smaller than what is left.
    gone = np.setdiff1d(np.arange(300), kept)
    if len(gone):
        assert shapely.area(circles[gone]).max() <= 1.2 * shapely.area(circles[kept]).min()
    same, everything, nothing = slimmed(circles[:3], 0.25, most=4000)
    assert (len(same), len(everything), nothing) == (3, 3, "")


def test_there_is_something_to_compare_at_first(scene: Path, class_map: Path, shapes: Path, tmp_path: Path) -> None:
    def sides(*files: Path) -> list[str]:
        geoseg.view(files, tmp_path / "page.html", overwrite=True)
        boxes = re.findall(r'data-side="(left|right)"( checked)?', (tmp_path / "page.html").read_text(encoding="utf-8"))
        rows = [boxes[i : i + 2] for i in range(0, len(boxes), 2)]
        return ["".join(side[0] for side, checked in row if checked) for row in rows][::-1]

    assert sides(scene) == ["lr"]
    assert sides(scene, class_map, shapes) == ["lr", "r", "r"]
    assert sides(scene, scene) == ["l", "r"]
    assert sides(class_map, class_map) == ["l", "r"]
    assert sides(class_map, shapes) == ["l", "r"]


def test_rasters_say_what_they_are(write_scene: WriteScene, class_map: Path, tmp_path: Path) -> None:
    grey = write_scene(np.arange(4800, dtype=np.uint16).reshape(1, 60, 80), "grey.tif")
    few = write_scene(striped(60, 80)[1][None], "few.tif", nodata=0)
    table = write_scene(striped(60, 80)[1][None], "table.tif", nodata=0, photometric="palette")
    with rasterio.open(table, "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (0, 0, 255, 255)})
    kinds = [one.kind for one in find([str(path) for path in (grey, few, table, class_map)], Wanted())]
    assert kinds == ["scene", "map", "map", "map"]
    _, (layer,) = layers_of(table)
    assert [item.color for item in layer.classes] == ["#ff0000", "#00ff00", "#0000ff"]
    # A legend that is given names classes that have no names, and no others.
    _, (named, own) = layers_of(few, class_map, legend=legend_of(5))
    assert [len(one.classes) for one in (named, own)] == [5, 3]


def test_bad_input_is_told_in_one_sentence(
    tmp_path: Path, write_scene: WriteScene, scene: Path, class_map: Path, shapes: Path
) -> None:
    page = tmp_path / "page.html"
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    text = tmp_path / "notes.txt"
    text.write_text("not a scene")
    far = write_scene(striped(60, 80)[0], "far.tif", transform=CORNER @ Affine.translation(5000, 0))
    lost = write_scene(striped(60, 80)[0], "lost.tif", crs=None)
    empty = write_scene(np.zeros((1, 60, 80), np.uint8), "empty.tif", nodata=0)
    with rasterio.open(empty, "r+") as dataset:
        dataset.update_tags(**{LEGEND_TAG: json.dumps(legend_of(3).to_dict())})
    blank = write_scene(np.zeros((3, 60, 80), np.uint16), "blank.tif", nodata=0)
    cases: list[tuple[list[Path], type[GeosegError], str]] = [
        ([tmp_path / "gone.tif"], ViewError, "there is no such file"),
        ([pipe], ViewError, "not a regular file"),
        ([text], ViewError, "is no scene, map or vector file"),
        ([scene, far], ViewError, "does not overlap"),
        ([scene, lost], ViewError, "has no CRS"),
        ([empty], ViewError, "no valid pixel"),
        ([blank], GeosegError, "has no data"),
        ([], OptionError, "nothing to view"),
        ([scene] * 30, OptionError, "too many"),
    ]
    for files, kind, says in cases:
        with pytest.raises(kind, match=says) as raised:
            geoseg.view(files, page)
        assert "\n" not in str(raised.value)
        assert not page.exists()
    with pytest.raises(OptionError, match=r"name it \.html"):
        geoseg.view(scene, tmp_path / "page.pdf")
    with pytest.raises(OptionError, match="16 to 8192"):
        geoseg.view(scene, page, longest=1)
    with pytest.raises(GeosegError, match="no column 'nothing'"):
        geoseg.view([shapes], page, class_field="nothing")
    geoseg.view(class_map, page)
    with pytest.raises(OutputExistsError):
        geoseg.view(class_map, page)


def test_the_command_says_what_it_made(tmp_path: Path, class_map: Path) -> None:
    words = ["view", str(class_map), "-o", str(tmp_path / "page.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "page.html: 1 layer," in done.stdout
    again = CliRunner().invoke(main, [*words, "--overwrite", "--json"])
    assert json.loads(again.stdout)["layers"] == ["map.tif"]


def test_a_real_scene_and_labels_in_another_crs_share_a_page(real_scenes: Path, tmp_path: Path) -> None:
    folder = real_scenes / "nc_wake_landsat7_2000"
    files = [folder / "scene.tif", folder / "labels_dense_landclass96.tif", folder / "training_polygons.gpkg"]
    _, layers = layers_of(*files)
    picture, classes, shapes = layers
    assert isinstance(picture, PictureLayer)
    assert isinstance(classes, ClassLayer)
    assert isinstance(shapes, ShapeLayer)
    assert 0.5 < (picture.pixels[..., 3] > 0).mean() <= 1
    assert set(np.unique(classes.indices)) >= set(range(7))
    np.testing.assert_allclose(picture.grid.bounds, classes.grid.bounds, atol=picture.grid.resolution[0])
    assert geoseg.view(files, tmp_path / "page.html").bytes < 5e6
