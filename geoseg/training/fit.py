"""Train a network on a chip folder and leave one model file that describes itself."""

from __future__ import annotations

import contextlib
import csv
import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from geoseg import losses, models, progress
from geoseg.chips.augment import parse_augmentation
from geoseg.chips.dataset import ChipDataset
from geoseg.chips.index import ChipIndex, read_index
from geoseg.chips.sampling import ClassBalancedSampler, InOrder
from geoseg.device import choose_device
from geoseg.errors import ChipError, ModelError, OptionError, require_seed
from geoseg.grid import round_up
from geoseg.model import ModelSpec, versions, write_model
from geoseg.models._first_layer import ExtraBands
from geoseg.models._network import SegmentationNetwork
from geoseg.output import Workspace, new_output, refuse_existing
from geoseg.training.begin import Begin, begin
from geoseg.training.card import model_card
from geoseg.training.class_weights import class_weights as weights_of_classes
from geoseg.training.curves import draw_curves
from geoseg.training.task import Best, Schedule, SegmentationTask, parameters

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What `train` made.

    Attributes:
        output: the model file; its .metrics.csv, .curves.png and .md stand beside it.
        architecture: its network.
        parameters: number of learned weights.
        epochs, best_epoch: run, and kept.
        mean_iou, overall_accuracy: on the validation chips, NaN without any.
        seconds: of training.
    """

    output: str
    architecture: str
    parameters: int
    epochs: int
    best_epoch: int
    mean_iou: float
    overall_accuracy: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.output}: {self.architecture}, {self.parameters:,} weights, "
            f"epoch {self.best_epoch} of {self.epochs}, validation mIoU {self.mean_iou:.3f}, "
            f"overall accuracy {self.overall_accuracy:.3f}, {self.seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved options of a training: what was asked for, and what was chosen where nothing was."""

    arch: str
    options: dict[str, Any]
    loss: str
    class_weights: str
    epochs: int
    chips_per_epoch: int
    batch_size: int
    lr: float
    patience: int
    augment: str
    device: str
    precision: str
    seed: int
    begin: Begin

    @property
    def schedule(self) -> Schedule:
        """Steps and rates."""
        steps = self.epochs * self.chips_per_epoch // self.batch_size
        return Schedule(steps=steps, lr=self.lr, patience=self.patience)


def train(
    chips: str | Path,
    output: str | Path,
    *,
    fold: int | None = None,
    arch: str = "auto",
    encoder: str | None = None,
    depth: int | None = None,
    weights: str | Path | None = None,
    weight_bands: str | None = None,
    extra_bands: ExtraBands = "mean",
    reduce_bands: int | None = None,
    loss: str = "ce+dice",
    class_weights: str = "auto",
    epochs: int | None = None,
    chips_per_epoch: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    patience: int | None = None,
    augment: str | float = "default",
    device: str = "auto",
    precision: str = "auto",
    jobs: int = 0,
    seed: int = 0,
    overwrite: bool = False,
) -> TrainResult:
    """Train a network on a chip folder.

    Args:
        chips: folder that `tile` made.
        output: model file to make, `.safetensors`.
        fold: of chips that were cut in folds, the one to hold out for validation.
        arch: architecture; "auto" takes the compact U-Net, which does best without pretrained weights, and unet with.
        encoder: encoder of the architectures that have one.
        depth: halvings of the architectures that have a choice.
        weights: what the encoder begins with: "imagenet", or a file (.safetensors, .pth, .pt); None for chance.
        weight_bands: bands that the file was trained on: rgb, sentinel2, landsat-tm, landsat-etm, landsat-etm-sr,
            landsat-oli-tirs, landsat-oli-sr, or names with commas; told from their number when None.
        extra_bands: how bands begin that the weights do not know: "mean" of the others, or "zero" influence.
        reduce_bands: bands that a learned projection, begun as principal components, leaves for the network.
        loss: a loss, or a sum of them such as "ce+dice:0.5".
        class_weights: "auto" (mild), "sqrt" (stronger), "none", "median_frequency", or a .toml or .json file with a
            weight for each class name.
        epochs: passes of `chips_per_epoch` draws.
        chips_per_epoch: chips drawn in an epoch, half of them for a class drawn evenly.
        batch_size: chips per step.
        lr: highest learning rate.
        patience: epochs without a better validation mIoU before it stops.
        augment: how chips are changed at random: "default", "none", a sum such as "jitter:0.5+scale+cutmix", or the
            strength of the jitter; see `geoseg.chips.augment.Augmentation`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto" (bf16 on a GPU), "32" or "bf16".
        jobs: processes that read chips.
        seed: of weights, draws and augmentation.
        overwrite: replace the model file if it is there.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise OptionError(f"{output}: a model file is named .safetensors")
    refuse_existing(output, overwrite, beside(output))
    index = read_index(chips, fold)
    _refuse_untrainable(index)
    chosen = choose_device(device)
    settings = _settings(
        index,
        arch=arch,
        options={
            key: value
            for key, value in (("encoder", encoder), ("depth", depth), ("reduce_bands", reduce_bands))
            if value is not None
        },
        begin=Begin(None if weights is None else str(weights), weight_bands, extra_bands),
        loss=loss,
        class_weights=class_weights,
        epochs=epochs,
        chips_per_epoch=chips_per_epoch,
        batch_size=batch_size,
        lr=lr,
        patience=patience,
        augment=str(parse_augmentation(augment)),
        device=str(chosen),
        precision=precision,
        seed=seed,
    )
    with torch.random.fork_rng(), new_output(output, overwrite=overwrite, beside=beside(output)) as workspace:
        torch.manual_seed(seed)
        network = models.build(settings.arch, len(index.bands), len(index.legend), **settings.options)
        network.require_trainable(settings.arch, int(index.options["chip_size"]), settings.batch_size)
        began = begin(network, index, settings.arch, settings.options, settings.begin)
        logger.info(_announcement(settings, network, index))
        start = time.monotonic()
        task = _fit(network, index, settings, chosen, jobs)
        seconds = time.monotonic() - start
        best = task.best
        if best is None:
            raise ModelError(f"{output}: training ended before its first epoch; nothing was learned")
        _leave(workspace, index, settings, network, best, task.history, began)
        return TrainResult(
            str(output),
            settings.arch,
            parameters(network),
            len(task.history),
            best.epoch,
            best.accuracy.mean_iou,
            best.accuracy.overall,
            seconds,
        )


def beside(output: Path) -> tuple[str, str, str]:
    """Names of the files beside a model: its figures per epoch, their curves, and its card."""
    return f"{output.stem}.metrics.csv", f"{output.stem}.curves.png", f"{output.stem}.md"


def _refuse_untrainable(index: ChipIndex) -> None:
    folds = index.options.get("folds")
    if folds and index.of("train").empty:
        raise ChipError(f"{index.folder}: was cut in {folds} folds; say which to hold out with --fold 0 to {folds - 1}")
    if index.of("train").empty:
        raise ChipError(f"{index.folder}: has no training chips; make it again with a training share in --split")
    if len(index.legend) < 2:
        only = index.legend.names[0]
        raise ChipError(f"{index.folder}: has the one class '{only}'; two or more are needed to tell anything apart")
    index.require_files()


def _settings(index: ChipIndex, **asked: Any) -> Settings:
    """Fill in what was not asked for, from the chips."""
    chip = int(index.options["chip_size"])
    compact = asked["begin"].weights is None
    arch = ("unet_compact" if compact else "unet") if asked["arch"] == "auto" else asked["arch"]
    batch = asked["batch_size"] or (16 if chip <= 48 else 8 if chip <= 128 else 4)
    defaults = {
        "epochs": 12,
        "chips_per_epoch": _draws(len(index.of("train")), chip, batch, asked["device"]),
        "batch_size": batch,
        "lr": 3e-3 if arch == "unet_compact" else 1e-3,
    }
    values = asked | {key: value for key, value in defaults.items() if asked[key] is None} | {"arch": arch}
    # Whole batches only: BatchNorm cannot learn from a last batch of one chip.
    values["chips_per_epoch"] = round_up(max(values["chips_per_epoch"], 1), max(values["batch_size"], 1))
    if values["patience"] is None:
        values["patience"] = values["epochs"]
    for name in ("epochs", "chips_per_epoch", "batch_size", "patience"):
        if values[name] < 1:
            raise OptionError(f"{name} is {values[name]}; it must be 1 or more")
    if not 0 < values["lr"] < 1:
        raise OptionError(f"lr is {values['lr']}; it must be more than 0 and less than 1")
    weights_of_classes(values["class_weights"], index.counts("train"), index.legend)
    if values["precision"] not in ("auto", "32", "bf16"):
        raise OptionError(f"precision is '{values['precision']}'; it must be auto, 32 or bf16")
    if values["precision"] == "auto":
        values["precision"] = "bf16" if values["device"].startswith("cuda") else "32"
    require_seed(values["seed"])
    losses.parse(values["loss"])
    return Settings(**values)


def _draws(chips: int, chip: int, batch: int, device: str) -> int:
    """Chips drawn in an epoch, not a pass over all: small sets are drawn from often, large ones in parts.

    At least 16 steps, at most two megapixels on a CPU: with the default epochs that is some minutes on two cores.
    """
    least = max(16 * batch, int(240 * min(1.0, (64 / chip) ** 2)))
    most = (2e6 if device == "cpu" else 2e7) / (chip * chip)
    return max(least, min(chips, int(most)))


def _announcement(settings: Settings, network: SegmentationNetwork, index: ChipIndex) -> str:
    return (
        f"Training {settings.arch} ({parameters(network):,} weights) on {len(index.of('train'))} chips of "
        f"{index.options['chip_size']} pixels, {len(index.bands)} bands, {len(index.legend)} classes: "
        f"{settings.epochs} epochs of {settings.chips_per_epoch} draws, batch {settings.batch_size}, rate "
        f"{settings.lr:g}, {settings.loss}, class weights {settings.class_weights}, {settings.device}"
    )


def _fit(
    network: SegmentationNetwork, index: ChipIndex, settings: Settings, device: torch.device, jobs: int
) -> SegmentationTask:
    weights = weights_of_classes(settings.class_weights, index.counts("train"), index.legend)
    task = SegmentationTask(
        network, losses.build(settings.loss), weights, len(index.legend), settings.schedule, str(index.folder)
    )
    training = ChipDataset(index, "train", parse_augmentation(settings.augment))
    validation = ChipDataset(index, "val")
    loader: dict[str, Any] = {"batch_size": settings.batch_size, "num_workers": jobs, "persistent_workers": jobs > 0}
    sampler = ClassBalancedSampler(index.counts("train"), settings.chips_per_epoch, settings.seed)
    with _quiet_lightning():
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
            max_epochs=settings.epochs,
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[_Report(settings.epochs * settings.chips_per_epoch, settings.batch_size)],
        )
        loaders = (
            DataLoader(training, sampler=sampler, **loader),
            DataLoader(validation, sampler=InOrder(validation), **loader) if len(validation) else None,
        )
        with _interruptible(trainer):
            trainer.fit(task, *loaders)
    return task


@contextlib.contextmanager
def _interruptible(trainer: L.Trainer) -> Iterator[None]:
    """Ctrl-C stays KeyboardInterrupt; Lightning would turn it off for good and leave the process."""
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if error.code != 1 or not trainer.interrupted:
            raise
        raise KeyboardInterrupt from error
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's advice on workers, hardware and loggers is not for our users."""
    names = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class _Report(Callback):
    """Shows progress, the figures of each epoch, and how long training waited for data."""

    def __init__(self, chips: int, batch: int) -> None:
        self._stack = contextlib.ExitStack()
        self._chips, self._batch = chips, batch
        self._waited = self._worked = 0.0
        self._mark = time.monotonic()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._bar = self._stack.enter_context(progress.bar("Training", self._chips, "chips"))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._mark = time.monotonic()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        self._waited += now - self._mark
        self._mark = now

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        self._worked += now - self._mark
        self._mark = now
        self._bar.advance(self._batch)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self._stack.close()
        total = self._waited + self._worked
        share = 100 * self._waited / total if total else 0
        logger.info("Training waited %.0f %% of the time for data; the rest was the network", share)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._stack.close()


def _leave(
    workspace: Workspace,
    index: ChipIndex,
    settings: Settings,
    network: SegmentationNetwork,
    best: Best,
    history: list[dict[str, float]],
    began: dict[str, Any],
) -> None:
    """Write the model file, metrics.csv, curves.png and model.md."""
    spec = ModelSpec(
        architecture=settings.arch,
        options=settings.options,
        bands=index.bands,
        statistics=index.statistics,
        legend=index.legend,
        ground_sample_distance=index.ground_sample_distance,
        reach=models.reach(settings.arch, **settings.options),
        stride=network.stride,
        chip_size=int(index.options["chip_size"]),
        training={
            "chips": str(index.folder),
            "tiling": index.options,
            "settings": asdict(settings),
            "began": began,
            "pixels": {
                split: dict(zip(index.legend.names, index.counts(split).sum(0).tolist(), strict=True))
                for split in ("train", "val", "test")
            },
            "best_epoch": best.epoch,
            "validation": best.accuracy.to_dict(index.legend),
            "versions": versions(),
        },
    )
    write_model(workspace.main, spec, best.weights)
    metrics, curves, card = (workspace.beside(name) for name in beside(workspace.target))
    with metrics.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    draw_curves(history, curves)
    card.write_text(model_card(spec, parameters(network)), encoding="utf-8")
