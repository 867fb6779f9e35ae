"""Chips that several files of tests train on."""

import pytest
import torch

from training_chips import make_chips


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Chips this small are not worth sharing out, and on a busy machine two threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_chips(tmp_path_factory):
    """Chips of 32 pixels with four bands and three classes."""
    return make_chips(tmp_path_factory.mktemp("small"))
