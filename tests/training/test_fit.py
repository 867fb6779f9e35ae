import csv
import json

import numpy as np
import pytest
import torch

import geoseg
from conftest import striped
from geoseg.chips.dataset import labelled_pixels
from geoseg.chips.index import read_index
from geoseg.errors import ChipError, ModelError, OptionError, OutputExistsError
from geoseg.model import load_model
from geoseg.models import build
from geoseg.training.begin import Begin
from geoseg.training.class_weights import balancing_weights
from geoseg.training.options import Asked
from geoseg.training.schedule import Schedule
from geoseg.training.settings import choose
from geoseg.training.task import Best
from geoseg.training.team import Team
from training_chips import make_chips

QUICK = {"epochs": 2, "chips_per_epoch": 16, "batch_size": 8}


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    import rasterio

    from conftest import CORNER, UTM

    folder = tmp_path_factory.mktemp("training")
    values, classes = striped(240, 260)
    for name, array, bands in (("scene", values, ("blue", "green", "red", "nir")), ("labels", classes[None], ("c",))):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=len(array), height=240, width=260, dtype=array.dtype,
            crs=UTM, transform=CORNER, nodata=0, photometric="minisblack",
        ) as dataset:  # fmt: skip
            dataset.write(array)
            dataset.descriptions = bands
    geoseg.tile(folder / "scene.tif", folder / "labels.tif", folder / "chips", chip_size=32, nodata_rule="all")
    return folder / "chips"


def test_it_learns_and_leaves_a_model_that_describes_itself(chips, tmp_path):
    result = geoseg.train(chips, tmp_path / "m.safetensors", epochs=4, chips_per_epoch=64, batch_size=8)
    assert result.mean_iou > 0.9
    model = load_model(tmp_path / "m.safetensors")
    index = read_index(chips)
    assert model.spec.bands == index.bands
    assert model.spec.statistics == index.statistics
    assert model.spec.legend == index.legend
    assert model.spec.ground_sample_distance == pytest.approx(10)
    assert model.spec.reach == 58
    assert model.spec.training["validation"]["mean_iou"] == result.mean_iou
    assert model.spec.training["tiling"]["gap"] == 8
    assert model.spec.nodata_rule == "all"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "m.confusion.csv", "m.curves.png", "m.md", "m.metrics.csv", "m.safetensors",
    ]  # fmt: skip
    card = (tmp_path / "m.md").read_text()
    assert "blue, green, red, nir" in card
    with (tmp_path / "m.metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert float(rows[result.best_epoch - 1]["val_miou"]) == result.mean_iou


def test_the_same_seed_gives_the_same_weights(chips, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        geoseg.train(chips, tmp_path / f"{name}.safetensors", seed=seed, **QUICK)
    a, b, c = (load_model(tmp_path / f"{n}.safetensors").network.state_dict() for n in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_readers_in_other_processes_change_nothing(chips, tmp_path):
    for jobs in (0, 2):
        geoseg.train(chips, tmp_path / f"{jobs}.safetensors", jobs=jobs, **QUICK)
    a, b = (load_model(tmp_path / f"{n}.safetensors").network.state_dict() for n in (0, 2))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "options",
    [
        {"arch": "unet", "encoder": "tu-test_resnet", "depth": 3},
        {"arch": "deeplabv3", "encoder": "tu-test_resnet"},
        {"arch": "segnet", "encoder": "vgg11_bn", "depth": 2, "loss": "focal(gamma=1)+lovasz:0.5"},
    ],
)
def test_other_architectures(chips, tmp_path, options):
    geoseg.train(chips, tmp_path / "m.safetensors", epochs=1, chips_per_epoch=8, batch_size=4, **options)
    spec = load_model(tmp_path / "m.safetensors").spec
    assert spec.architecture == options["arch"]
    assert spec.context == ("global" if options["arch"] == "deeplabv3" else "local")


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_of_very_few_steps(chips, tmp_path, epochs):
    result = geoseg.train(chips, tmp_path / "m.safetensors", epochs=epochs, chips_per_epoch=5, batch_size=8)
    assert result.epochs == epochs


def test_batches_are_whole(chips):
    index = read_index(chips)
    for draws in (None, 1, 17, 32):
        settings = choose(index, Asked(chips_per_epoch=draws), Begin(), "cpu", Team())
        assert settings.chips_per_epoch % settings.batch_size == 0
        assert settings.chips_per_epoch >= (draws or 1)


def test_without_validation_the_last_epoch_is_kept(labelled_scene, tmp_path):
    geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32, split=(0.8, 0, 0.2))
    result = geoseg.train(tmp_path / "c", tmp_path / "m.safetensors", **QUICK)
    assert result.best_epoch == 2
    assert np.isnan(result.mean_iou)
    assert "no validation chips" in (tmp_path / "m.md").read_text()


def test_it_stops_when_it_gets_no_better(chips, tmp_path):
    result = geoseg.train(chips, tmp_path / "m.safetensors", epochs=12, chips_per_epoch=8, batch_size=8, lr=1e-7,
                          patience=1)  # fmt: skip
    assert result.epochs < 12


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_it_trains_on_a_gpu(chips, tmp_path):
    result = geoseg.train(chips, tmp_path / "m.safetensors", epochs=4, chips_per_epoch=64, batch_size=8, device="cuda")
    assert result.mean_iou > 0.9


def test_it_begins_with_weights_of_a_file(chips, tmp_path, caplog):
    from safetensors.torch import save_file

    torch.manual_seed(3)
    trained = build("unet", 3, 2, encoder="resnet18", depth=3).body.encoder.state_dict()
    save_file(trained, tmp_path / "w.safetensors")
    geoseg.train(chips, tmp_path / "m.safetensors", encoder="resnet18", depth=3, weights=tmp_path / "w.safetensors",
                 lr=1e-6, **QUICK)  # fmt: skip
    model = load_model(tmp_path / "m.safetensors")
    assert model.spec.architecture == "unet"
    began = model.spec.training["began"]
    assert began["bands"] == ["red", "green", "blue"]
    assert began["assumed"] == "the weights do not know nir"
    assert "do not know nir" in caplog.text
    # Blue, green, red, nir, and hardly any step since.
    learned = model.network.body.encoder.conv1.weight
    assert torch.allclose(learned[:, 0], trained["conv1.weight"][:, 2] * 3 / 4, atol=1e-3)
    assert torch.allclose(
        model.network.body.encoder.layer1[0].conv1.weight, trained["layer1.0.conv1.weight"], atol=1e-3
    )
    assert "w.safetensors" in (tmp_path / "m.md").read_text()


def test_weights_that_do_not_fit_leave_nothing(chips, tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "out"
    folder.mkdir()
    save_file({"some.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="not weights of resnet18"):
        geoseg.train(chips, folder / "m.safetensors", encoder="resnet18", weights=tmp_path / "w.safetensors")
    assert list(folder.iterdir()) == []


def test_reduced_bands_go_through_the_model_file(chips, tmp_path):
    geoseg.train(chips, tmp_path / "m.safetensors", reduce_bands=2, lr=1e-6, **QUICK)
    model = load_model(tmp_path / "m.safetensors")
    assert model.spec.options == {"reduce_bands": 2}
    assert model.spec.reach == 58
    pixels, _ = labelled_pixels(read_index(chips), "train")
    components = pixels.astype(float) @ model.network.body.reducer.weight[:, :, 0, 0].detach().double().numpy().T
    assert components.var(0)[0] == pytest.approx(1, abs=0.01)
    assert components.var(0)[1] < components.var(0)[0]
    assert np.abs(np.cov(components.T)[0, 1]) < 0.01


def test_class_weights_of_a_table(chips, tmp_path):
    names = read_index(chips).legend.names
    (tmp_path / "w.json").write_text(json.dumps(dict.fromkeys(names, 1.0)))
    geoseg.train(chips, tmp_path / "table.safetensors", class_weights=str(tmp_path / "w.json"), **QUICK)
    geoseg.train(chips, tmp_path / "none.safetensors", class_weights="none", **QUICK)
    a, b = (load_model(tmp_path / f"{name}.safetensors").network.state_dict() for name in ("table", "none"))
    assert all(torch.allclose(a[key].float(), b[key].float(), atol=1e-4) for key in a)


class TestBadInput:
    def test_output_exists(self, chips, tmp_path):
        (tmp_path / "m.md").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"m\.md"):
            geoseg.train(chips, tmp_path / "m.safetensors", **QUICK)

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"arch": "unet_compct"}, "did you mean 'unet_compact'"),
            ({"encoder": "resnet18"}, "unet_compact has no option 'encoder'"),
            ({"arch": "segnet", "encoder": "resnet18"}, "max pooling"),
            ({"arch": "pspnet", "encoder": "vgg11"}, "dilate"),
            ({"arch": "pan"}, "pan needs chips of 128 pixels or more and these have 32"),
            ({"arch": "deeplabv3", "batch_size": 1}, "--batch-size 2"),
            ({"arch": "unet", "batch_size": 1}, "--batch-size 2"),
            ({"loss": "focal(gamma=-1)"}, "gamma of loss 'focal'"),
            ({"loss": "dise"}, "did you mean 'dice'"),
            ({"class_weights": "some"}, "class_weights"),
            ({"weights": "imagenot"}, "imagenet or a file"),
            ({"weights": "imagenet", "arch": "unet_compact"}, "no encoder"),
            ({"weights": "imagenet", "arch": "unet", "reduce_bands": 2}, "no names"),
            ({"weight_bands": "rgb"}, "nothing without --weights"),
            ({"extra_bands": "zero"}, "nothing without --weights"),
            ({"reduce_bands": 4}, "there are 4 bands"),
            ({"precision": "16"}, "precision"),
            ({"precision": "8"}, "precision"),
            ({"epochs": 0}, "epochs is 0"),
            ({"accumulate": 0}, "accumulate is 0"),
            ({"encoder_lr": 2.0}, "encoder_lr is 2"),
            ({"optimizer": "adam"}, "adamw, sgd"),
            ({"schedule": "linear"}, "one-cycle, poly, cosine"),
            ({"clip": -1.0}, "clip is -1"),
            ({"max_time": "soon"}, "30m, 1h30m or 90s"),
            ({"devices": 4}, "this machine has 0 CUDA devices; take --devices 1, or --device cpu"),
            ({"num_nodes": 2}, "where they meet"),
            ({"arch_options": {"widht": 8}}, "did you mean 'width'"),
            ({"arch_options": {"width": "wide"}}, "width is 'wide'; it must be a whole number"),
            ({"arch_options": {"depth": 2}, "depth": 3}, "say the same"),
            ({"arch": "unet_classic", "arch_options": {"padding": "some"}}, "it must be same or valid"),
            ({"lr": 0.0}, "lr is 0"),
            ({"seed": -1}, "seed is -1"),
            ({"device": "tpu"}, "device is 'tpu'"),
            ({"device": "cuda:99"}, "CUDA devices"),
        ],
    )
    def test_settings_that_cannot_be(self, chips, tmp_path, wrong, says):
        with pytest.raises(OptionError, match=says):
            geoseg.train(chips, tmp_path / "m.safetensors", **wrong)
        assert list(tmp_path.iterdir()) == []

    def test_a_class_without_a_pixel_is_named(self, tmp_path):
        names = [(1, "forest"), (2, "water"), (3, "moor"), (4, "ice"), (5, "sand")]
        cut = make_chips(tmp_path, names=names)
        with pytest.raises(ChipError, match=r"no training chip has a pixel of ice, sand; .* --allow-missing"):
            geoseg.train(cut, tmp_path / "m.safetensors", **QUICK)
        tiny = {"epochs": 1, "chips_per_epoch": 4, "batch_size": 4, "arch_options": {"width": 4}}
        geoseg.train(cut, tmp_path / "m.safetensors", allow_missing=True, **tiny)
        assert len(load_model(tmp_path / "m.safetensors").spec.legend) == 5

    def test_other_extensions(self, chips, tmp_path):
        with pytest.raises(OptionError, match=r"\.safetensors"):
            geoseg.train(chips, tmp_path / "m.pth")

    def test_no_chips(self, tmp_path):
        with pytest.raises(ChipError, match="geoseg tile"):
            geoseg.train(tmp_path, tmp_path / "m.safetensors")

    def test_chips_that_are_gone(self, labelled_scene, tmp_path):
        geoseg.tile(*labelled_scene, tmp_path / "c", chip_size=32)
        image = read_index(tmp_path / "c").frame["image"].iloc[0]
        (tmp_path / "c" / image).unlink()
        with pytest.raises(ChipError, match="is gone"):
            geoseg.train(tmp_path / "c", tmp_path / "m.safetensors", **QUICK)

    def test_one_class(self, write_scene, tmp_path):
        values, classes = striped(200, 200)
        scene, labels = write_scene(values), write_scene(np.minimum(classes, 1)[None], "l.tif", nodata=0)
        geoseg.tile(scene, labels, tmp_path / "c", chip_size=32)
        with pytest.raises(ChipError, match="the one class"):
            geoseg.train(tmp_path / "c", tmp_path / "m.safetensors", **QUICK)

    def test_a_loss_that_is_not_finite(self, chips, tmp_path):
        with pytest.raises(ModelError, match="diverged"):
            geoseg.train(chips, tmp_path / "m.safetensors", loss="ce:3.4e38+dice:3.4e38", **QUICK)
        assert list(tmp_path.iterdir()) == []


def test_weights_balance_classes_as_far_as_asked():
    pixels = np.array([900, 90, 0, 10])
    for power in (0.0, 0.25, 0.5, 1.0):
        weights = balancing_weights(pixels, power).numpy()
        assert (weights * pixels).sum() / pixels.sum() == pytest.approx(1)
        assert weights[2] == 0
        assert weights[1] / weights[0] == pytest.approx(10**power, rel=1e-4)


def test_the_best_is_the_best_and_of_equals_the_later():
    from geoseg.confusion import Accuracy

    good, bad = Accuracy(np.eye(2, dtype=int)), Accuracy(np.ones((2, 2), int))
    none = Accuracy(np.zeros((2, 2), int))
    assert Best(2, bad, 0.1, {}, is_late=True).is_worse_than(Best(1, good, 0.5, {}, is_late=True))
    assert Best(2, good, 0.9, {}, is_late=True).is_worse_than(Best(1, good, 0.5, {}, is_late=True))
    assert not Best(2, good, 0.5, {}, is_late=True).is_worse_than(Best(1, good, 0.5, {}, is_late=True))
    assert not Best(2, none, float("nan"), {}, is_late=True).is_worse_than(
        Best(1, none, float("nan"), {}, is_late=True)
    )
    # What was matched early, at a high rate, gives way to the first of the second half.
    assert Best(1, good, 0.5, {}, is_late=False).is_worse_than(Best(7, bad, 0.9, {}, is_late=True))
    assert not Best(7, bad, 0.9, {}, is_late=True).is_worse_than(Best(1, good, 0.5, {}, is_late=False))


def test_the_average_follows_the_length_of_the_training():
    assert Schedule(steps=240).average_decay == pytest.approx(0.979, abs=0.001)
    assert Schedule(steps=100_000).average_decay == 0.999
    assert Schedule(steps=3).average_decay == 0.5


def test_training_leaves_the_random_state_of_others_alone(chips, tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    geoseg.train(chips, tmp_path / "m.safetensors", **QUICK)
    assert torch.equal(torch.rand(3), expected)
