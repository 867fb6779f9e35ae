"""No output takes the place of a file that it is made from, whatever name that has."""

import os
import shutil

import pytest

from conftest import legend_of

LEGEND = "".join(f'[[class]]\nid = {item.id}\nname = "{item.name}"\n' for item in legend_of(3))
SAYS = "is one of the files that are read"

# Of each command: the suffix of its output, its words with the names of what it reads, and the inputs that are tried.
COMMANDS = {
    "predict": (".tif", "predict MODEL SCENE --aoi POLYGONS --runtime torch", "MODEL SCENE POLYGONS"),
    "vectorize": (".gpkg", "vectorize MAP --by POLYGONS --confidence MAP2 --legend LEGEND", "MAP POLYGONS MAP2 LEGEND"),
    "evaluate": (
        "",
        "evaluate MAP LABELS --scene SCENE --legend LEGEND --by POLYGONS --regions REGIONS --curves CURVES",
        "MAP LABELS SCENE LEGEND POLYGONS REGIONS CURVES",
    ),
    "sample": (".gpkg", "sample MAP --strata LABELS --legend LEGEND --size 9", "MAP LABELS LEGEND"),
    "tile": (
        "",
        "tile SCENE --labels LABELS --legend LEGEND --areas POLYGONS --area-column class --chip-size 16",
        "SCENE LABELS LEGEND POLYGONS",
    ),
    "train": (".safetensors", "train CHIPS --from MODEL --device cpu", "CHIPS MODEL"),
    "weights": (".safetensors", "train CHIPS --weights MODEL --device cpu", "CHIPS MODEL"),
    "run": ("", "run SCENE LABELS --legend LEGEND", "SCENE LABELS LEGEND"),
    "map": ("", "map POLYGONS --model MODEL --scenes SCENE", "MODEL SCENE POLYGONS"),
    "view": (".html", "view SCENE MAP POLYGONS --legend LEGEND", "SCENE MAP POLYGONS LEGEND"),
}
CASES = [(command, name) for command, (_, _, names) in COMMANDS.items() for name in names.split()]


@pytest.fixture
def inputs(world):
    """What commands read, under names that they have in `COMMANDS`."""
    shutil.copy(world.model, world.inputs / "model.safetensors")
    shutil.copy(world.labels, world.inputs / "map.tif")
    shutil.copy(world.labels, world.inputs / "map2.tif")
    (world.inputs / "legend.toml").write_text(LEGEND)
    shutil.copy(world.inputs / "polygons.gpkg", world.inputs / "regions.gpkg")
    (world.inputs / "curves.csv").write_text("epoch\n")
    world.works(*world.tile(world.scene, world.labels, "--legend", world.inputs / "legend.toml"))
    (world.out / "chips").rename(world.inputs / "chips")
    return {path.name.split(".")[0].upper(): path for path in world.inputs.iterdir()}


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hard link"])
@pytest.mark.parametrize(("command", "name"), CASES, ids=["-".join(case) for case in CASES])
def test_an_output_that_is_an_input_is_refused(world, inputs, command, name, link):
    suffix, words, _ = COMMANDS[command]
    target = inputs[name].with_name(f"alias{suffix}")
    if inputs[name].is_dir() and link is os.link:
        pytest.skip("folders have no hard links")
    link(inputs[name], target)
    says = "is a file; choose a folder" if command in ("run", "map") else SAYS
    further = [inputs.get(word, word) for word in words.split()]
    world.refuses(*further, "-o", target, "--overwrite", names=target.name, says=says)
    if inputs[name].suffix == suffix or not suffix:
        world.refuses(*further, "-o", inputs[name], "--overwrite", names=inputs[name].name, says=says)
