"""Speed of `geoseg train` beside a bare PyTorch loop: `python tests/benchmarks/training.py [--steps N] [--loader]`.

Chips of six bands are cut from a made scene. geoseg trains as it does by default: its own draws, windows and checks,
gradient clipping and the moving average of the weights. The bare loop has the same network, loss, class weights and
optimiser, channels-last too, and one batch that lies in memory. Both run in one process in turn, some steps each, so
that what else the machine does meets both; what counts is the median of the ratios of neighbouring stretches.
Validation, and the first stretch of either, are left out; the first epoch, in which chips are decoded, is told apart.
Time is that of the processor, on one core, so that a shared
machine can be used; data are read by the same process, so that this counts reading too.

`--loader` tells instead how many chips a second are drawn in one process without any network.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from torch import Tensor
from torch.utils.data import DataLoader

import geoseg
from geoseg import losses
from geoseg.chips.augment import parse_augmentation
from geoseg.chips.dataset import ChipDataset
from geoseg.chips.index import ChipIndex, read_index
from geoseg.chips.sampling import ClassBalancedSampler
from geoseg.training.task import SegmentationTask

BANDS, CLASSES = 6, 5
NETWORKS = (
    ("unet_compact", {"arch": "unet_compact"}, 64, 8),
    ("unet resnet18", {"arch": "unet", "encoder": "resnet18", "depth": 4}, 64, 8),
)
EPOCHS = 6
STRETCH = 4
"""Steps that either loop takes in turn."""


def write_scene(folder: Path, size: int = 1024) -> tuple[Path, Path]:
    """Fields of five classes in six bands of uint8, as an early Landsat has them, with dense labels."""
    rng = np.random.default_rng(0)
    classes = rng.integers(1, CLASSES + 1, (size // 32, size // 32)).astype(np.uint8).repeat(32, 0).repeat(32, 1)
    levels = rng.uniform(20, 200, (BANDS, CLASSES + 1))
    values = (levels[:, classes] + rng.normal(0, 12, (BANDS, size, size))).clip(1, 255).astype(np.uint8)
    profile = {"driver": "GTiff", "height": size, "width": size, "dtype": "uint8", "crs": "EPSG:32622", "nodata": 0}
    profile |= {"transform": Affine(30, 0, 600_000, 0, -30, 9_500_000), "compress": "deflate", "tiled": True}
    paths = folder / "scene.tif", folder / "labels.tif"
    for path, array in zip(paths, (values, classes[None]), strict=True):
        with rasterio.open(path, "w", count=len(array), photometric="minisblack", **profile) as dataset:
            dataset.write(array)
    return paths


class BareLoop:
    """Forward, loss, backward, step, on one batch in memory."""

    def __init__(self, task: SegmentationTask, batch: tuple[Tensor, Tensor], loss: str) -> None:
        self._network = copy.deepcopy(task.network).train()
        groups = task.trainer.optimizers[0].param_groups
        settings = {key: groups[0][key] for key in ("lr", "betas", "eps")}
        decays = {parameter.ndim > 1: group["weight_decay"] for group in groups for parameter in group["params"]}
        weights = [
            {"params": [p for p in self._network.parameters() if (p.ndim > 1) == many], "weight_decay": decay}
            for many, decay in decays.items()
        ]
        self._optimizer = torch.optim.AdamW(weights, **settings)
        self._loss, self._weights = losses.build(loss), task.class_weights
        self._image, self._label = batch[0].contiguous(memory_format=torch.channels_last), batch[1]

    def seconds(self, steps: int) -> float:
        """Time that some steps take."""
        start = time.process_time()
        for _ in range(steps):
            self._optimizer.zero_grad()
            self._loss(self._network(self._image), self._label, self._weights).backward()
            self._optimizer.step()
        return time.process_time() - start


class Turns:
    """Lets the bare loop run in the pauses of a training of geoseg's own, and notes how long either took."""

    def __init__(self, loss: str) -> None:
        self._loss = loss
        self._bare: BareLoop | None = None
        self._epoch, self._steps, self._mark = -1, 0, 0.0
        self.first: list[float] = []
        self.ratios: list[float] = []
        self.bare: list[float] = []

    def after_step(self, task: SegmentationTask, batch: tuple[Tensor, Tensor]) -> None:
        """Called when geoseg has made a step."""
        if task.current_epoch != self._epoch:  # validation lay between
            self._epoch, self._steps, self._mark = task.current_epoch, 0, time.process_time()
            return
        self._steps += 1
        if self._steps % STRETCH:
            return
        own = time.process_time() - self._mark
        if self._bare is None:
            self._bare = BareLoop(task, tuple(part.clone() for part in batch), self._loss)
            self._bare.seconds(STRETCH)
        else:
            bare = self._bare.seconds(STRETCH)
            (self.ratios if task.current_epoch else self.first).append(own / bare)
            self.bare.append(bare / STRETCH)
        self._mark = time.process_time()


def compare(chips: Path, folder: Path, options: dict[str, object], augment: str, steps: int, batch: int) -> Turns:
    """Train, with the bare loop in the pauses."""
    turns = Turns("ce+dice")
    own: Callable[..., None] = SegmentationTask.on_train_batch_end

    def hooked(task: SegmentationTask, outputs: object, batch: tuple[Tensor, Tensor], number: int) -> None:
        own(task, outputs, batch, number)
        turns.after_step(task, batch)

    SegmentationTask.on_train_batch_end = hooked  # type: ignore[method-assign]
    try:
        geoseg.train(
            chips, folder / "model.safetensors", loss="ce+dice", augment=augment, epochs=EPOCHS, batch_size=batch,
            chips_per_epoch=steps // EPOCHS * batch, overwrite=True, device="cpu", **options,
        )  # fmt: skip
    finally:
        SegmentationTask.on_train_batch_end = own  # type: ignore[method-assign]
    return turns


def chips_per_second(index: ChipIndex, augment: str, draws: int, batch: int) -> tuple[float, float]:
    """Chips a second of the first epoch, and of the second."""
    dataset = ChipDataset(index, "train", parse_augmentation(augment))
    sampler = ClassBalancedSampler(index.counts("train"), draws, 0)
    found = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        start = time.process_time()
        for _ in DataLoader(dataset, batch, sampler=sampler):
            pass
        found.append(draws / (time.process_time() - start))
    return found[0], found[1]


def loaders(folder: Path, draws: int) -> None:
    """Print chips a second of the loader alone."""
    from geoseg.chips import dataset

    scene, labels = write_scene(folder)
    print("chips a second in one process, first epoch / second epoch")
    for size, batch in ((64, 8), (128, 4), (256, 4)):
        for virtual in (False, True):
            chips = folder / f"chips_{size}_{virtual}"
            geoseg.tile(scene, labels, chips, chip_size=size, compress="none", virtual=virtual)
            for kept in (dataset.KEPT_BYTES, 0):
                usual, dataset.KEPT_BYTES = dataset.KEPT_BYTES, kept
                for augment in ("none", "default", "default+scale+blur+noise+gamma+dropout+cutmix"):
                    first, second = chips_per_second(read_index(chips), augment, draws, batch)
                    kind = f"{size} px, {'virtual' if virtual else 'files'}, {'kept' if kept else 'not kept'}"
                    print(f"{kind:32} {augment:46} {first:8.0f} / {second:8.0f}", flush=True)
                dataset.KEPT_BYTES = usual


def steps(folder: Path, count: int) -> None:
    """Print the ratios of time per step, geoseg over the bare loop."""
    # Few enough chips that all are read in the first epoch, as in a training of usual length.
    scene, labels = write_scene(folder, 512)
    columns = f"{'network':16} {'augment':10} {'bare, ms a step':>16} {'median ratio':>13} {'quartiles':>15}"
    print(f"{columns} stretches  first epoch")
    for name, options, size, batch in NETWORKS:
        chips = folder / f"chips_{size}"
        geoseg.tile(scene, labels, chips, chip_size=size, compress="none", split=(0.94, 0.03, 0.03), overwrite=True)
        for augment in ("none", "default"):
            turns = compare(chips, folder, options, augment, count, batch)
            low, middle, high = statistics.quantiles(turns.ratios, n=4)
            bare = 1000 * statistics.median(turns.bare)
            first = statistics.median(turns.first)
            spread = f"{low:.3f}-{high:.3f}"
            figures = f"{name:16} {augment:10} {bare:16.1f} {middle:13.3f} {spread:>15} {len(turns.ratios):9}"
            print(f"{figures} {first:12.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--loader", action="store_true")
    parser.add_argument("--draws", type=int, default=256)
    options = parser.parse_args()
    logging.getLogger("geoseg").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        loaders(Path(name), options.draws) if options.loader else steps(Path(name), options.steps)


if __name__ == "__main__":
    main()
