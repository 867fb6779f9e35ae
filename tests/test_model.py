import json
import resource
import struct
from dataclasses import replace

import pytest
import torch

from conftest import legend_of, model_of
from geoseg.errors import BandMismatchError, ModelError, OutputError
from geoseg.model import ModelSpec, load_model, read_spec, write_model
from geoseg.models import build
from geoseg.scene import ArrayScene
from geoseg.statistics import BandStatistics


@pytest.fixture
def saved(tmp_path):
    network = build("unet_compact", 3, 4, width=4)
    spec = ModelSpec(
        architecture="unet_compact",
        options={"width": 4},
        bands=("red", "green", "nir"),
        statistics=BandStatistics((1.0, 2.0, 3.0), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (9.0, 9.0, 9.0)),
        legend=legend_of(4),
        ground_sample_distance=10.0,
        reach=58,
        stride=8,
        chip_size=64,
        training={"note": "made in a test", "versions": {"geoseg": "0"}},
    )
    path = tmp_path / "model.safetensors"
    write_model(path, spec, network.state_dict())
    return path, spec, network.eval()


def test_a_model_comes_back_as_it_was(saved):
    path, spec, network = saved
    model = load_model(path)
    assert model.spec == spec == read_spec(path)
    image = torch.rand(1, 3, 20, 30)
    with torch.inference_mode():
        assert torch.equal(model.network(image), network(image))
    assert not model.network.training


def test_the_file_is_plain_safetensors(saved):
    from safetensors import safe_open

    with safe_open(saved[0], "pt") as file:
        assert json.loads(file.metadata()["geoseg"])["bands"] == ["red", "green", "nir"]


def test_bands_are_matched_by_name_whatever_their_order(saved):
    match = saved[1].match
    assert match(("NIR", "blue", "Green", "red"), "s", "m") == (3, 2, 0)
    with pytest.raises(BandMismatchError, match=r"s has no band 'nir'; m needs red, green, nir.*--bands"):
        match(("red", "green", "blue"), "s", "m")


def test_bands_without_names_are_matched_by_number(saved):
    match = saved[1].match
    assert match(("band_1", "band_2", "band_3"), "s", "m") == (0, 1, 2)
    with pytest.raises(BandMismatchError, match="s has 4 bands and m needs 3"):
        match(("band_1", "band_2", "band_3", "band_4"), "s", "m")


def test_names_that_differ_in_case_only_are_told_apart(saved):
    spec = replace(saved[1], bands=("nir", "NIR", "red"))
    assert spec.match(("NIR", "red", "nir"), "s", "m") == (2, 0, 1)
    with pytest.raises(BandMismatchError):
        spec.match(("nir", "red", "blue"), "s", "m")


def test_a_full_disk_is_said(saved, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OutputError, match="disk full"):
            write_model(tmp_path / "other.safetensors", saved[1], saved[2].state_dict())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_pixels_of_another_size_are_warned_of(saved, caplog):
    from affine import Affine
    from rasterio.crs import CRS

    from geoseg.grid import Grid

    model = model_of(saved[2], 3, 4)
    grid = Grid(CRS.from_epsg(32632), Affine(30, 0, 0, 0, -30, 0), 8, 8)
    model.spec.check(ArrayScene(torch.rand(3, 8, 8).numpy(), grid=grid), "m")
    assert "pixels of 30 m" in caplog.text


def header(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path, head, body):
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def described(path, **changes):
    head, body = header(path)
    values = json.loads(head["__metadata__"]["geoseg"])
    for key, value in changes.items():
        values.pop(key) if value is None else values.update({key: value})
    head["__metadata__"]["geoseg"] = json.dumps(values)
    rewrite(path, head, body)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 99}, "newer geoseg"),
        ({"bands": None}, "description"),
        ({"bands": ["red"]}, "contradict"),
        ({"legend": []}, "at least one class"),
        ({"statistics": {"mean": [1]}}, "description"),
        ({"surprise": 1}, "description"),
        ({"reach": "far"}, "number of pixels"),
        ({"ground_sample_distance": "ten"}, "ground sample distance"),
        ({"architecture": "../../etc/passwd"}, "do not fit"),
        ({"architecture": "unet"}, "do not fit|options"),
        ({"options": {"width": 8}}, "do not fit"),
    ],
)
def test_a_tampered_description_is_refused(saved, changes, says):
    described(saved[0], **changes)
    with pytest.raises(ModelError, match=says) as caught:
        load_model(saved[0])
    assert "model.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_models(saved, tmp_path):
    path, _, _ = saved
    whole = path.read_bytes()
    head, body = header(path)
    bad = {
        "truncated": whole[:-100],
        "empty": b"",
        "text": b"hello, this is not a model at all",
        "huge": struct.pack("<Q", 2**60) + whole[8:],
        "nested": struct.pack("<Q", 40_000) + b"[" * 40_000,
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=name):
            load_model(tmp_path / name)
    rewrite(path, {key: value for key, value in head.items() if key != "__metadata__"}, body)
    with pytest.raises(ModelError, match="no description"):
        load_model(path)
    for missing in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(ModelError, match=r"no such model file|not a file"):
            load_model(missing)


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"weights": torch.ones(3)}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(tmp_path / "model.pth")


def test_context_follows_from_the_reach(saved):
    assert saved[1].context == "local"
    seeing_all = replace(saved[1], reach=None)
    assert seeing_all.context == "global"
    assert seeing_all.sees == "the whole window"
    assert "90 with --global-context chip" in replace(seeing_all, agreeing_reach={"scene": 60, "chip": 90}).sees


@pytest.mark.parametrize("options", [{"width": 2**20}, {"width": 30_000}, {"width": 8, "depth": 10**9}, {"width": []}])
def test_a_description_takes_no_more_memory_than_its_file_is_large(tmp_path, options):
    """The weights of `width` 30,000 would fill the memory of a workstation before anybody saw that they do not fit."""
    network = build("unet_compact", 2, 3, width=4)
    spec = replace(model_of(network, 2, 3).spec, architecture="unet_compact", options=options)
    path = tmp_path / "model.safetensors"
    write_model(path, spec, network.state_dict())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="its weights do not fit unet_compact"):
        load_model(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # kilobytes
