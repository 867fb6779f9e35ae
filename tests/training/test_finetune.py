"""Going on from a model: bands and classes are matched by name."""

import logging

import pytest
import torch

import geoseg
from geoseg.chips.index import read_index
from geoseg.errors import BandMismatchError, ModelError, OptionError
from geoseg.model import load_model
from geoseg.training.job import prepare
from geoseg.training.options import Asked
from geoseg.training.team import Team
from training_chips import make_chips

TINY = {"arch_options": {"width": 4, "depth": 2}, "epochs": 1, "chips_per_epoch": 16, "batch_size": 8}


@pytest.fixture(scope="module")
def model(small_chips, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    geoseg.train(small_chips, path, **TINY)
    return path


def begun(chips, model, **options):
    """The index and the network as they are before the first step."""
    job = prepare(chips, Asked(begin_with=model, **options), Team())
    return job, job.task()[0].network.eval()


def test_permuted_bands_and_another_legend(model, tmp_path):
    names = [(3, "class 3"), (1, "moor"), (2, "class 2")]
    chips = make_chips(tmp_path, bands=("nir", "red", "green", "blue"), order=(3, 2, 1, 0), names=names, seed=1)
    job, network = begun(chips, model)
    old = load_model(model)
    legend = job.index.legend.names
    assert sorted(legend) == ["class 2", "class 3", "moor"]
    assert job.index.statistics.mean == old.spec.statistics.mean[::-1]
    assert job.settings.options == {"width": 4, "depth": 2}
    image = torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        ours, theirs = network(image.flip(1)), old.network(image)
    for name in ("class 2", "class 3"):
        # By the names of classes; sums over bands in another order differ by rounding.
        mine, other = ours[:, legend.index(name)], theirs[:, old.spec.legend.names.index(name)]
        assert torch.allclose(mine, other, atol=1e-4)
    result = geoseg.train(chips, tmp_path / "n.safetensors", begin_with=model, epochs=1, chips_per_epoch=16)
    assert result.architecture == "unet_compact"
    began = load_model(result.output).spec.training["began"]
    assert began["assumed"] == "classes begun by chance: moor"
    assert str(model) in (tmp_path / "n.md").read_text()


def test_the_same_chips_begin_where_the_model_ended(small_chips, model):
    job, network = begun(small_chips, model)
    assert job.index.statistics == load_model(model).spec.statistics
    for key, value in load_model(model).network.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


def test_bands_that_the_model_does_not_know_begin_as_asked(model, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    chips = make_chips(tmp_path, bands=("red", "swir1"), order=(2, 3))
    job, network = begun(chips, model, extra_bands="zero")
    assert job.index.statistics == read_index(chips).statistics
    first, old = network.body.down[0][0].weight, load_model(model).network.body.down[0][0].weight
    assert torch.equal(first[:, 0], old[:, 2])
    assert not first[:, 1].any()
    assert "do not know swir1" in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [({"arch": "segnet"}, "is unet_compact .* and not segnet"), ({"weights": "imagenet"}, "give one of them")],
)
def test_what_does_not_go_together(small_chips, model, tmp_path, options, says):
    with pytest.raises(OptionError, match=says):
        geoseg.train(small_chips, tmp_path / "n.safetensors", begin_with=model, **options)
    assert list(tmp_path.iterdir()) == []


def test_bands_that_have_nothing_in_common(model, tmp_path):
    chips = make_chips(tmp_path, bands=("vv", "vh", "hh", "hv"))
    with pytest.raises(BandMismatchError, match=r"vv, vh, hh, hv, and .* was trained on others: blue, green, red, nir"):
        begun(chips, model)


def test_a_file_that_is_no_model(small_chips, tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        geoseg.train(small_chips, tmp_path / "n.safetensors", begin_with=tmp_path / "gone.safetensors")
