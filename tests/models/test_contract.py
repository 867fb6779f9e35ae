"""What every architecture promises, for every file in the folder."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from geoseg import registry
from geoseg.errors import OptionError
from geoseg.grid import round_up
from geoseg.models import _network, architectures, build, reach
from geoseg.models._about import About
from geoseg.models._inner import inner
from geoseg.models._network import measure_reach
from small_networks import FORMS, small

every = pytest.mark.parametrize("name", sorted({*architectures(), *FORMS}))


def context(name):
    return "local" if name == "segformer on resnet" else about(name).context


@functools.cache
def measured_reach(name):
    """Of the small form, whatever it says of itself."""
    network = small(name)
    network.sees_all = False
    return measure_reach(network, 3, (1280,) if context(name) == "global" else (320, 1280))


def about(name):
    return registry.load("geoseg.models", name.split()[0]).ABOUT


def test_the_list_is_the_folder():
    assert set(architectures()) >= {"unet", "pspnet", "unet_compact"}
    assert not any(name.startswith("_") for name in architectures())


@every
def test_it_says_what_it_is(name):
    assert isinstance(about(name), About)
    assert about(name).paper


@every
@pytest.mark.parametrize("bands", [1, 3, 4, 13, 200])
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
    network(torch.rand(2, 3, 97, 75)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, "dead weights"
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@every
def test_half_precision_is_close(name):
    network = small(name).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        full = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(image)
    assert (half.float() - full).abs().mean() < 0.1 * full.abs().mean() + 0.01


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
def test_the_order_of_the_bands_is_only_that_of_the_first_weights(name):
    bands = 11
    network = small(name, bands).eval()
    image, order = torch.rand(1, bands, 48, 48), torch.randperm(bands)
    with torch.inference_mode():
        before = network(image)
        first = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == bands]
        for convolution in first:
            convolution.weight.copy_(convolution.weight[:, order])
        after = network(image[:, order])
    assert first
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))


class Interpolations(TorchFunctionMode):
    """Notes what is interpolated with corners aligned, also by functions."""

    def __init__(self):
        super().__init__()
        self.aligned = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.aligned += function is F.interpolate and bool((kwargs or {}).get("align_corners"))
        return function(*args, **(kwargs or {}))


@every
def test_upsampling_does_not_depend_on_the_size(name):
    network = small(name).eval()
    with torch.inference_mode(), Interpolations() as seen:
        network(torch.rand(1, 3, 64, 64))
    assert not seen.aligned


@every
def test_the_stride_is_honest(name):
    """Shifting a window by the stride shifts the output; a local network shows it exactly."""
    network = small(name).double().eval()
    reach = measured_reach(name)
    if reach is None:
        pytest.skip("it sees the whole window")
    shift = network.stride
    start = round_up(reach + shift, shift)
    image = torch.rand(1, 3, shift, 2 * start + 64, dtype=torch.float64)
    with torch.inference_mode():
        whole, part = network(image), network(image[..., shift:])
    middle = slice(start, start + 64)
    moved = slice(start - shift, start + 64 - shift)
    assert whole[..., middle].std() > 0
    assert torch.allclose(whole[..., middle], part[..., moved], rtol=1e-9, atol=1e-9)


@every
def test_its_context_is_what_it_says(name):
    assert (measured_reach(name) is None) == (context(name) == "global")


@every
def test_the_reach_is_what_an_impulse_shows(name):
    """On an opened network without biases an impulse in nothing goes exactly as far as it ever can."""
    shallow = {"depth": 3} if name in ("unet", "unetplusplus", "linknet") else {"kernel": 3} if name == "gcn" else {}
    network = small(name, **shallow).eval()
    if context(name) == "global" or name == "refinenet":
        pytest.skip("it sees the whole window, or nearly")
    reach = measure_reach(network, 3)
    probe = copy.deepcopy(network).double()
    _network._make_transparent(probe)
    _network._open_pools(probe)
    stride = network.stride
    start = round_up(reach, stride) + stride
    columns = torch.arange(start, start + stride)
    image = torch.zeros(stride, 3, stride, 2 * start + stride, dtype=torch.float64)
    image[torch.arange(stride), :, :, columns] = 1
    with torch.inference_mode():
        touched = [logits.any(0).any(0).nonzero()[:, 0] for logits in probe(image)]
    far = max(int((places - column).abs().max()) for places, column in zip(touched, columns, strict=True))
    assert far == reach


@pytest.mark.parametrize("name", ["segnet", "unet_compact", "gcn", "deeplabv3"])
def test_the_reach_does_not_depend_on_the_channels(name):
    options = FORMS[name] | ({"width": 16} if "width" in FORMS[name] else {"channels": 9})
    assert reach(name, **options) == measured_reach(name)


@every
def test_no_impulse_goes_beyond_the_reach(name):
    network = small(name).double().eval()
    reach = measured_reach(name)
    if reach is None or reach > 500:
        pytest.skip("it sees the whole window, or nearly")
    image = torch.rand(1, 3, network.stride, 1024, dtype=torch.float64)
    touched = image.clone()
    touched[..., 512] += 5
    with torch.inference_mode():
        changed = (network(image) != network(touched)).any(1)[0].any(0).nonzero()
    assert 512 - reach <= int(changed.min())
    assert int(changed.max()) <= 512 + reach


@every
@pytest.mark.parametrize("chip", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_what_it_agrees_to_learn_from_it_can(name, chip, batch):
    network = small(name).train()
    size = chip * network.min_size
    try:
        network.require_trainable(name, size, batch)
    except OptionError as error:
        assert batch == 1
        assert "--batch-size 2" in str(error)
    else:
        network(torch.rand(batch, 3, size, size)).sum().backward()


@every
def test_what_it_cannot_learn_from_it_refuses(name):
    network = small(name).train()
    with pytest.raises(OptionError, match=f"--chip-size {network.min_size}"):
        network.require_trainable(name, network.min_size - 1, 4)
    if network.min_batch == 2:
        with pytest.raises(ValueError, match="more than 1 value"):
            network(torch.rand(1, 3, 128, 128))


@pytest.mark.parametrize(
    ("name", "options", "pixels"),
    [
        ("unet", {"encoder": "resnet18", "depth": 4}, 151),
        ("linknet", {"encoder": "resnet18"}, 279),
        ("segformer", {"encoder": "resnet18"}, 266),
        ("segnet", {"encoder": "vgg16_bn", "width": 4}, 211),
        ("fcn32s", {"encoder": "vgg16", "width": 4}, 233),
        ("fcn8s", {"encoder": "vgg16", "width": 4}, 245),
        ("deeplabv1", {"encoder": "vgg16", "width": 4}, 228),
        ("deeplabv2", {"encoder": "vgg16", "width": 4}, 324),
        ("unet_classic", {"width": 4}, 107),
        ("unet_classic", {"width": 4, "padding": "valid"}, 107),
        ("pspnet", {"encoder": "resnet18"}, None),
        pytest.param("unet", {"encoder": "resnet18"}, 311, marks=pytest.mark.slow),
        pytest.param("unetplusplus", {"encoder": "resnet18"}, 311, marks=pytest.mark.slow),
    ],
)
def test_reach(name, options, pixels):
    """Of the networks of the papers; on encoders of smp equal to published impulse tests."""
    assert measure_reach(build(name, 3, 2, **options), 3) == pixels


@every
def test_an_inner_part_is_that_of_the_whole(name):
    network = small(name).eval()
    # Three strides leave out more in a decoder's first steps than one does; what is merely cut needs less.
    margin = (3 if name.startswith("unet") else 1) * network.stride
    part = inner(network, margin, 3)
    image = torch.rand(1, 3, 2 * margin + 5, 2 * margin + network.stride + 5)
    with torch.inference_mode():
        expected = network(image)[..., margin:-margin, margin:-margin]
        assert torch.allclose(part(image), expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["unet", "unet_compact"])
def test_a_decoder_follows_the_inner_part(name):
    network = small(name).eval()
    assert not isinstance(inner(network, 2 * network.stride, 3).body, nn.Sequential)


def test_a_decoder_that_looks_around_is_run_whole():
    network = small("unet").eval()
    network.body.decoder.blocks[-1].register_forward_hook(lambda _, __, output: output - output.mean((2, 3), True))
    part = inner(network, 64, 3)
    image = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(part(image), network(image)[..., 64:-64, 64:-64], atol=1e-5)
