import io
import itertools
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from geoseg.assessment import figures
from geoseg.assessment.estimates import ClassEstimate, Estimate, Interval
from geoseg.assessment.preview import Preview
from geoseg.assessment.scores import Bin, Calibration
from geoseg.confusion import Accuracy, confusion
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend

HOSTILE = ("<script>", "$\\frac{", "a\nb", "\u591a\u96e8", "  ", "x" * 300)
SIGNATURE = b"\x89PNG"


def preview(rows: int, cols: int, crs: str | None = "EPSG:32633", classes: int = 3) -> Preview:
    grid = Grid(CRS.from_string(crs) if crs else None, Affine(30, 0, 5e5, 0, -30, 5e6), rows, cols)
    picture = Preview.of(grid)
    generator = np.random.default_rng(0)
    reference = generator.integers(0, classes, (rows, cols)).astype(np.uint8)
    mapped = np.where(generator.random((rows, cols)) < 0.8, reference, IGNORE).astype(np.uint8)
    picture.add(0, 0, mapped, reference, np.ones((rows, cols), bool))
    return picture


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (200, 5), (60, 80)])
@pytest.mark.parametrize("crs", [None, "EPSG:32633"])
def test_maps_of_any_shape_are_drawn(shape: tuple[int, int], crs: Any) -> None:
    legend = Legend.from_names([(1, "forest"), (2, "water"), (3, "$")])
    assert figures.png(figures.maps_figure(preview(*shape, crs), legend), dpi=30).startswith(SIGNATURE)


@pytest.mark.parametrize("count", [1, 12, 41])  # beyond 40 there is no room for numbers
def test_confusion_and_bars_of_many_and_odd_classes(count: int) -> None:
    names = [f"{HOSTILE[index % len(HOSTILE)]} {index}" for index in range(count)]
    matrix = np.diag(np.arange(count)) + (np.arange(count) > 1)[:, None] * 3  # one or two classes have no reference
    accuracy = Accuracy(matrix.astype(np.int64))
    assert figures.png(figures.confusion_figure(accuracy, names), dpi=20).startswith(SIGNATURE)
    assert figures.png(figures.bars_figure(accuracy, names, {"$rival": accuracy}), dpi=20).startswith(SIGNATURE)


def test_the_same_figure_gives_the_same_bytes() -> None:
    accuracy = Accuracy(confusion(np.array([0, 1, 1], np.uint8), np.array([0, 1, 0], np.uint8), 2))
    first, second = (figures.png(figures.confusion_figure(accuracy, ["a", "b"]), dpi=40) for _ in range(2))
    assert first == second


def test_agreement_marks_only_what_was_compared() -> None:
    picture = preview(4, 4)
    picture.inside[0] = False
    picture.mapped[1, 0], picture.reference[1, 0] = 0, 1
    picture.mapped[1, 1] = IGNORE
    image = figures.agreement(picture.mapped, picture.reference, picture.compared)
    assert (image[0, :, 3] == 0).all()
    assert image[1, 1, 3] == 0
    assert tuple(image[1, 0]) == (*bytes.fromhex(figures.DIFFER[1:]), 255)


def test_names_are_one_short_line_without_formulas() -> None:
    assert figures.plain_name("a\nb\x1b[31m") == "a b [31m"
    assert figures.plain_name("$x$") == r"\$x\$"
    assert len(figures.plain_name("y" * 500)) <= figures.NAME_LENGTH
    assert figures.plain_name(" \n ") == "?"


def test_picture_takes_the_middle_of_each_step_whatever_the_windows() -> None:
    grid = Grid(None, Affine.identity(), 107, 53)
    values = (np.arange(107 * 53) % 200).reshape(107, 53).astype(np.uint8)
    pictures = []
    for rows, cols in ((107, 53), (10, 53), (1, 20), (64, 7)):
        picture = Preview.of(grid, longest=20)
        for row, col in itertools.product(range(0, 107, rows), range(0, 53, cols)):
            part = values[row : row + rows, col : col + cols]
            picture.add(row, col, part, part, part > 3)
        pictures.append(picture.mapped)
    assert max(pictures[0].shape) <= 20
    np.testing.assert_array_equal(pictures[0][0, 0], values[3, 3])
    for other in pictures[1:]:
        np.testing.assert_array_equal(pictures[0], other)


def test_curves_tolerate_gaps_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train_loss,val_miou,lr,note\n0,9,1.5,,0.1,x\n0,9,,0.2,0.1,\n1,19,nan,0.4,0.1,y\n")
    curves = figures.read_curves(path)
    assert set(curves) == {"train_loss", "val_miou", "lr"}
    np.testing.assert_array_equal(curves["val_miou"][0], [0, 1])
    np.testing.assert_array_equal(curves["val_miou"][1], [0.2, 0.4])
    assert figures.png(figures.curves_figure(curves), dpi=30).startswith(SIGNATURE)


@pytest.mark.parametrize("text", ["", "epoch,train_loss\n", "hello\nworld\n", "a\0b\n"])
def test_curves_without_numbers_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"metrics\.csv"):
        figures.read_curves(path)


def test_missing_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        figures.read_curves(tmp_path / "none.csv")


def estimate(shares: list[float | None], hectares: bool) -> Estimate:
    def of(value: float | None, factor: float = 1.0) -> Interval:
        return Interval(None if value is None else value * factor, None if value is None else 0.02 * factor)

    return Estimate(
        method="Olofsson et al. 2014",
        source="samples.gpkg",
        samples=30,
        unlabelled=0,
        outside=0,
        overall=of(0.8),
        quantity_disagreement=None,
        allocation_disagreement=None,
        classes=tuple(
            ClassEstimate(
                id=number,
                name=HOSTILE[number],
                color="#1b7837",
                users=of(share),
                producers=of(share),
                area_share=of(share),
                hectares=of(share, 1e4) if hectares else None,
                mapped_share=0.25,
                mapped_hectares=2500.0 if hectares else None,
            )
            for number, share in enumerate(shares)
        ),
        strata=(),
        counts=(),
        proportions=(),
    )


@pytest.mark.parametrize("hectares", [True, False])
def test_areas_are_drawn_with_their_intervals_and_without(hectares: bool) -> None:
    figure = figures.areas_figure(estimate([0.5, 0.01, None], hectares))
    axes = figure.axes[0]
    factor = 1e4 if hectares else 100
    low, high = axes.collections[0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((0.5 * factor - 1.96 * 0.02 * factor, 0.5 * factor + 1.96 * 0.02 * factor))
    assert axes.collections[0].get_segments()[1][0, 0] == 0  # no area is less than nothing
    assert "no estimate" in [text.get_text().strip() for text in axes.texts]
    assert ("hectares" in axes.get_xlabel()) == hectares
    assert figures.png(figure, dpi=30).startswith(SIGNATURE)


def test_reliability_is_drawn_of_filled_bins_only() -> None:
    bins = (Bin(0.0, 0.5, 0, None, None), Bin(0.5, 0.75, 30, 0.5, 0.6), Bin(0.75, 1.0, 10, 1.0, 0.9))
    told = Calibration("c.tif", 40, 0.1, 0.1, 0.2, False, None, None, bins)
    upper, lower = figures.reliability_figure(told).axes
    assert [bar.get_height() for bar in upper.patches] == [50, 100]
    assert [bar.get_height() for bar in lower.patches] == [75, 25]
    nothing = Calibration("c.tif", 0, None, None, None, False, None, None, bins[:1])
    assert figures.png(figures.reliability_figure(nothing), dpi=30).startswith(SIGNATURE)


def test_a_figure_is_the_same_in_both_formats_and_each_time() -> None:
    accuracy = Accuracy(confusion(np.array([0, 1, 1], np.uint8), np.array([0, 1, 0], np.uint8), 2))
    drawn = []
    for _ in range(2):
        figure = figures.confusion_figure(accuracy, HOSTILE[:2])
        drawn.append((figures.png(figure, dpi=100), figures.svg(figure)))
    assert drawn[0] == drawn[1]
    with Image.open(io.BytesIO(drawn[0][0])) as picture:
        width, height = picture.size
    root = ElementTree.fromstring(drawn[0][1])  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    points = [float(root.attrib[side].removesuffix("pt")) for side in ("width", "height")]
    np.testing.assert_allclose([point / 72 * 100 for point in points], [width, height], atol=2)
    assert b"<script" not in drawn[0][1]
