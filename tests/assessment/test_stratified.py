"""Estimators against the figures their papers print, and against repeated sampling."""

import numpy as np
import pytest

from geoseg.assessment.stratified import CONFIDENT, allocate, olofsson, sample_size, stehman
from geoseg.errors import LabelError, OptionError

TABLE_8 = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_olofsson_2014_table_8() -> None:
    found = olofsson(TABLE_8, MAPPED)
    assert found.overall == pytest.approx(0.946512, abs=1e-6)
    assert CONFIDENT * found.overall_error == pytest.approx(0.018484, abs=1e-6)
    np.testing.assert_allclose(found.users, [0.88, 0.733333, 0.927273, 0.963077], atol=1e-6)
    np.testing.assert_allclose(CONFIDENT * found.users_error, [0.0740, 0.1008, 0.0398, 0.0205], atol=6e-5)
    np.testing.assert_allclose(found.producers, [0.748656, 0.847156, 0.934515, 0.961614], atol=1e-5)
    np.testing.assert_allclose(CONFIDENT * found.producers_error, [0.2133, 0.2544, 0.0343, 0.0184], atol=5e-5)
    pixels = found.areas * MAPPED.sum()
    np.testing.assert_allclose(pixels, [235_086.25, 129_846.15, 3_175_221.4, 6_459_846.2], rtol=1e-7)
    hectares = 0.09 * MAPPED.sum()
    np.testing.assert_array_equal(np.round(found.areas * hectares), [21_158, 11_686, 285_770, 581_386])
    half = CONFIDENT * found.areas_error * hectares
    np.testing.assert_array_equal(np.round(half), [6_158, 3_756, 15_510, 16_282])


def test_olofsson_2013() -> None:
    sizes = np.array([22_353, 1_122_543, 610_228])
    found = olofsson(np.array([[97, 0, 3], [3, 279, 18], [2, 1, 97]]), sizes)
    printed = [[0.012, 0, 0.0004], [0.006, 0.595, 0.038], [0.007, 0.003, 0.337]]
    np.testing.assert_allclose(found.proportions, printed, atol=6e-4)
    np.testing.assert_allclose(found.users, [0.97, 0.93, 0.97], atol=5e-3)
    np.testing.assert_allclose(found.producers, [0.48, 0.99, 0.897], atol=6e-3)
    assert found.overall == pytest.approx(0.94, abs=5e-3)
    assert round(found.areas[0] * sizes.sum()) == 45_112
    assert round(CONFIDENT * found.areas_error[0] * sizes.sum()) == 21_073


def test_card_1982() -> None:
    found = olofsson(np.array([[410, 26], [67, 369]]), np.array([828_837, 33_067_283]))
    np.testing.assert_allclose(found.users, [0.9403670, 0.8463303], atol=1e-7)
    np.testing.assert_allclose(found.producers, [0.132986, 0.998237], atol=1e-6)
    assert found.overall == pytest.approx(0.84862969, abs=1e-8)
    assert found.overall_error == pytest.approx(0.01687046, abs=1e-8)


# The numerical example of Stehman 2014: ten samples in each of four strata.
STRATA = np.repeat([0, 1, 2, 3], 10)
ON_MAP = np.array(["ABCD".index(one) for one in "A" * 7 + "B" * 3 + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10])
ON_GROUND = np.array(["ABCD".index(one) for one in "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"])
SIZES = np.array([40_000, 30_000, 20_000, 10_000])


def test_stehman_2014() -> None:
    found = stehman(STRATA, ON_MAP, ON_GROUND, SIZES, 4)
    assert found.overall == pytest.approx(0.63, abs=1e-9)
    assert found.overall_error == pytest.approx(0.085, abs=5e-4)
    assert found.areas[[0, 2]] == pytest.approx([0.35, 0.20], abs=1e-9)
    assert found.areas_error[[0, 2]] == pytest.approx([0.082, 0.064], abs=5e-4)
    assert found.users[[0, 1]] == pytest.approx([0.742, 0.574], abs=5e-4)
    assert found.users_error[[0, 1]] == pytest.approx([0.165, 0.125], abs=5e-4)
    assert found.producers[1] == pytest.approx(0.794, abs=5e-4)
    assert found.producers_error[1] == pytest.approx(0.117, abs=5e-4)
    assert found.proportions[1, 2] == pytest.approx(0.08, abs=1e-9)
    assert found.proportions.sum() == pytest.approx(1)


def test_the_two_agree_where_strata_are_the_classes() -> None:
    rows, cols = np.nonzero(TABLE_8)
    drawn = np.repeat(np.stack([rows, cols]), TABLE_8[rows, cols], axis=1)
    paper, general = olofsson(TABLE_8, MAPPED), stehman(drawn[0], drawn[0], drawn[1], MAPPED, 4)
    for name in ("overall", "users", "producers", "areas", "proportions"):
        np.testing.assert_allclose(getattr(general, name), getattr(paper, name), atol=1e-12)
    # The one corrects for a finite population, the other does not.
    for name in ("overall_error", "users_error", "producers_error", "areas_error"):
        np.testing.assert_allclose(getattr(general, name), getattr(paper, name), rtol=1e-3)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0.10, 0.02, 0.0], [0.03, 0.45, 0.05], [0.01, 0.04, 0.30]])
    sizes = truth.sum(1) * 1e6
    hits = np.zeros((2, 3))
    for _ in range(400):
        counts = np.array([rng.multinomial(250, row / row.sum()) for row in truth])
        found = olofsson(counts, sizes)
        hits[0] += np.abs(found.areas - truth.sum(0)) <= CONFIDENT * found.areas_error
        hits[1] += np.abs(found.producers - np.diag(truth) / truth.sum(0)) <= CONFIDENT * found.producers_error
    assert (hits / 400 > 0.90).all()
    assert (hits / 400 < 0.99).all()


def test_one_sample_in_a_stratum_has_no_standard_error() -> None:
    found = olofsson(np.array([[1, 0], [5, 95]]), np.array([10, 90]))
    assert found.overall == pytest.approx(0.1 + 0.9 * 0.95)
    assert np.isnan([found.overall_error, found.users_error[0]]).all()
    assert found.users_error[1] > 0
    general = stehman(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([10, 90]), 2)
    assert np.isnan(general.overall_error)


def test_a_stratum_of_one_pixel_that_was_sampled_takes_no_interval_away() -> None:
    counts, pixels = np.array([[40, 10, 0], [5, 95, 0], [0, 0, 1]]), np.array([40_000, 60_000, 1])
    found, without = olofsson(counts, pixels, pixels), olofsson(counts[:2, :2], pixels[:2])
    assert found.overall_error == pytest.approx(without.overall_error, rel=1e-4)
    assert found.producers_error[:2] == pytest.approx(without.producers_error, rel=1e-4)
    assert found.areas_error == pytest.approx([*without.areas_error, 0], rel=1e-4)
    assert found.users_error[2] == 0
    mapped, reference = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    general = stehman(mapped, mapped, reference, pixels, 3)
    assert general.overall_error == pytest.approx(found.overall_error, rel=1e-2)
    assert [general.users_error[2], general.areas_error[2]] == pytest.approx([0, 0], abs=1e-9)


def test_a_stratum_without_sample_is_refused() -> None:
    with pytest.raises(LabelError, match=r"strata \[1\] have no sample"):
        olofsson(np.array([[3, 1], [0, 0]]), np.array([10, 90]))
    with pytest.raises(LabelError, match=r"strata \[1\] have no sample"):
        stehman(np.array([0]), np.array([0]), np.array([0]), np.array([10, 90]), 2)


def test_a_class_that_the_map_does_not_have_needs_no_sample() -> None:
    found = olofsson(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]), np.array([40, 60, 0]))
    assert np.isnan([found.users[2], found.producers[2]]).all()
    assert found.areas[2] == found.areas_error[2] == 0
    assert found.overall_error > 0


def test_size_and_allocation_of_the_paper() -> None:
    """Olofsson et al. 2014, section 5: 641 samples; with 75 for each class of change, 165 and 325 for the rest."""
    assert sample_size(MAPPED, [0.7, 0.6, 0.9, 0.95], 0.01) == 641
    np.testing.assert_array_equal(allocate(MAPPED, 641, 75), [75, 75, 163, 328])
    np.testing.assert_array_equal(allocate([10, 1000, 0], 500, 50), [10, 490, 0])  # never more than there are
    assert allocate([1, 1, 10**6], 9, 50).tolist() == [1, 1, 7]
    assert allocate([10**4, 10**4, 10**6], 90, 50).tolist() == [30, 30, 30]  # too few for 50 each: all alike
    with pytest.raises(OptionError, match="3 samples are too few for 2 strata"):
        allocate([5, 5], 3)
    for wrong in ([0.0, 0.5, 0.5, 0.5], [1.0, 0.5, 0.5, 0.5]):
        with pytest.raises(OptionError, match="between 0 and 1"):
            sample_size(MAPPED, wrong, 0.01)
    with pytest.raises(OptionError, match="standard error"):
        sample_size(MAPPED, [0.7, 0.6, 0.9, 0.95], 0)
