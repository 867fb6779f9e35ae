import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from torch.utils.data import DataLoader

import geoseg
from conftest import CORNER, UTM, striped
from geoseg.chips import dataset
from geoseg.chips.augment import parse_augmentation
from geoseg.chips.dataset import ChipDataset, labelled_pixels
from geoseg.chips.index import read_index
from geoseg.chips.sampling import ClassBalancedSampler
from geoseg.errors import ChipError
from geoseg.legend import IGNORE


@pytest.fixture
def index(labelled_scene, tmp_path):
    geoseg.tile(*labelled_scene, tmp_path / "chips", chip_size=32)
    return read_index(tmp_path / "chips")


def test_images_are_scaled_and_labels_are_indices(index):
    image, label = ChipDataset(index, "train")[0, None]
    assert image.shape == (4, 32, 32)
    assert image.dtype == torch.float32
    assert label.dtype == torch.int64
    assert set(label.unique().tolist()) <= {0, 1, 2, IGNORE}
    assert abs(float(image.mean())) < 2


def test_a_seed_decides_all(index):
    chips = ChipDataset(index, "train")
    for seed in (1, 2):
        first, again = chips[0, seed], chips[0, seed]
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
    assert not torch.equal(chips[0, 1][0], chips[0, 2][0])


def test_small_chips_are_padded_and_their_padding_unlabelled(write_scene, tmp_path):
    values, classes = striped(40, 300)
    scene, labels = write_scene(values), write_scene(classes[None], "labels.tif", nodata=0)
    geoseg.tile(scene, labels, tmp_path / "c", chip_size=64)
    image, label = ChipDataset(read_index(tmp_path / "c"), "train")[0, None]
    assert image.shape[1:] == (64, 64)
    assert (label[40:] == IGNORE).all()
    assert torch.isfinite(image).all()


def test_chips_that_are_gone_are_named(index):
    image = index.of("train")["image"].iloc[0]
    (index.folder / image).unlink()
    with pytest.raises(ChipError, match="make them again"):
        ChipDataset(index, "train")[0, None]


class TestRandomWindows:
    """Each pixel of this scene says where it is, and the label says the same, so that nothing can be mixed up."""

    @pytest.fixture
    def scene(self):
        rows, cols = np.mgrid[1:201, 1:221]
        return np.stack([rows, cols, rows + cols]).astype(np.float32), ((rows // 20 + cols // 20) % 3 + 1).astype(
            "uint8"
        )

    @pytest.fixture(params=[False, True], ids=["files", "virtual"])
    def index(self, request, scene, write_scene, tmp_path):
        image, labels = write_scene(scene[0]), write_scene(scene[1][None], "labels.tif", nodata=0)
        geoseg.tile(image, labels, tmp_path / "c", chip_size=32, virtual=request.param, min_valid=0)
        return read_index(tmp_path / "c")

    @pytest.fixture(params=[dataset.KEPT_BYTES, 0], ids=["kept", "too many to keep"])
    def windows(self, request, index, monkeypatch):
        """Images in the scene's own values, and labels, of 120 draws."""
        monkeypatch.setattr(dataset, "KEPT_BYTES", request.param)
        chips = ChipDataset(index, "train")
        sampler = ClassBalancedSampler(index.counts("train"), 120, seed=0)
        statistics = index.statistics
        mean, std = (np.array(values)[:, None, None] for values in (statistics.mean, statistics.std))
        return [(image.numpy() * std + mean, label.numpy()) for image, label in map(chips.__getitem__, sampler)]

    def test_windows_are_anywhere_whole_and_of_training_ground_only(self, index, scene, windows):
        ground, places = np.zeros(scene[1].shape, bool), set()
        for chip in index.rows("train"):
            ground[chip.row : chip.row + chip.height, chip.col : chip.col + chip.width] = True
        for image, label in windows:
            row, col = (int(np.rint(image[band].min())) - 1 for band in (0, 1))
            places.add((row, col))
            place = slice(row, row + 32), slice(col, col + 32)
            assert ground[place].all()
            assert np.allclose(image, scene[0][:, *place], atol=0.01)
            assert (label == scene[1][place].astype(int) - 1).all()
        elsewhere = len(places - {(chip.row, chip.col) for chip in index.rows("train")})
        # Chips that are too many for the memory, and have files of their own, stay where they are.
        assert elsewhere == 0 if dataset.KEPT_BYTES == 0 and not index.is_virtual else elsewhere > 50

    def test_each_draw_is_the_same_in_any_order(self, index):
        sampler = ClassBalancedSampler(index.counts("train"), 12, seed=0)
        changes = parse_augmentation("jitter+scale+noise+cutmix:2")
        one, other = (ChipDataset(index, "train", changes) for _ in range(2))
        draws = list(sampler)
        expected = {draw: one[draw] for draw in draws}
        for draw in reversed(draws):
            for found, wanted in zip(other[draw], expected[draw], strict=True):
                assert torch.equal(found, wanted)


def test_virtual_chips_of_paths_from_the_folder_are_found_from_any(write_scene, tmp_path, monkeypatch):
    values, classes = striped(64, 64)
    write_scene(values), write_scene(classes[None], "labels.tif", nodata=0)
    monkeypatch.chdir(tmp_path)
    ground = shapely.box(*(CORNER @ (0, 64)), *(CORNER @ (64, 0)))
    gpd.GeoDataFrame({"split": ["train"]}, geometry=[ground], crs=UTM).to_file("areas.gpkg")
    geoseg.tile("scene.tif", "labels.tif", "c", chip_size=16, areas="areas.gpkg", virtual=True)
    monkeypatch.chdir("/")
    assert ChipDataset(read_index(tmp_path / "c"), "train")[0, None][0].shape == (len(values), 16, 16)


def test_windows_for_a_class_show_it(index):
    chips = ChipDataset(index, "train", parse_augmentation("default+scale"))
    plain = ChipDataset(index, "train")
    for draw in ClassBalancedSampler(index.counts("train"), 60, seed=2):
        if draw.target is not None:
            assert (plain[draw][1][4:28, 4:28] == draw.target).any()
            assert chips[draw][0].shape == (4, 32, 32)


def test_several_processes_read_the_same(index):
    chips = ChipDataset(index, "train", parse_augmentation("default"))
    sampler = ClassBalancedSampler(index.counts("train"), 16, seed=0)
    alone, together = (list(DataLoader(chips, 4, sampler=sampler, num_workers=jobs)) for jobs in (0, 2))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_labelled_pixels_are_all_or_a_sample(index):
    values, classes = labelled_pixels(index, "val")
    assert values.shape == (len(classes), 4)
    assert np.bincount(classes).tolist() == index.counts("val").sum(0).tolist()
    assert len(labelled_pixels(index, "train", most=500)[0]) <= 500 + len(index.of("train"))
