"""Creation options of rasters, from `--co` to the file."""

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rio_cogeo import cog_validate

from conftest import write_small_model
from geoseg.cli import main
from geoseg.errors import OptionError
from geoseg.statistics import BandStatistics
from geoseg.writers.creation import creation_options

SCALING = BandStatistics((0.0,) * 2, (1.0,) * 2, (-3.0,) * 2, (3.0,) * 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["COMPRESS=JPEG"], "COMPRESS must be one of DEFLATE, LZW"),
        (["LEVEL=23"], "LEVEL must be one of 1 to 22"),
        (["BLOCKSIZE=100"], "BLOCKSIZE must be one of 128"),
        (["TILING_SCHEME=GoogleMapsCompatible"], "no option 'TILING_SCHEME'"),
        (["COMPRES=LZW"], "COMPRESS"),
        (["LEVEL"], "has no value"),
        (["LEVEL=1", "level=2"], "given twice"),
        (["../x=1"], "no option"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(words, says):
    with pytest.raises(OptionError, match=says) as caught:
        creation_options(words)
    assert "\n" not in str(caught.value)


def test_the_rasters_of_a_map_are_stored_as_asked(write_scene, tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 600, 300)).astype(np.float32)
    scene, model = write_scene(values), tmp_path / "model.safetensors"
    write_small_model(model, SCALING)
    common = ["predict", str(model), str(scene), "--runtime", "torch", "-q"]
    asked = ["--co", "compress=zstd", "--co", "LEVEL=9", "--co", "BLOCKSIZE=256"]
    for name, more in (("plain", []), ("asked", asked)):
        outputs = ["-o", str(tmp_path / f"{name}.tif"), "--confidence", str(tmp_path / f"{name}_c.tif")]
        done = CliRunner().invoke(main, [*common, *outputs, *more])
        assert done.exit_code == 0, done.output
    for made, plain in (("asked.tif", "plain.tif"), ("asked_c.tif", "plain_c.tif")):
        with rasterio.open(tmp_path / made) as one, rasterio.open(tmp_path / plain) as other:
            assert one.profile["compress"] == "zstd"
            assert other.profile["compress"] == "deflate"
            assert one.block_shapes[0] == (256, 256)
            assert (one.read() == other.read()).all()
        assert cog_validate(tmp_path / made, strict=True)[0]


def test_a_wrong_option_leaves_nothing(write_scene, tmp_path):
    scene, model = write_scene(np.zeros((2, 20, 20), np.float32)), tmp_path / "model.safetensors"
    write_small_model(model, SCALING)
    words = ["predict", str(model), str(scene), "-o", str(tmp_path / "map.tif"), "--co", "COMPRESS=WEBP"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "COMPRESS must be one of" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "scene.tif"]
