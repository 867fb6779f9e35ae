"""Temperature scaling on networks of which the right temperature is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from geoseg.legend import IGNORE
from geoseg.training import calibration
from geoseg.training.calibration import fit_temperature

CLASSES = 4


class Scaled(nn.Module):
    """Takes the image for logits and multiplies them; it has a layer that differs between training and use."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.dropout = nn.Dropout(0.5)

    def forward(self, image: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(image)
        return dropped * self.factor


def honest_batches(count: int = 2, side: int = 48) -> list[tuple[Tensor, Tensor]]:
    """Logits, and labels drawn with exactly the probabilities that they claim; a quarter unlabelled."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(count):
        logits = torch.randn(2, CLASSES, side, side, generator=generator) * 1.5
        chances = logits.softmax(1).movedim(1, -1).reshape(-1, CLASSES)
        label = torch.multinomial(chances, 1, generator=generator).reshape(2, side, side)
        label[:, : side // 4] = IGNORE
        batches.append((logits, label))
    return batches


@pytest.mark.parametrize("factor", [3.0, 0.4])
def test_it_finds_the_temperature_that_a_network_is_off_by(factor: float) -> None:
    found = fit_temperature(Scaled(factor), honest_batches())
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.after < found.before / 3
    assert found.after < 0.02
    assert found.pixels == 2 * 2 * 36 * 48


def test_an_honest_network_stays_as_it_is() -> None:
    found = fit_temperature(Scaled(1.0), honest_batches())
    assert found.temperature == pytest.approx(1, abs=0.03)
    assert found.after <= found.before


def test_the_network_is_used_as_in_prediction_and_left_as_it_was() -> None:
    network = Scaled(2.0)
    assert fit_temperature(network, honest_batches()) == fit_temperature(network.eval(), honest_batches())
    network.train()
    fit_temperature(network, honest_batches(1))
    assert network.training


def test_a_network_that_is_never_wrong_is_not_made_infinitely_sure() -> None:
    logits = torch.zeros(1, CLASSES, 8, 8)
    logits[:, 2] = 1
    found = fit_temperature(Scaled(1.0), [(logits, torch.full((1, 8, 8), 2))])
    assert calibration.COLDEST <= found.temperature < 1
    assert found.after < found.before


@pytest.mark.parametrize("batches", [[], [(torch.zeros(1, CLASSES, 8, 8), torch.full((1, 8, 8), IGNORE))]])
def test_without_labelled_pixels_there_is_nothing_to_fit(batches: list[tuple[Tensor, Tensor]]) -> None:
    found = fit_temperature(Scaled(1.0), batches)
    assert (found.temperature, found.pixels) == (1, 0)
    assert math.isnan(found.before)
    assert math.isnan(found.after)


def test_many_pixels_are_thinned_alike_however_they_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MOST_LOGITS", 3000 * CLASSES)
    batches = honest_batches()
    single = [(image[i : i + 1], label[i : i + 1]) for image, label in batches for i in range(2)]
    one, other = (fit_temperature(Scaled(3.0), which) for which in (batches, single))
    assert one == other
    assert 1500 <= one.pixels <= 3000
    assert one.temperature == pytest.approx(3, rel=0.1)
