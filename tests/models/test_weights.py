"""Weights that were trained before: files made here, and what is refused."""

import json
import os
import pickle
import socket
import struct
import time

import pytest
import torch
from safetensors.torch import save_file

from geoseg.errors import ModelError, OptionError
from geoseg.models import build
from geoseg.models._first_layer import adapt, match
from geoseg.models._roles import SETS, roles
from geoseg.models._weights import load_encoder

RGB = ("red", "green", "blue")
RESNET = "resnet18"


def encoder_weights(bands=3, encoder=RESNET, seed=1):
    """A state dict as torchvision and TorchGeo leave them, with a classifier."""
    torch.manual_seed(seed)
    body = build("unet", bands, 2, encoder=encoder).body
    state = {key.removeprefix("model."): value.clone() for key, value in body.encoder.state_dict().items()}
    return state | {"fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)}


@pytest.fixture(scope="module")
def rgb():
    return encoder_weights()


@pytest.fixture
def save(tmp_path):
    def write(state, name="w.safetensors"):
        path = tmp_path / name
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        return path

    return write


def unet(bands, encoder=RESNET, **options):
    torch.manual_seed(5)
    return build("unet", bands, 2, encoder=encoder, **options)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
@pytest.mark.parametrize("wrap", ["", "module.", "encoder."])
def test_every_weight_is_that_of_the_file(rgb, save, name, wrap):
    network = unet(3)
    state = {wrap + key: value for key, value in rgb.items()}
    path = save(state if name != "w.pt" else {"state_dict": state}, name)
    facts = load_encoder(network, path, RESNET, RGB)
    own = network.body.encoder.state_dict()
    assert all(torch.equal(own[key], rgb[key]) for key in own)
    assert facts.bands == RGB
    assert facts.assumed == ""
    assert len(facts.sha256) == 64
    assert "ImageNet" in facts.scaling
    json.dumps(facts.to_dict())


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("unet", {"encoder": "tu-resnet18"}),
        ("unet", {"encoder": "tu-resnet18", "depth": 3}),
        ("deeplabv3plus", {"encoder": RESNET}),
        ("fcn8s", {"encoder": RESNET}),
    ],
)
def test_one_file_fits_every_network_of_the_encoder(rgb, save, arch, options):
    network = build(arch, 4, 2, **options)
    load_encoder(network, save(rgb), options["encoder"], ("blue", "green", "red", "nir"))
    values = network.state_dict()
    deep = next(key for key in values if key.endswith("layer2.1.conv2.weight"))
    assert torch.equal(values[deep], rgb["layer2.1.conv2.weight"])


@pytest.mark.parametrize(
    ("arch", "name", "options"),
    [
        ("unet", "test_convnext", {"depth": 4}),
        ("unet", "test_convnext", {"depth": 5}),
        ("unet", "test_efficientnet", {"depth": 3}),
        ("unet", "resnet26", {"depth": 4}),
        ("dpt", "test_vit", {"channels": 16}),
    ],
)
def test_files_of_timm_fit_its_encoders(save, arch, name, options):
    import timm

    torch.manual_seed(2)
    state = timm.create_model(name, pretrained=False).state_dict()
    network = build(arch, 4, 2, encoder=f"tu-{name}", **options)
    load_encoder(network, save(state, "w.pth"), f"tu-{name}", ("red", "green", "blue", "nir"))
    own = network.body.encoder.state_dict()
    first = next(key for key, value in own.items() if value.ndim == 4)
    theirs = next(value for value in state.values() if value.ndim == 4)
    assert torch.allclose(own[first][:, 0], theirs[:, 0] * 3 / 4, atol=1e-6)


@pytest.mark.parametrize("depth", [2, 5])
def test_vgg_weights_fit_our_own_vgg(save, depth):
    torch.manual_seed(0)
    state = build("fcn8s", 3, 2, encoder="vgg11_bn").body.features.state_dict()
    network = build("segnet", 3, 2, encoder="vgg11_bn", depth=depth)
    load_encoder(network, save(dict(state)), "vgg11_bn", RGB)
    assert torch.equal(network.body.encoder.features[4].weight, state["features.4.weight"])


@pytest.mark.parametrize(
    "bands", [("B", "G", "R", "NIR"), ("B02", "B03", "B04", "B08"), ("SR_B2", "SR_B3", "SR_B4", "SR_B10")]
)
def test_planes_go_to_the_bands_of_their_name(rgb, save, bands):
    network = unet(4)
    assert "infrared" not in load_encoder(network, save(rgb), RESNET, bands).assumed
    theirs, ours = rgb["conv1.weight"], network.body.encoder.conv1.weight
    for band, plane in enumerate((2, 1, 0)):
        assert torch.allclose(ours[:, band], theirs[:, plane] * 3 / 4, atol=1e-6)
    assert torch.allclose(ours[:, 3], theirs.mean(1) * 3 / 4, atol=1e-6)


def test_zero_bands_leave_the_trained_network_as_it_was(rgb, save):
    image = torch.randn(1, 3, 64, 64)
    plain, more = unet(3), unet(5)
    load_encoder(plain, save(rgb), RESNET, RGB)
    load_encoder(more, save(rgb), RESNET, ("nir", "blue", "swir1", "red", "green"), extra="zero")
    shuffled = torch.stack([torch.randn(64, 64), image[0, 2], torch.randn(64, 64), image[0, 0], image[0, 1]])[None]
    with torch.no_grad():
        expected, found = (n.eval().body.encoder(x)[1:] for n, x in ((plain, image), (more, shuffled)))
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 13, 200])
@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_sums_over_bands_are_kept(count, known):
    weight = torch.randn(8, 3, 7, 7, dtype=torch.float64)
    places = tuple([2, 0, 1][:known] + [None] * count)[:count]
    assert torch.allclose(adapt(weight, places, "mean").sum(1), weight.sum(1))


def test_three_bands_in_order_are_untouched():
    weight = torch.randn(8, 3, 7, 7)
    assert torch.equal(adapt(weight, (0, 1, 2), "mean"), weight)
    assert torch.equal(adapt(weight, (2, 1, 0), "mean"), weight.flip(1))


class TestAssumptions:
    def test_unnamed_bands_of_the_same_number(self):
        places, said = match(RGB, ("band_1", "band_2", "band_3"))
        assert places == (0, 1, 2)
        assert "red, green, blue" in said

    def test_unnamed_bands_of_another_number(self):
        places, said = match(RGB, tuple(f"band_{n}" for n in range(5)))
        assert places == (None,) * 5
        assert "mean" in said

    def test_bands_the_weights_do_not_know(self):
        assert match(RGB, ("red", "green", "blue", "lidar"))[1] == "the weights do not know lidar"

    def test_landsat_numbers_alone_say_nothing(self):
        assert roles(("B2", "B3", "B4")) == (None,) * 3
        assert roles(("B2", "B3", "B4", "B10"))[:3] == ("blue", "green", "red")
        assert roles(("B1", "B2", "B3", "B5", "B7"))[:3] == ("blue", "green", "red")
        assert roles(("red", "R")) == (None, None)


@pytest.mark.parametrize(
    ("count", "trained", "scaled"),
    [(13, None, "10000"), (9, None, "255"), (11, None, "255"), (7, "landsat-tm", "255"), (7, "landsat-oli-sr", "255")],
)
def test_torchgeo_weights_bring_their_bands(save, count, trained, scaled):
    state = encoder_weights(count)
    network = unet(3)
    facts = load_encoder(network, save(state), RESNET, ("nir", "red", "green"), trained=trained, extra="zero")
    assert facts.bands == SETS[trained or {13: "sentinel2", 9: "landsat-etm", 11: "landsat-oli-tirs"}[count]]
    assert scaled in facts.scaling
    planes = [facts.bands.index(name) for name in ("nir", "red", "green")]
    assert torch.equal(network.body.encoder.conv1.weight, state["conv1.weight"][:, planes])


class TestRefused:
    @pytest.fixture
    def refuse(self):
        def check(path, says, encoder=RESNET, bands=RGB, **options):
            network = unet(len(bands), encoder)
            before = {key: value.clone() for key, value in network.state_dict().items()}
            with pytest.raises((ModelError, OptionError), match=says) as caught:
                load_encoder(network, path, encoder, bands, **options)
            assert "\n" not in str(caught.value)
            assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())

        return check

    @pytest.mark.parametrize("other", ["resnet34", "resnet50", "vgg11"])
    def test_another_encoder(self, save, refuse, other):
        refuse(save(encoder_weights(encoder=other)), r"w\.safetensors: .*weights of")

    def test_a_smaller_encoder(self, rgb, save, refuse):
        refuse(save(rgb), "resnet34", encoder="resnet34")

    def test_other_bands(self, save, refuse):
        refuse(save(encoder_weights(5)), "takes 5 bands and does not say which")
        refuse(save(encoder_weights(7)), "landsat-tm or landsat-oli-sr")

    def test_bands_named_wrongly(self, rgb, save, refuse):
        refuse(save(rgb), "names 2", trained="red,nir")
        refuse(save(rgb), "did you mean 'sentinel2'", trained="sentinl2")
        refuse(save(rgb), "mean or zero", extra="some")

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
    @pytest.mark.parametrize("left", [0, 5, 3000, -1000])
    def test_truncated(self, rgb, save, refuse, name, left):
        path = save(rgb, name)
        path.write_bytes(path.read_bytes()[:left])
        refuse(path, r"whole safetensors|truncated|more than tensors")

    def test_a_header_without_end(self, tmp_path, refuse):
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
        refuse(tmp_path / "w.safetensors", "whole safetensors")

    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_a_pickle_that_would_run_code(self, rgb, tmp_path, refuse, protocol, zipped):
        canary, path = tmp_path / "canary", tmp_path / "w.pth"

        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(canary),)

        if zipped:
            torch.save(rgb | {"evil": Evil()}, path, pickle_protocol=protocol)
        else:
            path.write_bytes(pickle.dumps(Evil(), protocol=protocol))
        refuse(path, "could run code, and was not read")
        assert not canary.exists()
        pickle.loads(pickle.dumps(Evil()))  # noqa: S301 - the trap works
        assert canary.exists()

    def test_no_state_dict(self, tmp_path, refuse):
        torch.save([1, 2], tmp_path / "w.pth")
        refuse(tmp_path / "w.pth", "no state dict but list")

    def test_values_that_are_not_finite(self, rgb, save, refuse):
        refuse(save(rgb | {"bn1.weight": torch.full((64,), float("nan"))}), "not finite")

    def test_no_such_file(self, tmp_path, refuse):
        refuse(tmp_path / "gone.pth", "no such file")
        refuse("imagenot", "must be imagenet or a file")
        (tmp_path / "w.onnx").write_text("")
        refuse(tmp_path / "w.onnx", "no file of weights")

    def test_a_network_without_encoder(self, rgb, save):
        with pytest.raises(OptionError, match="no encoder"):
            load_encoder(build("unet_compact", 3, 2), save(rgb), RESNET, RGB)


class TestTheHub:
    @pytest.fixture(autouse=True)
    def nothing_is_kept(self, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize("encoder", [RESNET, "tu-resnet18"])
    def test_one_that_never_answers(self, monkeypatch, encoder):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
            start = time.monotonic()
            with pytest.raises(ModelError, match="hub cannot be reached"):
                load_encoder(unet(3, encoder), "imagenet", encoder, RGB)
            assert time.monotonic() - start < 60

    def test_offline_is_respected(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("geoseg.models._hub._answers", lambda: pytest.fail("the hub was asked"))
        with pytest.raises(ModelError, match="not on this machine"):
            load_encoder(unet(3), "imagenet", RESNET, RGB)

    def test_what_is_kept_is_used(self, monkeypatch, rgb, save):
        path = save(rgb)
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: str(path))
        network = unet(3)
        facts = load_encoder(network, "imagenet", RESNET, RGB)
        assert torch.equal(network.body.encoder.conv1.weight, rgb["conv1.weight"])
        assert facts.source == "imagenet"

    def test_encoders_without_such_weights(self):
        from geoseg.models._hub import imagenet_weights

        with pytest.raises(OptionError, match="only instagram"):
            imagenet_weights("resnext101_32x16d")
