import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import striped
from geoseg import registry
from geoseg.cli import main

COMMANDS = [name for name in registry.names("geoseg.cli") if name != "options"]


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_commands_are_the_files():
    assert {"demo", "run", "info", "tile", "train", "predict", "vectorize", "evaluate"} <= set(COMMANDS)
    listed = call("--help").output
    assert all(name in listed for name in COMMANDS)
    assert listed.index("demo") < listed.index("tile") < listed.index("evaluate")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    done = call(name, "--help")
    assert done.exit_code == 0
    assert f"geoseg {name} " in done.output
    assert "--debug" in done.output


def test_a_misspelt_command_is_guessed():
    done = call("predikt")
    assert done.exit_code == 2
    assert "did you mean 'predict'" in done.output


def one_line(done, code, *says):
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    for text in says:
        assert text in lines[-1]
    assert done.stdout == ""


def test_failures_are_one_line_with_the_file(tmp_path, write_scene):
    scene = write_scene(np.ones((1, 8, 8), np.uint8))
    one_line(call("info", tmp_path / "gone.tif"), 1, "gone.tif", "no such file")
    one_line(call("tile", scene, "--labels", tmp_path / "gone.gpkg", "-o", tmp_path / "c"), 1, "gone.gpkg")
    one_line(call("train", tmp_path, "-o", tmp_path / "m.safetensors"), 1, "geoseg tile")
    one_line(call("predict", scene, scene, "-o", tmp_path / "m.tif"), 1, "not a safetensors file")
    one_line(call("vectorize", tmp_path / "gone.tif", "-o", tmp_path / "p.gpkg"), 1, "gone.tif")
    one_line(call("evaluate", scene, tmp_path / "gone.tif", "-o", tmp_path / "r"), 1, "gone.tif")
    one_line(call("run", scene, tmp_path / "gone.gpkg", "-o", tmp_path / "o"), 1, "gone.gpkg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.tif"]


def test_settings_that_cannot_be_end_with_two(tmp_path, labelled_scene):
    scene, labels = labelled_scene
    one_line(call("tile", scene, "--labels", labels, "-o", tmp_path / "c", "--overlap", 3), 2, "overlap")
    assert call("tile", scene, "--labels", labels).exit_code == 2
    assert call("tile", scene, "--labels", labels, "-o", tmp_path / "c", "--seed", -1).exit_code == 2
    assert call("tile", scene, "--labels", labels, "-o", tmp_path / "c", "--split", "1,2").exit_code == 2


def test_the_networks_are_listed_and_explained():
    listed = call("models")
    assert listed.exit_code == 0
    lines = {line.split()[0]: line for line in listed.stdout.splitlines() if line}
    assert set(registry.names("geoseg.models")) <= set(lines)
    assert "29.5 M" in lines["segnet"]
    assert "Badrinarayanan" in lines["segnet"]
    explained = call("models", "segnet").stdout
    assert "29,455,125" in explained
    assert "211 pixels to each side" in explained
    assert "vgg16_bn" in explained
    assert "depth = 5" in explained
    facts = json.loads(call("models", "unet", "--encoder", "tu-test_resnet", "--json").stdout)
    assert facts["architecture"]["encoder"] == "tu-test_resnet"
    assert facts["reach"] == 177
    assert json.loads(call("models", "--json").stdout)["architectures"][0]["stride"] > 0


def test_a_network_that_is_not_there_is_guessed():
    one_line(call("models", "segnett"), 2, "did you mean 'segnet'")
    one_line(call("models", "segnet", "--encoder", "resnet18"), 2, "max pooling")
    assert call("models", "--encoder", "resnet18").exit_code == 2


def test_the_crf_is_told_how_to_smooth(tmp_path):
    from geoseg.prediction.crf import CrfOptions

    told = "".join(call("predict", "--help").output.split())  # the page breaks lines where it likes
    assert CrfOptions.parse(told.split("smooths;bydefault")[1].split(".--")[0]) == CrfOptions()
    words = ("predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "-o", tmp_path / "map.tif")
    one_line(call(*words, "--crf", "--crf-options", "radios=3"), 2, "did you mean 'radius'")
    one_line(call(*words, "--crf", "--crf-options", "radius=0"), 2, "radius of the CRF is 0")
    one_line(call(*words, "--crf-options", "radius=3"), 2, "--crf")


def test_hostile_names_stay_on_one_line(tmp_path):
    done = call("info", tmp_path / "a\n\x1b[31mred.tif")
    one_line(done, 1)
    assert "\x1b" not in done.stderr


def test_debug_shows_where_it_happened(tmp_path):
    done = call("info", tmp_path / "gone.tif", "--debug")
    assert done.exception is not None
    assert not isinstance(done.exception, SystemExit)


def test_results_as_text_and_json(labelled_scene, tmp_path):
    scene, labels = labelled_scene
    text = call("tile", scene, "--labels", labels, "-o", tmp_path / "a", "--chip-size", 32, "-q")
    assert text.stdout.startswith(f"{tmp_path / 'a'}: ")
    assert text.stderr == ""
    done = call("tile", scene, "--labels", labels, "-o", tmp_path / "b", "--chip-size", 32, "--json")
    result = json.loads(done.stdout)
    assert result["chip_size"] == 32
    assert sum(result["chips"].values()) > 10
    assert "chips/s" in done.stderr


def test_a_command_leaves_the_log_as_it_was(tmp_path, write_scene, caplog):
    import logging

    call("info", write_scene(np.ones((1, 8, 8), np.uint8)), "-q")
    logging.getLogger("geoseg.anything").warning("heard")
    assert "heard" in caplog.text


def test_no_figure_is_null_in_json(capsys):
    from geoseg.cli._command import tell
    from geoseg.training.fit import TrainResult

    tell(TrainResult("m", "unet", 1, 1, 1, float("nan"), 0.5, 1.0), as_json=True)
    assert json.loads(capsys.readouterr().out)["mean_iou"] is None


def test_info_knows_what_a_file_is(labelled_scene, tmp_path):
    scene, labels = labelled_scene
    call("tile", scene, "--labels", labels, "-o", tmp_path / "c", "--chip-size", 32)
    for path, kind in ((scene, "scene"), (tmp_path / "c", "chips")):
        assert f": {kind}\n" in call("info", path).stdout
        assert json.loads(call("info", path, "--json").stdout)["kind"] == kind


class TestConfiguration:
    @pytest.fixture
    def config(self, tmp_path):
        path = tmp_path / "geoseg.toml"

        def write(text):
            path.write_text(text)
            return path

        return write

    def test_a_table_feeds_a_command_and_flags_win(self, config, labelled_scene, tmp_path):
        scene, labels = labelled_scene
        path = config("[tile]\nchip-size = 40\noverlap = 0.2\n")
        words = ("tile", scene, "--labels", labels, "--json", "-o")
        assert json.loads(call("-c", path, *words, tmp_path / "a").stdout)["chip_size"] == 40
        done = call("-c", path, *words, tmp_path / "b", "--chip-size", 32)
        assert json.loads(done.stdout)["chip_size"] == 32

    def test_lists_are_as_good_as_commas(self, config, labelled_scene, tmp_path):
        scene, labels = labelled_scene
        path = config("[tile]\nbands = [1, 'nir']\nsplit = [0.6, 0.2, 0.2]\nchip-size = 32\n")
        done = call("-c", path, "tile", scene, "--labels", labels, "-o", tmp_path / "a", "--json")
        assert done.exit_code == 0
        facts = json.loads(call("info", tmp_path / "a", "--json").stdout)["facts"]
        assert facts["bands"] == ["blue", "nir"]
        assert facts["options"]["split"] == [0.6, 0.2, 0.2]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[tile]\nbands = {a = 1}", "give one value"),
            ("[tile]\nchipsize = 3", "did you mean 'chip-size'"),
            ("[tyle]\na = 3", "did you mean 'tile'"),
            ("tile = 3", "must be a table"),
            ("[tile", "TOML"),
        ],
    )
    def test_what_is_unknown_is_refused(self, config, text, says):
        done = call("-c", config(text), "info", "x.tif")
        assert done.exit_code == 2
        assert says in done.stderr


def start_tiling(write_scene, tmp_path, jobs=1):
    """Start to cut many small chips in a process of its own; return once some are written."""
    values, classes = striped(300, 300)
    scene, labels = write_scene(values), write_scene(classes[None], "labels.tif", nodata=0)
    words = ("tile", scene, "--labels", labels, "-o", tmp_path / "c", "--chip-size", 16, "--block-size", 24, "-j", jobs)
    program = "from geoseg.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background would hand down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / ".c.partial" / "c" / "labels").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process, words


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_work_says_how_to_go_on_and_does(write_scene, tmp_path, signum, code, jobs):
    process, words = start_tiling(write_scene, tmp_path, jobs)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert "same command" in stderr
    assert not (tmp_path / "c").exists()
    done = call(*words)
    assert done.exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "labels.tif", "scene.tif"]


def test_the_command_of_a_killed_run_ends_as_if_nothing_had_been(write_scene, tmp_path):
    process, words = start_tiling(write_scene, tmp_path)
    process.kill()
    process.communicate(timeout=120)
    assert not (tmp_path / "c").exists()
    assert call(*words).exit_code == 0
    assert call(*(tmp_path / "d" if word == tmp_path / "c" else word for word in words)).exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d", "labels.tif", "scene.tif"]
    first, second = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.suffix in {".tif", ".parquet"}}
        for folder in (tmp_path / "c", tmp_path / "d")
    )
    assert first == second


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["predict", "--help"]])
def test_help_that_cannot_be_printed_is_told_in_a_line(words):
    code = "from geoseg.cli import main; main(prog_name='geoseg')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("Error: the help cannot be printed: No space left")
    assert "Traceback" not in done.stderr
