"""Chips that several files of tests train on."""

import pytest

from training_chips import make_chips


@pytest.fixture(scope="session")
def small_chips(tmp_path_factory):
    """Chips of 32 pixels with four bands and three classes."""
    return make_chips(tmp_path_factory.mktemp("small"))
