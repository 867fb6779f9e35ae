import numpy as np
import pytest
import torch

import geoseg
from conftest import striped
from geoseg.chips.augment import d4, jitter
from geoseg.chips.dataset import ChipDataset, ClassBalancedSampler, InOrder, labelled_pixels
from geoseg.chips.index import read_index
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
    dataset = ChipDataset(index, "train")
    for seed in (1, 2):
        first, again = dataset[0, seed], dataset[0, seed]
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
    assert not torch.equal(dataset[0, 1][0], dataset[0, 2][0])


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


class TestAugmentation:
    def test_d4_has_eight_different_elements(self):
        square = np.arange(9).reshape(3, 3)
        assert len({d4(square, element).tobytes() for element in range(8)}) == 8

    def test_image_and_label_move_together(self):
        label = np.arange(20).reshape(4, 5)
        image = np.stack([label, label + 100])
        for element in range(8):
            assert (d4(image, element)[0] == d4(label, element)).all()
            assert (d4(image, element)[1] == d4(label, element) + 100).all()

    def test_jitter_is_gentle_and_can_be_off(self):
        image = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
        assert (jitter(image, np.random.default_rng(1), 0.0) == image).all()
        changed = jitter(image, np.random.default_rng(1), 1.0)
        assert changed.dtype == np.float32
        assert 0.001 < np.abs(changed - image).mean() < 0.5


class TestSampling:
    def test_rare_classes_come_up_often(self):
        counts = np.zeros((100, 2), np.int64)
        counts[:, 0] = 1000
        counts[7, 1] = 10
        drawn = [number for number, _ in ClassBalancedSampler(counts, 4000, seed=0)]
        assert drawn.count(7) / 4000 == pytest.approx(0.25, abs=0.04)
        assert len(set(drawn)) == 100

    def test_epochs_differ_and_can_be_repeated(self):
        sampler = ClassBalancedSampler(np.ones((10, 2), np.int64), 50, seed=0)
        first = list(sampler)
        assert first == list(sampler)
        sampler.set_epoch(1)
        assert first != list(sampler)
        assert len(sampler) == 50

    def test_in_order_takes_every_chip_once(self, index):
        dataset = ChipDataset(index, "val")
        assert list(InOrder(dataset)) == [(number, None) for number in range(len(dataset))]


def test_labelled_pixels_are_all_or_a_sample(index):
    values, classes = labelled_pixels(index, "val")
    assert values.shape == (len(classes), 4)
    assert np.bincount(classes).tolist() == index.counts("val").sum(0).tolist()
    assert len(labelled_pixels(index, "train", most=500)[0]) <= 500 + len(index.of("train"))
