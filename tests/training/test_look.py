import numpy as np
import pytest
import torch
from torch import nn

from geoseg.errors import OptionError
from geoseg.models._network import SegmentationNetwork
from geoseg.training.look import measured_margin


def chips(count=3, side=48):
    return np.random.default_rng(0).normal(size=(count, 2, side, side)).astype(np.float32)


def local(size, classes=4):
    """Class scores that look `size // 2` pixels far."""
    torch.manual_seed(0)
    body = nn.Conv2d(2, classes, size, padding=size // 2)
    return SegmentationNetwork(body, stride=1)


class MeanOfAll(nn.Module):
    def forward(self, image):
        return image - 0.9 * image.mean((2, 3), keepdim=True)


def test_a_network_of_single_pixels_needs_no_margin():
    look = measured_margin(local(1), chips(), reach=0)
    assert look.margin == 0
    assert measured_margin(local(1), chips()).margin == 0


@pytest.mark.parametrize("size", [5, 21])
def test_the_margin_is_more_than_nothing_and_no_more_than_the_reach(size):
    look = measured_margin(local(size), chips(), reach=size // 2)
    assert 0 < look.margin <= size // 2
    assert look.shares[0] > 0.01
    assert all(share == 0 for depth, share in zip(look.depths, look.shares, strict=True) if depth - 8 >= size // 2)


def test_without_its_reach_a_network_is_found_to_be_local():
    look = measured_margin(local(21), chips())
    assert 8 <= look.margin <= 16


def test_a_larger_share_needs_no_larger_margin():
    margins = [measured_margin(local(21), chips(), share=share).margin for share in (1e-4, 1e-2, 0.5)]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] == 0


def test_a_network_that_sees_all_has_a_margin_within_a_quarter_of_the_window():
    look = measured_margin(SegmentationNetwork(MeanOfAll(), stride=8, sees_all=True), chips())
    assert 0 <= look.margin <= 104


def test_the_same_chips_give_the_same_look_and_the_network_stays_as_it_was():
    network = local(5).train()
    assert measured_margin(network, chips()) == measured_margin(network, chips())
    assert network.training


def test_no_chips_are_refused():
    with pytest.raises(OptionError, match="no chips"):
        measured_margin(local(5), chips(0))
