import json

import numpy as np
import pytest
import torch

from geoseg.errors import OptionError
from geoseg.legend import Legend
from geoseg.training.class_weights import class_weights, median_frequency

LEGEND = Legend.from_names([(1, "forest"), (2, "water"), (7, "burnt land")])
COUNTS = np.array([[60, 40, 0], [80, 0, 20], [10, 0, 0]])


def test_median_frequency_is_that_of_the_paper():
    frequency = np.array([150 / 210, 40 / 100, 20 / 100])
    expected = np.median(frequency) / frequency
    weights = median_frequency(COUNTS).numpy()
    assert weights / weights[0] == pytest.approx(expected / expected[0], rel=1e-6)
    assert (weights * COUNTS.sum(0)).sum() == pytest.approx(COUNTS.sum())


def test_an_absent_class_weighs_nothing():
    weights = median_frequency(COUNTS[:, [0, 1, 1]] * [1, 1, 0])
    assert weights[2] == 0
    assert weights.isfinite().all()


def test_names():
    assert class_weights("none", COUNTS, LEGEND) is None
    assert class_weights("sqrt", COUNTS, LEGEND)[2] > class_weights("auto", COUNTS, LEGEND)[2]
    assert torch.equal(class_weights("median_frequency", COUNTS, LEGEND), median_frequency(COUNTS))


@pytest.mark.parametrize(
    ("name", "text"),
    [("w.toml", "water = 2\nforest = 0.5\n'burnt land' = 0"),
     ("w.json", '{"burnt land": 0, "forest": 0.5, "water": 2}')],
)  # fmt: skip
def test_tables_are_taken_as_they_are(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert class_weights(str(tmp_path / name), COUNTS, LEGEND).tolist() == [0.5, 2, 0]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"forest": 1, "water": 1}, "no weight for 'burnt land'"),
        ({"forest": 1, "wter": 1, "burnt land": 1}, "did you mean 'water'"),
        ({"forest": 1, "water": "much", "burnt land": 1}, "'water' is 'much'"),
        ({"forest": 1, "water": -1, "burnt land": 1}, "0 or more"),
        ({"forest": 1, "water": float("nan"), "burnt land": 1}, "0 or more"),
        ({"forest": True, "water": 1, "burnt land": 1}, "must be a number"),
        ({"forest": 0, "water": 0, "burnt land": 0}, "all weights are 0"),
        ([1, 2, 3], "no table but list"),
    ],
)
def test_tables_that_cannot_be(tmp_path, table, says):
    path = tmp_path / "w.json"
    path.write_text(json.dumps(table))
    with pytest.raises(OptionError, match=says) as caught:
        class_weights(str(path), COUNTS, LEGEND)
    assert str(caught.value).startswith(str(path))


def test_files_that_cannot_be(tmp_path):
    (tmp_path / "w.toml").write_text("forest =")
    with pytest.raises(OptionError, match="no table of class weights"):
        class_weights(str(tmp_path / "w.toml"), COUNTS, LEGEND)
    with pytest.raises(OptionError, match="No such file"):
        class_weights(str(tmp_path / "gone.toml"), COUNTS, LEGEND)
    with pytest.raises(OptionError, match="median_frequency"):
        class_weights("some", COUNTS, LEGEND)
