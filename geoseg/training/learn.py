"""Run the training of a task to its end, in smaller batches where memory does not suffice."""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from geoseg.chips.augment import parse_augmentation
from geoseg.chips.dataset import ChipDataset
from geoseg.errors import GeosegError, ModelError
from geoseg.training.feed import Batch, Batches, Feed, load
from geoseg.training.job import Job
from geoseg.training.keeper import Keeper
from geoseg.training.report import Report
from geoseg.training.stop import Signals, Stopped
from geoseg.training.task import Diverged, SegmentationTask
from geoseg.training.team import Cluster

logger = logging.getLogger(__name__)

HASTE = 0.1
"""Share of the highest rate above which weights are still on their way."""


def learn(job: Job, task: SegmentationTask, keeper: Keeper, signals: Signals, scaler: Any) -> None:
    """Train until the epochs or the time are over, or it gets no better.

    Args:
        job: what to train on, and how.
        task: what to train; it may have come some way before.
        keeper: who looks after it.
        signals: that may stop it.
        scaler: of 16-bit training, or None.

    Raises:
        Stopped: it was asked to; a checkpoint is written.
        ModelError: it diverged, or memory does not suffice for the smallest batch.
    """
    task.to(job.device)
    dataset = ChipDataset(job.index, "train", parse_augmentation(job.settings.augment))
    if task.step >= job.settings.epoch_steps or (task.step and keeper.is_late):
        keeper.end_epoch()
    while not (task.is_over or keeper.is_late):
        batches = Batches(job.sampler(), task.layout, job.team.rank, lambda: (task.epoch, task.step))
        try:
            _fit(job, task, keeper, load(dataset, batches, job.asked.jobs, job.device), scaler)
        except Stopped:
            raise
        except Diverged as error:
            raise ModelError(_divergence(job, task, batches, error, keeper)) from error
        except (RuntimeError, MemoryError) as error:
            if signals.received is not None and job.team.size == 1:
                task.forget_batch()
                keeper.save()
                raise Stopped from error
            if not _is_out_of_memory(error):
                raise
            _halve(job, task, error)
        _make_room(task, job.device)
    if not task.is_over and job.team.leads:
        _tell_of_haste(task)


def _fit(job: Job, task: SegmentationTask, keeper: Keeper, loader: DataLoader[Batch], scaler: Any) -> None:
    settings, team = job.settings, job.team
    left = (settings.epochs - task.epoch) * settings.chips_per_epoch - task.step * settings.step_chips
    gpu = job.device.type == "cuda"
    options: dict[str, Any] = {"precision": "bf16-mixed" if settings.precision == "bf16" else "32-true"}
    if scaler is not None:
        options = {"plugins": [MixedPrecision("16-mixed", "cuda", scaler)]}
    if team.size > 1:
        options["strategy"] = DDPStrategy(process_group_backend="nccl" if gpu else "gloo")
        options["plugins"] = [*options.get("plugins", []), Cluster(team)]
        options["devices"], options["num_nodes"] = team.local_size, team.nodes
        options["sync_batchnorm"] = gpu
    else:
        options["devices"] = [job.device.index or 0] if gpu else 1
    report = [Report(left // team.size, task.layout.batch)] if team.leads else []
    with _quiet_lightning():
        trainer = L.Trainer(
            accelerator="gpu" if gpu else "cpu",
            max_epochs=settings.epochs - task.epoch,
            accumulate_grad_batches=task.layout.accumulate,
            gradient_clip_val=settings.clip or None,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[*report, keeper],
            **options,
        )
        trainer.fit(task, Feed(loader))


def _divergence(job: Job, task: SegmentationTask, batches: Batches, error: Diverged, keeper: Keeper) -> str:
    """What to say; the weights are kept where they are good still."""
    chips = job.index.rows("train")
    names = list(dict.fromkeys(chips[draw[0]].image for draw in batches.draws_of_step(error.epoch, error.step)))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    task.forget_batch()
    good = all(bool(value.isfinite().all()) for value in task.state().tensors.values() if value.is_floating_point())
    if good and task.steps and job.team.size == 1:
        keeper.save()
    kept = "; what was learned before is kept: make a model of it with --resume --max-time 1s, or begin anew with"
    remedy = f"{kept} --overwrite and a lower --lr" if keeper.has_kept else "; lower --lr"
    return (
        f"{job.index.folder}: training diverged in epoch {error.epoch + 1} at step {error.step + 1} "
        f"(loss {error.loss}) on the chips {', '.join(names[:3])}{more}{remedy}"
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    # oneDNN says "could not create a memory object" or "a primitive".
    return "allocate memory" in text or "could not create a" in text or "bad_alloc" in text


def _halve(job: Job, task: SegmentationTask, error: BaseException) -> None:
    """Go on with smaller batches, and more of them to a step.

    Raises:
        ModelError: that cannot be.
    """
    batch, chip = task.layout.batch, int(job.index.options["chip_size"])
    smaller = task.layout.halved()
    remedy = "take a smaller network, or tile again with a smaller --chip-size"
    if job.team.size > 1:
        raise GeosegError(
            f"out of memory with {job.team.size} processes and batches of {batch} chips; take a smaller --batch-size, "
            "and --accumulate to make up for it"
        ) from error
    try:
        if smaller is None:
            raise ModelError("there is none")
        task.network.require_trainable(job.settings.arch, chip, smaller.batch)
    except GeosegError:
        raise ModelError(
            f"{job.index.folder}: out of memory with batches of {batch} chips of {chip} pixels, and smaller ones "
            f"cannot be: {remedy}"
        ) from error
    task.forget_batch()
    task.layout = smaller
    logger.warning(
        "Out of memory with batches of %d chips; it goes on with %d, and %d of them to a step",
        batch, smaller.batch, smaller.accumulate,
    )  # fmt: skip


def _tell_of_haste(task: SegmentationTask) -> None:
    """The rate follows the steps that were asked for: it is no part of what the clock decides."""
    share = task.rates.factor(task.steps)
    if share > HASTE:
        done = len(task.history)
        logger.warning(
            "The time was over after %d of %d epochs, with the rate at %.0f %% of its highest; "
            "training with --epochs %d takes as long and ends with a low rate, which is mostly better",
            done, task.settings.epochs, 100 * share, done,
        )  # fmt: skip


def _make_room(task: SegmentationTask, device: torch.device) -> None:
    """Free what the last attempt held; Lightning left the network on the CPU."""
    gc.collect()
    task.to(device)
    task.average.follow(task.network)
    if device.type == "cuda":
        torch.cuda.empty_cache()


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
