import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geoseg
from conftest import CORNER, polygons, striped
from geoseg.chips.index import check_leaks, leaking_pairs, read_index
from geoseg.errors import (
    BandMismatchError,
    ChipError,
    LabelError,
    LeakError,
    OptionError,
    OutputError,
    OutputExistsError,
)


@pytest.fixture
def chips(labelled_scene, tmp_path):
    scene, labels = labelled_scene
    geoseg.tile(scene, labels, tmp_path / "chips", chip_size=32, seed=3)
    return read_index(tmp_path / "chips")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_chips_hold_the_pixels_of_their_window(labelled_scene, chips):
    scene, labels = labelled_scene
    with rasterio.open(scene) as whole, rasterio.open(labels) as truth:
        pixels, classes = whole.read(), truth.read(1)
        for row in chips.frame.itertuples():
            window = (slice(row.row, row.row + row.height), slice(row.col, row.col + row.width))
            with rasterio.open(chips.folder / row.image) as image, rasterio.open(chips.folder / row.label) as label:
                assert (image.read() == pixels[(slice(None), *window)]).all()
                assert (label.read(1) == classes[window]).all()
                assert image.crs == label.crs == whole.crs
                assert image.transform @ (0, 0) == pytest.approx(whole.transform @ (row.col, row.row))
                assert image.descriptions == whole.descriptions
                assert [row.pixels_1, row.pixels_2, row.pixels_3] == np.bincount(label.read(1).ravel())[1:4].tolist()


def test_every_split_has_chips_and_classes(chips):
    for split in ("train", "val", "test"):
        assert (chips.counts(split).sum(0) > 0).all()


def test_the_index_opens_as_geodata(chips):
    frame = gpd.read_parquet(chips.folder / "index.parquet")
    assert frame.crs.to_epsg() == 32632
    assert frame.geometry.area.to_numpy() == pytest.approx(32 * 32 * 100)


def test_neighbours_of_one_split_overlap(labelled_scene, tmp_path):
    geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, block_size=110)
    train = read_index(tmp_path / "c").of("train")
    pairs = train.sindex.query(train.geometry, predicate="overlaps")
    assert pairs.shape[1] > len(train)


def test_statistics_are_those_of_the_training_pixels(chips):
    values = np.concatenate(
        [rasterio.open(chips.folder / image).read().reshape(4, -1) for image in chips.of("train")["image"]], axis=1
    )
    low, high = np.percentile(values, [1, 99], axis=1)
    cut = np.clip(values, low[:, None], high[:, None])
    assert chips.statistics.mean == pytest.approx(cut.mean(1), rel=1e-6)
    assert chips.statistics.std == pytest.approx(cut.std(1), rel=1e-6)


def test_no_data_is_in_no_statistics_and_no_label(write_scene, tmp_path):
    values, classes = striped(240, 260)
    values[2, :, :40] = 0
    write_scene(values, nodata=0)
    write_scene(classes[None], "labels.tif", nodata=0)
    geoseg.tile(tmp_path / "scene.tif", tmp_path / "labels.tif", tmp_path / "c", chip_size=32)
    index = read_index(tmp_path / "c")
    assert min(index.statistics.low) > 200
    for row in index.frame[index.frame["col"] < 40].itertuples():
        with rasterio.open(index.folder / row.image) as image, rasterio.open(index.folder / row.label) as label:
            assert not label.read(1)[:, : 40 - row.col].any()
            assert not image.dataset_mask()[:, : 40 - row.col].any()


def test_the_same_seed_gives_the_same_bytes(labelled_scene, tmp_path):
    for name in ("a", "b"):
        geoseg.tile(*labelled_scene, tmp_path / name, chip_size=32, seed=9)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_sizes_are_chosen_from_the_labels(labelled_scene, tmp_path):
    result = geoseg.tile(*labelled_scene, tmp_path / "c")
    assert result.chip_size == 32
    assert result.block_size >= 40


def test_a_scene_smaller_than_a_chip(write_scene, tmp_path):
    values, classes = striped(40, 300)
    scene, labels = write_scene(values), write_scene(classes[None], "labels.tif", nodata=0)
    geoseg.tile(scene, labels, tmp_path / "c", chip_size=64)
    index = read_index(tmp_path / "c")
    assert set(index.frame["height"]) == {40}
    assert set(index.frame["width"]) == {64}


def many(write_scene, tmp_path, count=9):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(count):
        values, classes = striped(64, 64, seed=number)
        write_scene(values, f"images/{number}.tif")
        write_scene(classes[None], f"masks/{number}.tif", nodata=0)
    return tmp_path / "images", tmp_path / "masks"


def test_many_scenes_are_held_out_whole(write_scene, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(9):
        values, classes = striped(64, 64, seed=number)
        place = Affine(10, 0, 500_000 + 5000 * number, 0, -10, 5_400_000)
        write_scene(values, f"images/{number}.tif", transform=place)
        write_scene(classes[None], f"masks/{number}.tif", nodata=0, transform=place)
    result = geoseg.tile(tmp_path / "images", tmp_path / "masks", tmp_path / "c")
    frame = read_index(tmp_path / "c").frame
    assert (frame.groupby("scene")["split"].nunique() == 1).all()
    assert all(result.chips.values())


def test_scenes_of_one_ground_share_their_blocks(write_scene, tmp_path):
    scenes = [write_scene(striped(200, 200, seed=number)[0], f"{number}.tif") for number in range(9)]
    labels = write_scene(striped(200, 200)[1][None], "labels.tif", nodata=0)
    geoseg.tile(scenes, labels, tmp_path / "c", chip_size=32)
    index = read_index(tmp_path / "c")
    assert index.options["split_by"] == "blocks"
    places = index.frame.groupby(["row", "col"])
    assert (places["split"].nunique() == 1).all()
    assert (places["scene"].nunique() == 9).all()


def test_scenes_of_one_ground_cannot_be_split_by_scene(write_scene, tmp_path):
    images, masks = many(write_scene, tmp_path)
    with pytest.raises(ChipError, match=r"1 scenes of different ground cannot be split by scene .* --split-by blocks"):
        geoseg.tile(images, masks, tmp_path / "c", split_by="scene")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("shift", [200, 210, 150, 37])
def test_the_gap_holds_across_scenes_that_touch_or_overlap(write_scene, tmp_path, caplog, shift):
    scenes = []
    for number in range(2):
        values, _ = striped(200, 200, seed=number)
        scenes.append(write_scene(values, f"{number}.tif", transform=CORNER @ Affine.translation(number * shift, 0)))
    _, classes = striped(200, 420)
    labels = write_scene(classes[None], "labels.tif", nodata=0)
    geoseg.tile(scenes, labels, tmp_path / "c", chip_size=32, overlap=0.5)
    frame = read_index(tmp_path / "c").frame
    for split in ("val", "test"):
        others = frame[frame["split"] != split].union_all()
        assert frame[frame["split"] == split].distance(others).min() >= 16 * 10 - 1e-6
    assert "left out" in caplog.text or shift == 210
    files = {p.name for p in (tmp_path / "c" / "images").iterdir()}
    assert files == {name.removeprefix("images/") for name in frame["image"]}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_scenes_without_crs_share_no_ground(write_scene, tmp_path):
    scenes = []
    for number in range(2):
        values, classes = striped(200, 200, seed=number)
        scenes.append(write_scene(values, f"{number}.tif", crs=None))
    labels = write_scene(classes[None], "labels.tif", crs=None, nodata=0)
    assert geoseg.tile(scenes, labels, tmp_path / "c", chip_size=32).chips["test"] > 0


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_that_is_listed_twice_is_one_ground_without_crs_too(write_scene, tmp_path):
    values, classes = striped(200, 200)
    scene = write_scene(values, crs=None)
    labels = write_scene(classes[None], "labels.tif", crs=None, nodata=0)
    geoseg.tile([scene, scene], labels, tmp_path / "c", chip_size=32)
    frame = read_index(tmp_path / "c").frame
    ground = {split: own.union_all() for split, own in frame.groupby("split")["geometry"]}
    assert not ground["train"].intersects(ground["val"].union(ground["test"]))


def test_labels_may_have_other_files_beside_them(write_scene, tmp_path):
    values, classes = striped(200, 200)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    write_scene(values, "images/a.tif")
    write_scene(classes[None], "masks/a.tif", nodata=0)
    for name in ("a.qml", "a.tif.aux.xml", "a.txt"):
        (tmp_path / "masks" / name).write_text("beside")
    assert geoseg.tile(tmp_path / "images", tmp_path / "masks", tmp_path / "c", chip_size=32).chips["train"] > 0


@pytest.mark.parametrize(("apart", "leaks"), [(6, True), (9, False)])
@pytest.mark.parametrize("eastward", [True, False])
def test_the_gap_across_scenes_is_of_pixels_that_are_wider_than_high(apart, leaks, eastward):
    step = np.array([2e-4, 1e-4])  # degrees of a pixel far north
    start = step * 32 + step * apart
    corners = [(0, 0), (start[0], 0) if eastward else (0, start[1])]
    chips = [shapely.box(x, y, x + 32 * step[0], y + 32 * step[1]) for x, y in corners]
    columns = {"image": ["a", "b"], "split": ["train", "val"], "scene": [0, 1]}
    frame = gpd.GeoDataFrame(columns, geometry=chips, crs="EPSG:4326").assign(row=0, col=0, height=32, width=32)
    assert (len(leaking_pairs(frame, 8)) > 0) == leaks


def test_a_planted_leak_is_found(chips):
    frame = chips.frame.copy()
    place = frame.index[frame["split"] == "test"][0]
    leaking = frame.copy()
    leaking.loc[place, "split"] = "train"
    if (frame["split"] == "test").sum() > 1:
        with pytest.raises(LeakError):
            check_leaks(leaking.assign(col=0, row=0), 8, "chips")
    frame.loc[place, ["row", "col"]] = frame.loc[frame["split"] == "train", ["row", "col"]].iloc[0].to_numpy()
    with pytest.raises(LeakError, match="less than 8 pixels"):
        check_leaks(frame, 8, "chips")


def test_a_tampered_index_is_refused(chips):
    frame = chips.frame.copy()
    train, test = (frame.index[frame["split"] == split][0] for split in ("train", "test"))
    frame.loc[test, ["row", "col"]] = frame.loc[train, ["row", "col"]].to_numpy()
    frame.to_parquet(chips.folder / "index.parquet")
    with pytest.raises(LeakError):
        read_index(chips.folder)


class TestBadInput:
    def test_labels_elsewhere(self, labelled_scene, tmp_path):
        frame = polygons({"forest": [(0, 0, 9, 9)], "water": [(20, 20, 9, 9)]})
        frame.geometry = frame.geometry.translate(1e6, 0)
        frame.to_file(tmp_path / "far.gpkg")
        with pytest.raises(LabelError, match=r"far\.gpkg: no labelled pixel lies on .*scene\.tif"):
            geoseg.tile(labelled_scene[0], tmp_path / "far.gpkg", tmp_path / "c")
        assert not (tmp_path / "c").exists()

    def test_all_nodata(self, write_scene, tmp_path):
        values, classes = striped(100, 100)
        scene = write_scene(np.zeros_like(values), nodata=0)
        labels = write_scene(classes[None], "labels.tif", nodata=0)
        with pytest.raises(LabelError, match="only where it has no data"):
            geoseg.tile(scene, labels, tmp_path / "c")

    def test_a_class_that_only_lies_where_one_band_has_no_data(self, write_scene, tmp_path, caplog):
        values, classes = striped(100, 100)
        values[0, classes == 3] = 0
        scene, labels = write_scene(values, nodata=0), write_scene(classes[None], "labels.tif", nodata=0)
        geoseg.tile(scene, labels, tmp_path / "c", chip_size=24)
        assert f"All {(classes == 3).sum()} labelled pixels of 'class 3' lie where the scene has no data" in caplog.text
        caplog.clear()
        geoseg.tile(scene, labels, tmp_path / "all", chip_size=24, nodata_rule="all")
        assert "has no data" not in caplog.text

    def test_output_exists(self, labelled_scene, tmp_path):
        (tmp_path / "c").mkdir()
        with pytest.raises(OutputExistsError, match="--overwrite"):
            geoseg.tile(*labelled_scene, tmp_path / "c")

    def test_too_few_labels(self, labelled_scene, tmp_path):
        polygons({"forest": [(0, 0, 9, 9)]}).to_file(tmp_path / "one.gpkg")
        with pytest.raises(ChipError, match="in one block, too few"):
            geoseg.tile(labelled_scene[0], tmp_path / "one.gpkg", tmp_path / "c")

    @pytest.mark.parametrize(
        "wrong", [{"chip_size": 4}, {"overlap": 1.0}, {"block_size": 10, "chip_size": 32}, {"split": (0.5, 0.5, 0.5)}]
    )
    def test_sizes_that_cannot_be(self, labelled_scene, tmp_path, wrong):
        with pytest.raises(OptionError):
            geoseg.tile(*labelled_scene, tmp_path / "c", **wrong)

    def test_scenes_of_different_bands(self, write_scene, labelled_scene, tmp_path):
        other = write_scene(striped(50, 50)[0], "other.tif")
        with pytest.raises(BandMismatchError, match="--bands"):
            geoseg.tile([labelled_scene[0], other], labelled_scene[1], tmp_path / "c")

    def test_a_scene_without_its_labels(self, write_scene, tmp_path):
        images, masks = many(write_scene, tmp_path, 3)
        (masks / "1.tif").unlink()
        with pytest.raises(LabelError, match=r"no label file for the scene .*1\.tif"):
            geoseg.tile(images, masks, tmp_path / "c")

    def test_a_full_disk(self, labelled_scene, tmp_path):
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
        try:
            with pytest.raises(OutputError, match="disk full"):
                geoseg.tile(*labelled_scene, tmp_path / "c")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not (tmp_path / "c").exists()
        geoseg.tile(*labelled_scene, tmp_path / "c")
        geoseg.tile(*labelled_scene, tmp_path / "d")
        assert files(tmp_path / "c") == files(tmp_path / "d")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d", "labels.tif", "scene.tif"]

    def test_what_is_no_chip_folder(self, tmp_path, chips):
        with pytest.raises(ChipError, match="geoseg tile"):
            read_index(tmp_path)
        path = chips.folder / "chips.json"
        good = path.read_text()
        for broken in ("{", "[]", "{}", good.replace('"bands"', '"hands"'), good.replace('"mean"', '"mode"')):
            path.write_text(broken)
            with pytest.raises(ChipError):
                read_index(chips.folder)
        path.write_text(json.dumps(json.loads(good) | {"format": 99}))
        with pytest.raises(ChipError, match="newer geoseg"):
            read_index(chips.folder)


@pytest.mark.parametrize("what", ["image", "label", "note", "key", "gone"])
def test_what_was_damaged_since_it_was_stopped_is_cut_again(labelled_scene, tmp_path, monkeypatch, what):
    scene, labels = labelled_scene
    options = {"chip_size": 32, "seed": 3}
    geoseg.tile(scene, labels, tmp_path / "whole", **options)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geoseg.chips.tiler.write_index", stop)
        with pytest.raises(KeyboardInterrupt):
            geoseg.tile(scene, labels, tmp_path / "chips", **options)
    hidden = tmp_path / ".chips.partial"
    pattern = {"image": "chips/images/*.tif", "label": "chips/labels/*.tif", "note": "**/*.npz", "key": ".geoseg-key"}
    path = sorted(hidden.glob(pattern.get(what, "chips/images/*.tif")))[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.unlink() if what == "gone" else path.write_bytes(content)
    geoseg.tile(scene, labels, tmp_path / "chips", **options)
    made, wanted = files(tmp_path / "chips"), files(tmp_path / "whole")
    assert made.keys() == wanted.keys()
    assert all(made[name] == wanted[name] for name in made if name.endswith(".tif"))
    assert not hidden.exists()
