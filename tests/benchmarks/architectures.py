"""Every architecture trained for the same CPU time: `python tests/benchmarks/architectures.py DATA para|amazon`.

DATA is a folder of labelled scenes. `para` is a Landsat 5 scene with polygons (para_landsat5_1988), learned from in the
north and scored in the south; `amazon` is a set of RGB scenes with masks (amazon_forest_rgb_train), of which every
fourth by name is held out for the scores. All networks begin by chance, learn from the same chips for `--seconds` of
CPU time (steps are counted out beforehand by timing a few), and map the same test ground. Encoders and widths are
those that two cores can train; `--only` names some of the networks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import rasterio.windows
import shapely
import torch
from rasterio.windows import Window

import geoseg
from geoseg import losses, models
from geoseg.assessment.evaluate import Pair, evaluate_pairs
from geoseg.chips.index import ChipIndex, read_index
from geoseg.errors import OptionError
from geoseg.readers import find_source

RESNET: dict[str, Any] = {"encoder": "resnet18"}
VGG: dict[str, Any] = {"encoder": "vgg11_bn", "width": 16}
_ON_RESNET = ("deeplabv3", "deeplabv3plus", "fpn", "gcn", "linknet", "manet", "pspnet", "unet", "unetplusplus")
FORMS: dict[str, dict[str, Any]] = dict.fromkeys(_ON_RESNET, RESNET) | {
    "deconvnet": VGG,
    "deeplabv1": VGG,
    "deeplabv2": VGG,
    "dpt": {"encoder": "tu-vit_tiny_patch16_224", "channels": 32},
    "fcn16s": VGG,
    "fcn32s": RESNET | {"width": 16},
    "fcn8s": VGG,
    "pan": RESNET,
    "parsenet": VGG,
    "refinenet": RESNET | {"width": 64, "output_units": 1},
    "segformer": {"encoder": "mit_b0"},
    "segnet": VGG,
    "unet_classic": {"width": 16},
    "unet_compact": {},
    "upernet": RESNET | {"channels": 64},
}
RATES = {"deconvnet": 3e-3, "deeplabv2": 3e-3}
"""Where the default rate learns too little in the time."""

COMPARED = ("unet", "segnet", "fcn8s", "pspnet", "deeplabv3plus")
BATCH, EPOCHS = 8, 8


@dataclass(frozen=True)
class Task:
    """Chips to learn from by their size, and ground to be judged on."""

    chips: dict[int, Path]
    tests: list[Pair]

    def index(self, name: str) -> ChipIndex:
        """The smallest chips that a network takes."""
        for folder in self.chips.values():
            index = read_index(folder)
            network = models.build(name, len(index.bands), len(index.legend), **FORMS[name])
            try:
                network.require_trainable(name, int(index.options["chip_size"]), BATCH)
            except OptionError:
                continue
            return index
        raise OptionError(f"{name} takes none of the chips")


def para(data: Path, work: Path) -> Task:
    """Polygons in one scene: the upper two thirds to learn from, the lowest third to be judged on."""
    folder = data / "para_landsat5_1988"
    scene, labels = folder / "scene.tif", folder / "training_polygons.gpkg"
    with rasterio.open(scene) as raster:
        rows = {"train": (0, 200), "test": (216, raster.height)}
        parts = {
            name: shapely.box(*rasterio.windows.bounds(Window(0, top, raster.width, end - top), raster.transform))
            for name, (top, end) in rows.items()
        }
        areas = gpd.GeoDataFrame({"split": list(parts)}, geometry=list(parts.values()), crs=raster.crs)
    areas[areas["split"] == "train"].to_file(work / "areas.gpkg")
    chips = {size: work / f"chips{size}" for size in (64, 128)}
    for size, made in chips.items():
        geoseg.tile(scene, labels, made, chip_size=size, areas=work / "areas.gpkg")
    return Task(
        chips, [Pair(Path(), labels, regions=areas[areas["split"] == "test"][["geometry"]], scene=find_source(scene))]
    )


def amazon(data: Path, work: Path) -> Task:
    """Masks of whole scenes; every fourth is held out."""
    folder = data / "amazon_forest_rgb_train"
    scenes = sorted((folder / "images").glob("*.tif"))
    masks = [folder / "masks" / scene.name for scene in scenes]
    learned = [number for number in range(len(scenes)) if number % 4 != 3]
    geoseg.tile(
        [scenes[number] for number in learned],
        [masks[number] for number in learned],
        work / "chips",
        chip_size=128,
        split=(0.85, 0.15, 0.0),
        seed=0,
    )
    held = [number for number in range(len(scenes)) if number not in learned]
    return Task({128: work / "chips"}, [Pair(Path(), masks[number], find_source(scenes[number])) for number in held])


def step_seconds(name: str, index: ChipIndex) -> float:
    """CPU seconds of an optimiser step."""
    size, bands, classes = int(index.options["chip_size"]), len(index.bands), len(index.legend)
    network = models.build(name, bands, classes, **FORMS[name]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    loss = losses.build("ce+dice")
    image = torch.randn(BATCH, bands, size, size).contiguous(memory_format=torch.channels_last)
    label = torch.randint(classes, (BATCH, size, size))
    start = 0.0
    for step in range(6):
        if step == 2:
            start = time.process_time()
        optimizer.zero_grad()
        loss(network(image), label, None).backward()
        optimizer.step()
    return (time.process_time() - start) / 4


def score(name: str, task: Task, seconds: float, lr: float | None, work: Path) -> str:
    """A row of the table."""
    index = task.index(name)
    steps = max(int(seconds / step_seconds(name, index)), EPOCHS)
    draws = max(steps // EPOCHS, 1) * BATCH
    model = work / f"{name}.safetensors"
    start = time.process_time()
    form = dict(FORMS[name])
    settings: dict[str, Any] = {
        "epochs": EPOCHS,
        "chips_per_epoch": draws,
        "batch_size": BATCH,
        "lr": lr or RATES.get(name),
    }
    made = geoseg.train(
        index.folder, model, arch=name, encoder=form.pop("encoder", None), arch_options=form, **settings
    )
    spent = time.process_time() - start
    judged = []
    for number, pair in enumerate(task.tests):
        mapped = work / f"{name}_{number}.tif"
        assert pair.scene is not None
        geoseg.predict(model, pair.scene.open(), mapped)
        judged.append(Pair(mapped, pair.reference, regions=pair.regions))
    found = evaluate_pairs(judged, work / f"{name}_report")
    total = sum(one.pixels for one in found.classes)
    f1 = sum((one.f1 or 0.0) * one.pixels for one in found.classes) / total
    majority = max(one.pixels for one in found.classes) / total
    form_text = ", ".join(f"{key} {value}" for key, value in FORMS[name].items()) or "as it is"
    return (
        f"| {name} | {form_text} | {made.parameters / 1e6:.1f} M | {steps} | {spent:.0f} | "
        f"{found.overall_accuracy:.3f} | {found.mean_iou:.3f} | {f1:.3f} | {majority:.3f} |"
    )


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("task", choices=["para", "amazon"])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--only", type=lambda text: text.split(","))
    given = parser.parse_args()
    names = given.only or (list(COMPARED) if given.task == "amazon" else sorted(FORMS))
    torch.set_num_threads(1)
    print("| architecture | form | weights | steps | CPU s | overall accuracy | mIoU | F1 | majority |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        task = {"para": para, "amazon": amazon}[given.task](given.data, work)
        for name in names:
            print(score(name, task, given.seconds, given.lr, work), flush=True)


if __name__ == "__main__":
    main()
