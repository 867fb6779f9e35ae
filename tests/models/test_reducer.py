import numpy as np
import pytest
import torch

from geoseg import models
from geoseg.errors import OptionError
from geoseg.models import build
from geoseg.models._reducer import BandReducer


def spectra(count=500, bands=40, sources=3, seed=0):
    """Pixels whose bands are mixtures of a few sources of falling strength, off centre."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=(count, sources)) * 5.0 ** -np.arange(sources)
    return strength @ rng.normal(size=(sources, bands)) + 0.001 * rng.normal(size=(count, bands)) + 3


def reduced(reducer, pixels):
    image = torch.from_numpy(pixels.astype(np.float32)).T[None, :, :, None]
    return reducer(image)[0, :, :, 0].T.detach().numpy()


def test_it_begins_as_principal_components():
    pixels = spectra()
    reducer = BandReducer(40, 5)
    reducer.begin_as_components(pixels)
    out = reduced(reducer, pixels)
    assert np.abs(out.mean(0)).max() < 1e-4
    variances = out.var(0)
    assert (np.diff(variances) <= 1e-9).all()
    assert variances[0] == pytest.approx(1, rel=1e-3)
    covariance = np.cov(out.T) - np.diag(np.diag(np.cov(out.T)))
    assert np.abs(covariance).max() < 1e-3
    expected = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False)[:5] ** 2
    assert variances[:3] / variances[0] == pytest.approx(expected[:3] / expected[0], rel=1e-3)


def test_the_components_rebuild_the_spectra():
    pixels = spectra()
    reducer = BandReducer(40, 3)
    reducer.begin_as_components(pixels)
    out, weight = reduced(reducer, pixels), reducer.weight[:, :, 0, 0].detach().numpy()
    rebuilt = out @ np.linalg.pinv(weight).T + pixels.mean(0)
    assert np.abs(rebuilt - pixels).max() < 0.01


@pytest.mark.parametrize("pixels", [np.ones((10, 40)), spectra(count=2), np.zeros((1, 40))])
def test_pixels_without_differences_give_finite_weights(pixels):
    reducer = BandReducer(40, 6)
    reducer.begin_as_components(pixels)
    assert all(parameter.isfinite().all() for parameter in reducer.parameters())


@pytest.mark.parametrize("name", ["unet_compact", "segnet"])
def test_a_network_learns_through_it(name):
    options = {"encoder": "vgg11_bn", "width": 4} if name == "segnet" else {"width": 8}
    network = build(name, 50, 4, reduce_bands=6, **options)
    logits = network(torch.randn(2, 50, 37, 45))
    assert logits.shape == (2, 4, 37, 45)
    logits.square().sum().backward()
    assert network.body.reducer.weight.grad.abs().sum() > 0
    other = build(name, 50, 4, reduce_bands=6, **options)
    other.load_state_dict(network.state_dict())
    assert models.reach(name, reduce_bands=6, **options) == models.reach(name, **options)


@pytest.mark.parametrize("count", [0, 50, 51])
def test_numbers_that_cannot_be(count):
    with pytest.raises(OptionError, match="50 bands"):
        build("unet_compact", 50, 4, reduce_bands=count)
