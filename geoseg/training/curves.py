"""The curves of a training, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Draw loss and validation mIoU against epochs into a PNG.

    Args:
        history: rows with epoch, train_loss, val_loss, val_miou and val_accuracy.
        path: the PNG.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, names in ((left, ("train_loss", "val_loss")), (right, ("val_miou", "val_accuracy"))):
        for name in names:
            axis.plot(epochs, [row[name] for row in history], marker=".", label=name.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    right.set_ylim(0, 1)
    figure.savefig(path, dpi=120)
