import itertools

import numpy as np
import pytest

from geoseg.chips.sampling import ClassBalancedSampler, Draw, InOrder


def counts_of(chips: int = 100) -> np.ndarray:
    """One class everywhere, one in chip 7 only, one nowhere."""
    counts = np.zeros((chips, 3), np.int64)
    counts[:, 0] = 1000
    counts[7, 1] = 10
    return counts


def test_half_of_the_draws_is_for_a_class_drawn_evenly():
    draws = list(ClassBalancedSampler(counts_of(), 4000, seed=0))
    targets = [draw.target for draw in draws]
    assert targets.count(None) / 4000 == pytest.approx(0.5, abs=0.03)
    assert targets.count(1) / 4000 == pytest.approx(0.25, abs=0.03)
    assert targets.count(2) == 0
    assert {draw.chip for draw in draws if draw.target == 1} == {7}
    assert {draw.chip for draw in draws} == set(range(100))


def test_the_other_half_is_uniform_over_labelled_pixels():
    counts = np.array([[900, 0], [90, 10], [0, 0]])
    chips = [draw.chip for draw in ClassBalancedSampler(counts, 4000, seed=1) if draw.target is None]
    assert np.bincount(chips, minlength=3) / len(chips) == pytest.approx([0.9, 0.1, 0], abs=0.02)


def test_epochs_differ_and_can_be_repeated():
    sampler = ClassBalancedSampler(counts_of(), 50, seed=0)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert not set(first) & set(sampler)
    assert len(sampler) == 50
    assert not set(first) & set(ClassBalancedSampler(counts_of(), 50, seed=1))


@pytest.mark.parametrize("start", [0, 1, 13, 32, 50])
def test_what_goes_on_draws_what_it_would_have_drawn(start):
    sampler = ClassBalancedSampler(counts_of(), 50, seed=0)
    sampler.set_epoch(3)
    whole = list(sampler)
    again = ClassBalancedSampler(counts_of(), 50, seed=0)
    again.resume(3, start)
    again.set_epoch(3)
    assert list(again) == whole[start:]
    assert len(again) == 50 - start
    again.set_epoch(4)
    assert len(again) == 50


@pytest.mark.parametrize("start", [0, 5, 6])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_together_draw_what_one_would(world, start):
    whole = list(ClassBalancedSampler(counts_of(), 60, seed=0))[start:]
    parts = []
    for rank in range(world):
        sampler = ClassBalancedSampler(counts_of(), 60, seed=0, rank=rank, world=world)
        sampler.resume(0, start)
        assert len(sampler) == len(list(sampler))
        parts.append(list(sampler))
    assert sorted(itertools.chain(*parts), key=whole.index) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_in_order_takes_every_chip_once():
    chips = "abcde"
    assert list(InOrder(chips)) == [Draw(number) for number in range(5)]
    parts = [list(InOrder(chips, rank=rank, world=2)) for rank in range(2)]
    assert [[draw.chip for draw in part] for part in parts] == [[0, 2, 4], [1, 3]]
    assert len(InOrder(chips, rank=1, world=2)) == 2
