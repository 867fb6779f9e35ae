"""How much memory windows may take."""

from geoseg.prediction.budget import LEAST, OF_A_GPU, for_windows


def test_what_is_given_is_shared_by_the_processes():
    assert for_windows(20_000_000_000) > 19_000_000_000 - 2_000_000_000
    assert for_windows(20_000_000_000, 2) < 10_000_000_000


def test_there_is_something_even_where_nothing_was_said_and_little_is_left():
    assert for_windows(None, 10**6) == LEAST


def test_windows_fit_into_the_gpu_they_go_through():
    assert for_windows(20_000_000_000, room=1_000_000_000) == OF_A_GPU * 1_000_000_000
    assert for_windows(None, room=100_000_000) == OF_A_GPU * 100_000_000
    assert for_windows(None, room=10**15) <= for_windows(None, room=None) + 200_000_000
