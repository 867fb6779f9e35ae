"""A training per fold, and what is told of them."""

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import geoseg
from conftest import WriteScene, striped
from geoseg.cli import main
from geoseg.confusion import Accuracy
from geoseg.errors import ChipError, OptionError, OutputExistsError, SceneError
from geoseg.model import read_spec
from geoseg.training import cross_validation, job
from geoseg.training.cross_validation import CrossValidation, cross_validate, mean_and_spread
from geoseg.training.fit import beside

QUICK: dict[str, Any] = {"epochs": 1, "chips_per_epoch": 4, "batch_size": 4}
WORDS = ["--epochs", "1", "--chips-per-epoch", "4", "--batch-size", "4", "-q"]

SPEC = SimpleNamespace(training={"validation": {"confusion": np.eye(3).tolist()}})


@pytest.fixture
def scene(write_scene: WriteScene) -> tuple[Path, Path]:
    """A scene of 96 x 120 pixels and its labels."""
    values, classes = striped(96, 120)
    return write_scene(values, nodata=0), write_scene(classes[None], "labels.tif", nodata=0)


@pytest.fixture
def folds(scene: tuple[Path, Path], tmp_path: Path) -> Path:
    """Chips in two folds."""
    geoseg.tile(*scene, tmp_path / "chips", chip_size=24, folds=2)
    return tmp_path / "chips"


def test_each_fold_is_held_out_once_and_none_is_trained_twice(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = []

    def stopped_in_fold_1(chips: Path, path: Path, *, fold: int, **settings: Any) -> Any:
        held_out.append(fold)
        if held_out == [0, 1]:
            raise KeyboardInterrupt
        return geoseg.train(chips, path, fold=fold, **settings)

    monkeypatch.setattr(cross_validation, "train", stopped_in_fold_1)
    output = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        cross_validate(folds, output, **QUICK)
    assert not list(tmp_path.glob("m.*"))
    result = cross_validate(folds, output, **QUICK)
    assert held_out == [0, 1, 1]

    assert sorted(path.name for path in tmp_path.glob("m.*")) == sorted(
        ["m.folds.csv"]
        + [
            f"m.fold_{k}.{end}"
            for k in (0, 1)
            for end in ("safetensors", "md", "metrics.csv", "curves.png", "confusion.csv")
        ]
    )
    scores = [read_spec(path).training["validation"] for path in result.models]
    assert list(result.mean_iou) == [score["mean_iou"] for score in scores]
    assert list(result.pixels) == [score["pixels"] for score in scores]
    with (tmp_path / "m.folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["0", "1", "mean", "spread"]
    assert float(rows[2]["mean_iou"]) == pytest.approx(np.mean(result.mean_iou))
    with pytest.raises(OutputExistsError):
        cross_validate(folds, output, **QUICK)


@pytest.mark.parametrize("change", ["begin_with", "class_weights", "version"])
def test_folds_of_other_files_or_another_version_are_not_gone_on_with(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    trained = []

    def stopped_in_fold_1(_: Path, path: Path, *, fold: int, **__: Any) -> None:
        trained.append(fold)
        if fold == 1:
            raise KeyboardInterrupt
        path.write_bytes(b"")

    monkeypatch.setattr(cross_validation, "train", stopped_in_fold_1)
    monkeypatch.setattr(cross_validation, "read_spec", lambda _: SPEC)
    file = tmp_path / "file"
    file.write_text("one")
    settings: dict[str, Any] = {} if change == "version" else {change: str(file)}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            cross_validate(folds, tmp_path / "m.safetensors", **settings)
    assert trained == [0, 1, 1]
    if change == "version":
        monkeypatch.setattr(job, "versions", lambda: {"geoseg": "0", "torch": "0"})
    else:
        file.write_text("another")
    with pytest.raises(KeyboardInterrupt):
        cross_validate(folds, tmp_path / "m.safetensors", **settings)
    assert trained == [0, 1, 1, 0, 1]


def test_folds_that_began_with_different_files_make_no_table(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("one")

    def changing(_: Path, path: Path, *, fold: int, **__: Any) -> None:
        for name in (path.name, *beside(path)):
            path.with_name(name).write_bytes(b"")
        file.write_text(f"after fold {fold}")

    monkeypatch.setattr(cross_validation, "train", changing)
    monkeypatch.setattr(cross_validation, "read_spec", lambda _: SPEC)
    with pytest.raises(SceneError, match=r"file: was changed while it was read, so .*m\.folds\.csv was not made"):
        cross_validate(folds, tmp_path / "m.safetensors", begin_with=str(file))
    assert not list(tmp_path.glob("m.*"))


def test_the_command_trains_the_folds(folds: Path, tmp_path: Path) -> None:
    words = ["train", str(folds), "--cross-validate", "-o", str(tmp_path / "m.safetensors"), "--json", *WORDS]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["folds"] == [0, 1]
    assert set(told["iou"]) == {"class 1", "class 2", "class 3"}


def test_mean_and_spread_by_hand() -> None:
    one, other = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]]), np.array([[6, 0, 0], [0, 5, 5], [0, 0, 4]])
    names = ("water", "forest", "town")
    result = CrossValidation.of(Path("m.folds.csv"), ["a", "b"], [0, 1], names, [Accuracy(one), Accuracy(other)])
    assert result.overall_accuracy == pytest.approx((0.9, 0.75))
    assert result.iou["water"] == pytest.approx((0.8, 1.0))
    assert mean_and_spread(result.iou["water"]) == pytest.approx((0.9, 0.2 / math.sqrt(2)))
    mean, spread = mean_and_spread(result.iou["town"])
    assert mean == pytest.approx(4 / 9)
    assert math.isnan(spread)
    assert "water   IoU 0.900 (spread 0.141)" in str(result)
    assert all(math.isnan(value) for value in mean_and_spread([math.nan]))


def test_what_cannot_be_cross_validated(folds: Path, scene: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    with pytest.raises(OptionError, match="give one of them"):
        cross_validate(folds, output, fold=1)
    with pytest.raises(ChipError, match="cut in 2 folds, 0 to 1"):
        cross_validate(folds, output, folds=[2])
    geoseg.tile(*scene, tmp_path / "split", chip_size=24, split=(0.5, 0.5, 0))
    with pytest.raises(ChipError, match=r"tile --folds 5"):
        cross_validate(tmp_path / "split", output)
    assert not list(tmp_path.glob("m.*"))
