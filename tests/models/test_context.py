"""Means that may be taken over something else than the window."""

import pytest
import torch

from geoseg.models import agreeing_reach, architectures, build, pooling
from geoseg.models._context import AreaPool, agreeing, global_pool, pooled_features
from small_networks import FORMS, small
from small_networks import agreeing as reaches_of


def test_those_that_can_say_so():
    assert set(pooling()) == {name for name in architectures() if global_pool(small(name)) is not None}
    assert {"parsenet", "pspnet", "deeplabv3", "deeplabv3plus"} <= set(pooling())


@pytest.mark.parametrize("name", pooling())
def test_their_reach_becomes_finite(name):
    reaches = reaches_of(name)
    # A chip of 64 pixels has 32 to each side of its middle.
    assert 0 < reaches["scene"] <= reaches["chip"] <= reaches["scene"] + 32 + small(name).stride


def test_what_sees_all_otherwise_stays_so():
    assert agreeing_reach("manet", 64, **FORMS["manet"]) == {}
    assert agreeing_reach("unet_compact", 64, width=8) == {}
    assert agreeing_reach("pspnet", 64, encoder="tu-test_efficientnet") == {}


@pytest.mark.parametrize("name", pooling())
def test_the_pass_ends_with_what_the_mean_is_taken_of(name):
    network = small(name).eval()
    pool, seen = global_pool(network), []
    pool.register_forward_hook(lambda module, given, mean: seen.append((given[0], mean)))
    image = torch.rand(2, 3, 97, 75)
    with torch.inference_mode():
        logits = network(image)
        features = pooled_features(network, image)
        assert torch.equal(network(image), logits)
    assert torch.equal(features, seen[0][0])
    assert torch.allclose(features.mean((2, 3)), seen[0][1][..., 0, 0], atol=1e-6)
    side = max(-(-97 // network.stride) * network.stride, network.min_size) // network.stride
    assert features.shape[-2] == side


@pytest.mark.parametrize("name", pooling())
def test_a_fixed_mean_equal_to_that_of_the_window_changes_little(name):
    """Of the single vector; the finer cells of a pyramid run, which is another thing between their middles."""
    network = small(name).eval()
    for module in network.modules():
        if isinstance(module, AreaPool) and module.cells > 1:
            module.register_forward_hook(lambda module, given, mean: torch.zeros_like(given[0]))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        logits = network(image)
        mean = pooled_features(network, image)[0].mean((1, 2))
        with agreeing(network, 64, mean):
            assert torch.allclose(network(image), logits, atol=1e-5)
        with agreeing(network, 64, mean + 1):
            assert not torch.allclose(network(image), logits, atol=1e-5)


def test_a_running_cell_has_its_own_mean_in_its_middle():
    features = torch.rand(1, 2, 27, 15, dtype=torch.float64)
    cells = AreaPool(3)
    shared = cells(features[..., :15, :])
    cells.side = 5
    running = cells(features)
    assert torch.allclose(running[..., 2:15:5, 2::5], shared)
    # At the edges it is the mean of what is there.
    assert torch.allclose(running[..., 0, 0], features[..., :3, :3].mean((2, 3)))


def test_it_is_no_weight():
    network = build("pspnet", 3, 4, **FORMS["pspnet"])
    before = network.state_dict().keys()
    with agreeing(network, 64, torch.ones(1)):
        assert network.state_dict().keys() == before
