import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.chips.augment import (
    NONE,
    Augmentation,
    blur,
    cutmix,
    d4,
    drop,
    gamma,
    jitter,
    parse_augmentation,
    scale,
)
from geoseg.errors import OptionError
from geoseg.legend import IGNORE

EVERYTHING = "+".join(f"{name}:1" for name in Augmentation.__slots__ if name != "d4")


def image_of(bands: int, side: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(bands, side, side)).astype(np.float32)


def label_of(side: int = 24, seed: int = 0, cell: int = 1) -> np.ndarray:
    label = np.random.default_rng(seed).choice(np.array([0, 3, 7, IGNORE], np.uint8), (side, side))
    return label.repeat(cell, 0).repeat(cell, 1)[:side, :side]


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestLaws:
    @settings(max_examples=25)
    @given(seed=st.integers(0, 10**6), bands=st.sampled_from([1, 2, 5, 200]))
    def test_labels_only_move(self, seed, bands):
        label = label_of(seed=seed)
        image, moved = parse_augmentation(EVERYTHING).change(image_of(bands, seed=seed), label, rng_of(seed))
        assert set(np.unique(moved)) <= {*np.unique(label), IGNORE}
        assert moved.dtype == np.uint8
        assert image.shape == (bands, 24, 24)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()

    @pytest.mark.parametrize("seed", range(12))
    def test_image_and_label_move_together(self, seed):
        # The image is the class itself: where it was not interpolated it must still say what the label says.
        label = label_of(48, seed, cell=6) % 8
        image = np.stack([label + 1.0, label * 10.0 + 10]).astype(np.float32)
        changed, moved = Augmentation(jitter=0, scale=2).change(image, label, rng_of(seed))
        whole = (moved != IGNORE) & (changed[0] % 1 == 0) & (changed[1] == 10 * changed[0])
        inner = whole & (np.abs(changed[0] - moved - 1) < 0.5)
        assert inner.sum() > 0.95 * whole.sum()
        # Half of a pixel at a border between classes is the most that nearest and linear may differ.
        assert np.abs(changed[0] - moved - 1)[moved != IGNORE].mean() < 0.5
        assert moved[moved != IGNORE].size > 500

    @pytest.mark.parametrize("name", ["d4", "scale", "jitter", "gamma", "blur", "noise", "dropout"])
    def test_a_constant_label_stays(self, name):
        label = np.full((24, 24), 5, np.uint8)
        _, moved = parse_augmentation(f"d4:0+{name}").change(image_of(3), label, rng_of(1))
        assert set(np.unique(moved)) <= {5, IGNORE}
        assert (moved == 5).mean() > 0.5

    def test_strength_0_changes_nothing(self):
        image, label = image_of(4), label_of()
        for seed in range(5):
            changed, moved = NONE.change(image, label, rng_of(seed))
            assert np.array_equal(changed, image)
            assert np.array_equal(moved, label)
        assert np.array_equal(jitter(image, rng_of(0), 0.0), image)
        assert np.allclose(gamma(image, 1.0), image, atol=1e-5)
        assert np.array_equal(blur(image, 0.0), image)
        assert np.array_equal(drop(image, rng_of(0), 0.0), image)
        assert np.array_equal(scale(image, label, 1.0, rng_of(0))[0], image)

    def test_a_seed_decides_all(self):
        changes = parse_augmentation(EVERYTHING)
        one, same, other = (changes.change(image_of(3), label_of(), rng_of(seed)) for seed in (1, 1, 2))
        assert np.array_equal(one[0], same[0])
        assert np.array_equal(one[1], same[1])
        assert not np.array_equal(one[0], other[0])

    @pytest.mark.parametrize("name", ["d4", "scale", "gamma", "blur"])
    def test_what_treats_bands_alike_commutes_with_their_order(self, name):
        image, label, order = image_of(7), label_of(), rng_of(0).permutation(7)
        changes = parse_augmentation(f"d4:0+{name}")
        one, _ = changes.change(image[order], label, rng_of(3))
        other, _ = changes.change(image, label, rng_of(3))
        assert np.array_equal(one, other[order])

    def test_what_has_no_data_stays_without_and_does_not_spread(self):
        image, label = image_of(3) + 50, label_of() % 8
        image[:, 5:9, 7:12], label[5:9, 7:12] = 0, IGNORE
        for name in ("jitter", "gamma", "noise", "blur"):
            changed, _ = parse_augmentation(f"d4:0+{name}:2").change(image, label, rng_of(1))
            assert np.array_equal(changed.any(0), image.any(0))
        for seed in range(10):
            changed, moved = parse_augmentation("scale:2").change(image, label, rng_of(seed))
            assert (moved[~changed.any(0)] == IGNORE).all()
            assert changed[:, changed.any(0)].min() > 40


class TestEachChange:
    def test_d4_has_eight_different_elements(self):
        square = np.arange(9).reshape(3, 3)
        assert len({d4(square, element).tobytes() for element in range(8)}) == 8

    def test_d4_moves_bands_alike(self):
        label = np.arange(20).reshape(4, 5)
        image = np.stack([label, label + 100])
        for element in range(8):
            assert (d4(image, element)[0] == d4(label, element)).all()
            assert (d4(image, element)[1] == d4(label, element) + 100).all()

    @pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 4 / 3])
    def test_scale_of_a_ramp_is_a_ramp(self, factor):
        ramp = np.arange(1, 41, dtype=np.float32)
        image = np.broadcast_to(ramp[:, None], (1, 40, 40)).copy()
        changed, label = scale(image, np.zeros((40, 40), np.uint8), factor, rng_of(0))
        # Half a pixel past the first and the last, linear interpolation has but the mirrored neighbour.
        inside = (label == 0) & (changed[0] >= 1.6) & (changed[0] <= 39.4)
        steps = np.diff(changed[0], axis=0)[inside[1:] & inside[:-1]]
        assert steps == pytest.approx(1 / factor, abs=1e-3)

    def test_what_is_reduced_leaves_the_rest_unlabelled(self):
        _, label = scale(image_of(2, 40), np.zeros((40, 40), np.uint8), 0.75, rng_of(0))
        assert (label == 0).sum() == pytest.approx(30 * 30, abs=62)
        _, label = scale(image_of(2, 40), np.zeros((40, 40), np.uint8), 4 / 3, rng_of(0))
        assert (label == 0).all()

    def test_jitter_is_gentle(self):
        image = image_of(5)
        changed = jitter(image, rng_of(1), 1.0)
        assert changed.dtype == np.float32
        assert 0.001 < np.abs(changed - image).mean() < 0.5

    def test_gamma_keeps_black_mean_and_order(self):
        values = np.linspace(-10, 10, 201, dtype=np.float32).reshape(1, 1, -1)
        for exponent in (0.8, 1.25):
            changed = gamma(values, exponent)
            assert (np.diff(changed[0, 0]) > 0).all()
            assert changed[0, 0, [70, 100]] == pytest.approx([-3, 0], abs=1e-2)

    def test_blur_keeps_means_and_lowers_deviations(self):
        image = image_of(2, 64)
        assert blur(image, 1.0).std() < 0.5 * image.std()
        assert blur(np.ones_like(image), 1.0) == pytest.approx(1)

    def test_one_band_at_least_stays(self):
        for seed in range(20):
            assert drop(image_of(4), rng_of(seed), 0.99).any(axis=(1, 2)).sum() >= 1
        assert np.array_equal(drop(image_of(1), rng_of(0), 1.0), image_of(1))

    def test_cutmix_takes_image_and_label_of_one_rectangle(self):
        one, other = (np.full((3, 20, 20), n, np.float32) for n in (1, 2))
        labels = [np.full((20, 20), n, np.uint8) for n in (1, 2)]
        shares = []
        for seed in range(200):
            image, label = cutmix((one, labels[0]), (other, labels[1]), rng_of(seed))
            assert (image == label).all()
            shares.append((label == 2).mean())
        assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
        assert one.max() == 1


class TestParsing:
    def test_sums_numbers_and_words(self):
        assert parse_augmentation("default") == Augmentation()
        assert parse_augmentation("none") == NONE
        assert parse_augmentation(0.25) == parse_augmentation("jitter:0.25") == Augmentation(jitter=0.25)
        assert parse_augmentation("jitter:0.5+scale:1 + cutmix") == Augmentation(scale=1, cutmix=1)
        assert parse_augmentation("default+blur:0.5") == Augmentation(blur=0.5)
        assert parse_augmentation("d4:0+noise") == Augmentation(d4=0, jitter=0, noise=1)

    @pytest.mark.parametrize("text", ["none", "default", "jitter:2+scale:0.125", EVERYTHING])
    def test_what_is_written_can_be_read(self, text):
        assert parse_augmentation(str(parse_augmentation(text))) == parse_augmentation(text)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("jiter", "no augmentation 'jiter'; did you mean 'jitter'"),
            ("scale:much", "strength 'much'; write a number"),
            ("scale:3", "scale is 3; it must be 0 to 2"),
            ("d4:1.5", "d4 is 1.5; it must be 0 to 1"),
            ("nan", "jitter is nan"),
            ("", "no augmentation ''"),
            ("jitter+", "no augmentation ''"),
            ("-1", "jitter is -1"),
        ],
    )
    def test_what_cannot_be_is_said(self, text, says):
        with pytest.raises(OptionError, match=says):
            parse_augmentation(text)
