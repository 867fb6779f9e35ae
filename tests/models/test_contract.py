"""What every architecture promises, for every file in the folder."""

import pytest
import torch

from geoseg.errors import OptionError
from geoseg.models import architectures, build
from geoseg.models._network import measure_reach

SMALL = {"unet": {"encoder": "resnet18"}, "pspnet": {"encoder": "resnet18"}, "unet_compact": {"width": 8}}
every = pytest.mark.parametrize("name", architectures())


def small(name, bands=3, classes=4, **options):
    torch.manual_seed(0)
    return build(name, bands, classes, **(SMALL.get(name, {}) | options))


def test_the_list_is_the_folder():
    assert set(architectures()) >= {"unet", "pspnet", "unet_compact"}
    assert not any(name.startswith("_") for name in architectures())


@every
@pytest.mark.parametrize("bands", [1, 3, 4, 13, 40])
def test_any_number_of_bands(name, bands):
    network = small(name, bands, 5).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, bands, 64, 64)).shape == (1, 5, 64, 64)


@every
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (64, 64), (97, 75)])
def test_any_size(name, size):
    network = small(name).eval()
    with torch.inference_mode():
        logits = network(torch.rand(2, 3, *size))
    assert logits.shape == (2, 4, *size)
    assert torch.isfinite(logits).all()


@every
def test_it_learns_from_every_weight(name):
    network = small(name).train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None]
    assert not without, "dead weights"


@every
def test_its_weights_survive_a_round_trip(name):
    network, other = small(name).eval(), small(name).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(network(image), other(image))


@every
def test_upsampling_does_not_depend_on_the_size(name):
    assert not [m for m in small(name).modules() if getattr(m, "align_corners", None)]


@every
def test_the_stride_is_honest(name):
    """Shifting a window by the stride shifts the output; a local network shows it exactly."""
    network = small(name).double().eval()
    if measure_reach(network, 3) is None:
        pytest.skip("it sees the whole window")
    image = torch.rand(1, 3, 64, 1024, dtype=torch.float64)
    shift = network.stride
    with torch.inference_mode():
        whole, part = network(image), network(image[..., shift:])
    middle = slice(448, 512)
    moved = slice(448 - shift, 512 - shift)
    assert torch.allclose(whole[..., middle], part[..., moved], atol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "reach"),
    [
        ("unet", {"encoder": "resnet18"}, 311),
        ("unet", {"encoder": "resnet18", "depth": 4}, 151),
        ("pspnet", {"encoder": "resnet18"}, None),
    ],
)
def test_reach(name, options, reach):
    """The figures of published impulse tests of these networks."""
    assert measure_reach(build(name, 3, 2, **options), 3) == reach


def test_the_reach_is_what_an_impulse_shows():
    network = small("unet_compact").double().eval()
    reach = measure_reach(network, 3)
    image = torch.rand(1, 3, 16, 512, dtype=torch.float64)
    touched = image.clone()
    touched[..., 256] += 5
    with torch.inference_mode():
        changed = (network(image) != network(touched)).any(1)[0].any(0).nonzero()
    assert 256 - reach <= int(changed.min())
    assert int(changed.max()) <= 256 + reach
    assert reach - 8 <= int(changed.max()) - 256


def test_canonical_pspnet_has_the_parameters_of_the_paper():
    network = build("pspnet", 3, 21, encoder="resnet50")
    assert sum(p.numel() for p in network.parameters()) == 29_900_885


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("unett", {}, "did you mean 'unet'"),
        ("unet", {"encodr": "resnet18"}, "did you mean 'encoder'"),
        ("unet", {"encoder": "resnet19"}, "did you mean 'resnet18'|did you mean 'resnet1"),
        ("unet", {"encoder": "tu-nothing"}, "no encoder 'tu-nothing'"),
        ("unet", {"encoder": "tu-vit_tiny_patch16_224"}, "cannot take the encoder"),
        ("unet", {"depth": 9}, "3, 4 or 5"),
        ("pspnet", {"encoder": "vgg11"}, "dilate"),
        ("unet_compact", {"depth": 0}, "1 to 5"),
    ],
)
def test_what_cannot_be_built_is_said(name, options, says):
    with pytest.raises(OptionError, match=says):
        build(name, 3, 2, **options)


@pytest.mark.parametrize(("bands", "classes"), [(0, 2), (3, 1)])
def test_counts_that_cannot_be(bands, classes):
    with pytest.raises(OptionError):
        build("unet_compact", bands, classes)
