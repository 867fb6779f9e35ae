"""Folds and areas instead of shares, and scenes of several dates."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

import geoseg
from conftest import CORNER, UTM, polygons, striped
from geoseg.chips import tiler
from geoseg.chips.dataset import ChipDataset
from geoseg.chips.index import read_index
from geoseg.errors import ChipError, GeosegError, OptionError


class TestFolds:
    @pytest.fixture
    def folder(self, labelled_scene, tmp_path):
        geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=24, folds=4)
        return tmp_path / "c"

    def test_each_block_is_held_out_once(self, folder):
        held = [set(read_index(folder, fold).of("val")["image"]) for fold in range(4)]
        assert all(held)
        assert set.union(*held) == set(read_index(folder).frame["image"])
        assert sum(map(len, held)) == len(read_index(folder).frame)

    def test_statistics_are_of_the_other_folds(self, folder):
        index = read_index(folder, 2)
        values = np.concatenate(
            [rasterio.open(folder / image).read().reshape(4, -1) for image in index.of("train")["image"]], axis=1
        )
        assert index.statistics.low == pytest.approx(np.percentile(values, 1, axis=1))

    def test_training_needs_to_know_which(self, folder, tmp_path):
        with pytest.raises(ChipError, match=r"cut in 4 folds; say which to hold out with --fold 0 to 3"):
            geoseg.train(folder, tmp_path / "m.safetensors")
        with pytest.raises(ChipError, match="no fold 7"):
            read_index(folder, 7)
        geoseg.train(folder, tmp_path / "m.safetensors", fold=1, epochs=1, chips_per_epoch=4, batch_size=2)

    def test_chips_without_folds_have_none_to_hold_out(self, labelled_scene, tmp_path):
        geoseg.tile(*labelled_scene, tmp_path / "d", chip_size=24)
        with pytest.raises(ChipError, match="not cut in folds"):
            read_index(tmp_path / "d", 0)

    def test_it_takes_two(self, labelled_scene, tmp_path):
        with pytest.raises(OptionError, match="2 or more"):
            geoseg.tile(*labelled_scene, tmp_path / "d", folds=1)


def write_areas(path, rectangles, crs=UTM, column="split"):
    """Rectangles (row, col, height, width) in pixels of the test grid, by split."""
    rows = [
        {column: split, "geometry": shapely.box(*(CORNER @ (c, r)), *(CORNER @ (c + w, r + h)))}
        for split, (r, c, h, w) in rectangles
    ]
    gpd.GeoDataFrame(rows, geometry="geometry", crs=UTM).to_crs(crs).to_file(path)
    return path


class TestAreas:
    RECTANGLES = (("Training", (0, 0, 240, 120)), ("val", (0, 130, 110, 130)), ("test", (130, 130, 110, 130)))

    @pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
    def test_chips_lie_in_areas_of_their_split_alone(self, labelled_scene, tmp_path, crs):
        areas = write_areas(tmp_path / "areas.gpkg", self.RECTANGLES, crs)
        result = geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas)
        assert all(result.chips.values())
        index = read_index(tmp_path / "c")
        assert index.options["split_by"] == "areas"
        for split, (r, c, h, w) in self.RECTANGLES:
            area = shapely.box(*(CORNER @ (c, r)), *(CORNER @ (c + w, r + h)))
            own = index.frame["split"] == {"Training": "train"}.get(split, split)
            assert (index.frame.geometry.intersects(area.buffer(-15)) <= own).all()
            covered = index.frame[own].union_all().intersection(area).area / area.area
            assert covered > 0.9

    def test_an_area_smaller_than_a_chip_has_one(self, labelled_scene, tmp_path):
        places = (("train", (0, 0, 240, 100)), ("val", (50, 150, 9, 9)), ("test", (200, 200, 10, 10)))
        areas = write_areas(tmp_path / "areas.gpkg", places)
        assert geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas).chips["val"] == 1

    def test_areas_side_by_side_leave_the_gap_and_nothing_more(self, labelled_scene, tmp_path):
        places = (("train", (0, 0, 240, 96)), ("val", (0, 96, 240, 32)), ("test", (0, 128, 240, 96)))
        areas = write_areas(tmp_path / "areas.gpkg", places)
        result = geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas, overlap=0)
        assert (result.chips["train"], result.chips["val"], result.chips["test"]) == (24, 8, 24)
        with pytest.raises(ChipError, match="draw the val areas larger: 8 pixels beside those of other splits"):
            geoseg.tile(*labelled_scene, tmp_path / "d", chip_size=32, areas=areas)

    def test_statistics_are_of_all_that_may_be_sampled_of_training_however_much_else_there_is(
        self, labelled_scene, tmp_path, monkeypatch
    ):
        areas = write_areas(tmp_path / "areas.gpkg", (("train", (0, 0, 32, 32)), ("test", (60, 0, 180, 260))))
        monkeypatch.setattr(tiler, "SAMPLE_PIXELS", 32 * 32)
        geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas)
        index = read_index(tmp_path / "c")
        values = rasterio.open(index.folder / index.of("train")["image"].item()).read().reshape(4, -1)
        assert index.statistics.low == pytest.approx(np.percentile(values, 1, axis=1))

    def test_a_split_without_areas_is_not_wanted(self, labelled_scene, tmp_path):
        areas = write_areas(tmp_path / "areas.gpkg", self.RECTANGLES[:2])
        assert geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas).chips["test"] == 0

    @pytest.mark.parametrize(
        ("rectangles", "options", "says"),
        [
            (RECTANGLES, {"area_column": "part"}, "no column 'part'; it has split"),
            ((("north", (0, 0, 9, 9)),), {}, "holds 'north'; each area is for train, val or test"),
            ((("val", (0, 0, 99, 99)),), {}, "no area is for training"),
            (RECTANGLES, {"folds": 3}, "give one of them"),
            ((("train", (9000, 9000, 99, 99)),), {}, "no chip has enough labelled"),
        ],
    )
    def test_what_cannot_be_is_refused(self, labelled_scene, tmp_path, rectangles, options, says):
        areas = write_areas(tmp_path / "areas.gpkg", rectangles)
        with pytest.raises(GeosegError, match=says):
            geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, areas=areas, **options)
        assert not (tmp_path / "c").exists()


def test_two_dates_share_their_blocks_and_their_labels(write_scene, tmp_path):
    values, classes = striped(200, 200)
    first, second = write_scene(values, "1986.tif"), write_scene(values + 50, "2001.tif")
    labels = write_scene(classes[None], "labels.tif", nodata=0)
    result = geoseg.tile([first, second], labels, tmp_path / "c", chip_size=32)
    frame = read_index(tmp_path / "c").frame
    assert (frame.groupby(["row", "col"])["split"].nunique() == 1).all()
    assert sum(result.chips.values()) == len(frame) == 2 * len(frame[["row", "col"]].drop_duplicates())


def test_label_files_and_fields_are_one_or_one_for_each_scene(write_scene, tmp_path):
    values, classes = striped(200, 200)
    scenes = [write_scene(values, f"{number}.tif") for number in range(3)]
    labels = [write_scene(classes[None], f"labels_{number}.tif", nodata=0) for number in range(2)]
    with pytest.raises(OptionError, match="label files: 2, scenes: 3"):
        geoseg.tile(scenes, labels, tmp_path / "c")
    with pytest.raises(OptionError, match="class fields: 2, scenes: 3"):
        geoseg.tile(scenes, labels[0], tmp_path / "c", class_field=["a", "b"])


@pytest.mark.parametrize("virtual", [False, True])
def test_each_scene_may_have_its_own_column(write_scene, tmp_path, virtual):
    values, _ = striped(200, 200)
    scenes = [write_scene(values, f"{year}.tif") for year in (1986, 2001)]
    places = [(row, col, 16, 16) for row in range(0, 200, 24) for col in range(0, 200, 24)]
    frame = polygons({"x": places}).drop(columns="class")
    frame["then"] = [("forest", "water")[number % 2] for number in range(len(frame))]
    frame["now"] = [("water", "town")[number % 2] for number in range(len(frame))]
    frame.to_file(tmp_path / "labels.gpkg")
    fields = ["then", "now"]
    geoseg.tile(scenes, tmp_path / "labels.gpkg", tmp_path / "c", class_field=fields, chip_size=16, virtual=virtual)
    index = read_index(tmp_path / "c")
    assert index.legend.names == ("forest", "town", "water")
    pixels = index.frame.groupby("scene")[["pixels_1", "pixels_2", "pixels_3"]].sum().to_numpy() > 0
    assert pixels.tolist() == [[True, False, True], [False, True, True]]
    labels = {int(x) for _, y in (ChipDataset(index, "train")[n, None] for n in range(4)) for x in y.unique()}
    assert labels <= {0, 1, 2, 255}
