"""Cross-validation: a training for each spatial fold of the chips, and what the scores are on those held out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.chips.index import ChipIndex, read_index
from geoseg.confusion import Accuracy
from geoseg.disk import stamps_for
from geoseg.errors import ChipError, ModelError, OptionError
from geoseg.model import read_spec
from geoseg.output import digest, new_output, refuse_existing
from geoseg.table import write_records
from geoseg.training.fit import beside as beside_model
from geoseg.training.fit import train
from geoseg.training.job import files_of, made_with
from geoseg.training.options import Asked

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Scores of a training per fold, each on the chips that it did not see.

    Attributes:
        output: the table of them, .folds.csv; the models stand beside it.
        models: model file of each fold.
        folds: numbers of the folds.
        pixels: labelled pixels that each was judged on.
        overall_accuracy, mean_iou: of each fold.
        iou, f1: per class name, of each fold; NaN for a class that a fold does not have.
    """

    output: str
    models: tuple[str, ...]
    folds: tuple[int, ...]
    pixels: tuple[int, ...]
    overall_accuracy: tuple[float, ...]
    mean_iou: tuple[float, ...]
    iou: dict[str, tuple[float, ...]]
    f1: dict[str, tuple[float, ...]]

    @classmethod
    def of(
        cls,
        output: Path,
        models: Sequence[str],
        folds: Sequence[int],
        classes: Sequence[str],
        accuracies: Sequence[Accuracy],
    ) -> CrossValidation:
        """Scores from the confusion matrices of the folds."""
        iou, f1 = (
            {name: tuple(map(float, values)) for name, values in zip(classes, np.stack(scores, axis=1), strict=True)}
            for scores in ([one.iou for one in accuracies], [one.f1 for one in accuracies])
        )
        return cls(
            str(output),
            tuple(models),
            tuple(folds),
            tuple(int(one.matrix.sum()) for one in accuracies),
            tuple(one.overall for one in accuracies),
            tuple(one.mean_iou for one in accuracies),
            iou,
            f1,
        )

    def __str__(self) -> str:
        lines = [
            f"{self.output}: {len(self.folds)} folds, mIoU {_told(self.mean_iou)}, "
            f"overall accuracy {_told(self.overall_accuracy)}"
        ]
        width = max(map(len, self.iou))
        for name, iou in self.iou.items():
            lines.append(f"  {name:{width}}  IoU {_told(iou)}, F1 {_told(self.f1[name])}")
        return "\n".join(lines)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row of figures per fold, then their mean and spread (see `mean_and_spread`)."""
        columns = {"overall_accuracy": self.overall_accuracy, "mean_iou": self.mean_iou}
        for name in self.iou:
            columns |= {f"iou {name}": self.iou[name], f"f1 {name}": self.f1[name]}
        for number, fold in enumerate(self.folds):
            own = {key: values[number] for key, values in columns.items()}
            yield {"fold": fold, "pixels": self.pixels[number]} | own
        means, spreads = zip(*map(mean_and_spread, columns.values()), strict=True)
        for name, values in (("mean", means), ("spread", spreads)):
            yield {"fold": name, "pixels": ""} | dict(zip(columns, values, strict=True))


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of the values that are not NaN; NaN of none, and of one.

    The spread is that between folds, which differ in their ground and in what they learned from: it is no error bar
    of the mean.
    """
    known = np.array(values)[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else math.nan
    return mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan


def cross_validate(
    chips: str | Path,
    output: str | Path,
    *,
    folds: Sequence[int] | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> CrossValidation:
    """Train once for each fold of chips that were cut with `geoseg tile --folds`, held out in turn.

    For an output `model.safetensors` it leaves `model.folds.csv`, and what `train` leaves of each fold under
    `model.fold_0.safetensors` and so on. When it was stopped, the same call goes on with the folds that are missing.

    Args:
        chips: folder that `tile` made with `folds`.
        output: name of a model file, which the others are called after.
        folds: those to hold out; all when not given.
        overwrite: replace files that are there.
        **settings: of `geoseg.train`, the same for each fold.

    Raises:
        GeosegError: see the classes of `geoseg.errors`.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise OptionError(f"{output}: a model file is named .safetensors")
    if settings.pop("fold", None) is not None:
        raise OptionError("fold and cross-validation both say what is held out; give one of them")
    settings.pop("resume", None)  # it always goes on
    index = read_index(chips)
    numbers = _folds(index, folds)
    models = [f"{output.stem}.fold_{number}.safetensors" for number in numbers]
    beside = tuple(name for model in models for name in (model, *beside_model(Path(model))))
    table = output.with_name(f"{output.stem}.folds.csv")
    refuse_existing(table, overwrite, beside)
    sources = stamps_for(table, files_of(index, Asked(**settings)))
    key = digest({"folds": numbers, "settings": settings} | made_with(), sources)

    def learn(path: Path, fold: int) -> None:
        # The workspace is kept for the same work only, so what lies there of a fold is its own.
        train(chips, path, fold=fold, resume=True, overwrite=True, **settings)

    with new_output(table, overwrite=overwrite, beside=beside, key=key, sources=sources) as workspace:
        accuracies = [
            _accuracy_of_fold(workspace.beside(model), number, learn)
            for model, number in zip(models, numbers, strict=True)
        ]
        places = [str(table.with_name(model)) for model in models]
        result = CrossValidation.of(table, places, numbers, index.legend.names, accuracies)
        _write(result, workspace.main)
    return result


def _folds(index: ChipIndex, asked: Sequence[int] | None) -> tuple[int, ...]:
    count = index.options.get("folds")
    if not count:
        raise ChipError(f"{index.folder}: was not cut in folds; cut it with 'geoseg tile --folds 5' to cross-validate")
    numbers = tuple(range(count)) if asked is None else tuple(sorted(set(asked)))
    if not numbers or not set(numbers) <= set(range(count)):
        raise ChipError(f"{index.folder}: was cut in {count} folds, 0 to {count - 1}; asked were {list(asked or [])}")
    return numbers


def _accuracy_of_fold(model: Path, fold: int, learn: Callable[[Path, int], None]) -> Accuracy:
    """Scores on the chips that were held out, by a model that is there already or is trained now."""
    if model.exists():
        logger.info("Fold %d was trained before", fold)
    else:
        logger.info("Fold %d is held out", fold)
        learn(model, fold)
    try:
        matrix = np.array(read_spec(model).training["validation"]["confusion"], np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{model}: does not say how well it did on its fold; train it again") from error
    return Accuracy(matrix)


def _write(result: CrossValidation, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        write_records(file, list(result.rows()))


def _told(values: Sequence[float]) -> str:
    mean, spread = mean_and_spread(values)
    return f"{mean:.3f} (spread {spread:.3f})"
