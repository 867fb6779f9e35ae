"""Configurations, legends and models that a stranger wrote."""

import json
import os
import struct

import numpy as np
import pytest

CONFIGS = {
    "a key that is none": ("[tile]\nchipsize = 64\n", "did you mean 'chip-size'"),
    "a command that is none": ("[tlie]\noverlap = 0.1\n", "did you mean 'tile'"),
    "text for a number": ('[tile]\nchip-size = "ten"\n', "chip-size is 'ten'"),
    "a negative size": ("[tile]\nchip-size = -5\n", "chip-size is -5"),
    "a size of nothing": ("[tile]\nchip-size = 0\n", "chip-size is 0"),
    "true for a number": ("[tile]\nseed = true\n", "seed is True; give a whole number"),
    "a number for true": ("[tile]\nvirtual = 1\n", "virtual is 1; give true or false"),
    "half a pixel": ("[tile]\nchip-size = 64.5\n", "give a whole number"),
    "no number": ("[tile]\noverlap = nan\n", "overlap is nan"),
    "without end": ("[tile]\noverlap = inf\n", "overlap is inf"),
    "windows that never advance": ("[tile]\noverlap = 1.0\n", "overlap"),
    "shares of what": ("[tile]\nsplit = [1, 2]\n", "split is [1, 2]: give three shares"),
    "a date": ("[tile]\nseed = 2020-01-01\n", "seed is datetime.date"),
    "a table for a value": ("[tile.seed]\na = 1\n", "seed is {'a': 1}"),
    "a list for a table": ("tile = [1]\n", "must be a table"),
    "one key twice": ("[tile]\nseed = 1\nseed = 2\n", "line 3"),
    "no TOML": ("[tile]\n\tseed 3\n", "line 2"),
    "a megabyte": ("#" * 1_100_000, "larger than 1,000,000 bytes"),
    "another encoding": ("[tile]\nseed = 1\n".encode("utf-16"), "cannot be read as TOML"),
}


class TestConfigurations:
    @pytest.fixture
    def config(self, world):
        return world.inputs / "config.toml"

    @pytest.mark.parametrize("name", CONFIGS)
    def test_what_cannot_be_is_refused_with_the_file_and_the_key(self, world, config, name):
        text, says = CONFIGS[name]
        config.write_bytes(text if isinstance(text, bytes) else text.encode())
        world.refuses("-c", config, *world.tile(world.scene, world.labels)[:-2], names="config.toml", says=says)

    def test_it_is_a_file_of_its_own(self, world, config):
        os.mkfifo(config)
        world.refuses("-c", config, "info", world.scene, names="config.toml", says="not a regular file")

    def test_nothing_in_it_is_fine(self, world, config):
        config.write_text("")
        world.works("-c", config, "info", world.scene)

    def test_whole_numbers_may_have_a_point(self, world, config):
        config.write_text("[tile]\nchip-size = 16.0\n")
        words = world.tile(world.scene, world.labels)[:-2]
        found = json.loads(world.works("-c", config, *words, "--json").stdout)
        assert found["chip_size"] == 16


def legend_of(*classes):
    return "".join(f"[[class]]\nid = {id_}\nname = {name}\n" for id_, name in classes)


@pytest.mark.parametrize(("text", "says"), [
    ("", "nothing"),
    (legend_of((1, '"a"'), (1, '"b"')), "1"),
    (legend_of((1, '"a"'), (2, '"a"')), "a"),
    (legend_of(("true", '"a"')), "id"),
    (legend_of((70_000, '"a"')), "70000"),
    (legend_of((1, "3")), "name"),
    (legend_of(*((number, f'"c{number}"') for number in range(300))), "classes"),
    ("[[class]]\nid = 1\nname = 'a'\nfile = '/etc/passwd'\n", "unknown key 'file'"),
    ("#" * 2_000_000, "bytes"),
])  # fmt: skip
def test_legends_that_cannot_be(world, text, says):
    legend = world.inputs / "legend.toml"
    legend.write_text(text)
    words = world.tile(world.scene, world.labels, "--legend", legend)
    world.refuses(*words, names="legend.toml", says=says)


def test_texts_that_never_end_are_not_waited_for(world):
    pipe = world.inputs / "pipe.toml"
    os.mkfifo(pipe)
    world.refuses(
        *world.tile(world.scene, world.labels, "--legend", pipe), names="pipe.toml", says="not a regular file"
    )
    words = ("evaluate", world.labels, world.labels, "-o", world.out / "report", "--curves", pipe)
    world.refuses(*words, names="pipe.toml", says="not a regular file")


class TestModels:
    @pytest.fixture
    def forge(self, world):
        """Write the good model with something changed: its header, its description or its weights."""

        def write(header=lambda header: None, spec=lambda spec: None, weights=lambda weights: weights):
            content = world.model.read_bytes()
            length = struct.unpack("<Q", content[:8])[0]
            head = json.loads(content[8 : 8 + length])
            description = json.loads(head["__metadata__"]["geoseg"])
            spec(description)
            head["__metadata__"]["geoseg"] = json.dumps(description)
            header(head)
            text = json.dumps(head).encode()
            path = world.inputs / "forged.safetensors"
            path.write_bytes(struct.pack("<Q", len(text)) + text + weights(content[8 + length :]))
            return path

        return write

    def refused(self, world, model, says):
        words = ("predict", model, world.scene, "-o", world.out / "map.tif", "--runtime", "torch")
        world.refuses(*words, names=model.name, says=says)

    @pytest.mark.parametrize(("content", "says"), [
        (b"", "not a safetensors file"),
        (b"\x80\x04\x95exec", "not a safetensors file"),
        (struct.pack("<Q", 2**62) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 16) + b"this is no json!", "not a safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "no description"),
        (np.random.default_rng(3).bytes(4096), "not a safetensors file"),
    ])  # fmt: skip
    def test_what_is_no_model(self, world, content, says):
        model = world.inputs / "odd.safetensors"
        model.write_bytes(content)
        self.refused(world, model, says)

    def test_a_pipe_and_a_folder(self, world):
        os.mkfifo(world.inputs / "pipe.safetensors")
        self.refused(world, world.inputs / "pipe.safetensors", "not a file")
        self.refused(world, world.inputs, "not a file")

    def test_a_pickle_does_not_run(self, world, monkeypatch):
        """What torch would build from a pickle makes a file; nothing does."""
        code = f"cposix\nsystem\n(S'touch {world.inputs / 'ran'}'\ntR."
        model = world.inputs / "model.pt"
        model.write_text(code)
        self.refused(world, model, "not a safetensors file")
        assert not (world.inputs / "ran").exists()

    @pytest.mark.parametrize(("change", "says"), [
        ({"format": 999}, "999"),
        ({"architecture": "__import__('os').system"}, "__import__"),
        ({"architecture": "../../etc/passwd"}, "passwd"),
        ({"architecture": "__class__"}, "__class__"),
        ({"options": {"width": 10**12}}, "forged"),
        ({"options": {"width": "../x"}}, "forged"),
        ({"options": {"weights": "/etc/passwd"}}, "forged"),
        ({"stride": 2**62}, "cannot be used"),
        ({"stride": 0}, "cannot be used"),
        ({"chip_size": 2**40}, "cannot be used"),
        ({"reach": True}, "cannot be used"),
        ({"temperature": 0}, "cannot be used"),
        ({"bands": ["red", "green"]}, "cannot be used"),
        ({"legend": []}, "cannot be used"),
        ({"unheard": 1}, "cannot be used"),
    ])  # fmt: skip
    def test_a_description_that_cannot_be(self, world, forge, change, says):
        self.refused(world, forge(spec=lambda spec: spec.update(change)), says)

    @pytest.mark.parametrize("odd", ["none", 3, [], None])
    def test_how_it_was_made_may_be_anything(self, world, forge, odd):
        model = forge(spec=lambda spec: spec["training"].update({"validation": odd, "versions": odd, "tiling": odd}))
        world.works("info", model)

    def test_a_class_without_an_output(self, world, forge):
        added = {"id": 9, "name": "x", "color": "#112233"}
        self.refused(world, forge(spec=lambda spec: spec["legend"].append(added)), "do not fit")

    def test_weights_that_are_not_whole(self, world, forge):
        self.refused(world, forge(weights=lambda weights: weights[:-100]), "truncated")
        flipped = forge(weights=lambda weights: bytes([weights[0] ^ 1]) + weights[1:])
        self.refused(world, flipped, "not those that were written")

    def test_weights_that_are_no_numbers(self, world, forge):
        def no_checksum(head):
            del head["__metadata__"]["geoseg_sha256"]

        nan = np.full(8, np.nan, "<f4").tobytes()
        self.refused(world, forge(no_checksum, weights=lambda weights: weights[:-32] + nan), "not finite")
