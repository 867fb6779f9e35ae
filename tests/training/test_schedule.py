"""Rates follow from the number of the step alone."""

import pytest
import torch

from geoseg.training.schedule import SCHEDULES, Schedule


def test_one_cycle_is_that_of_torch():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    wave = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=41, pct_start=0.25)
    schedule = Schedule(40)
    for step in range(40):
        assert schedule.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        assert schedule.momentum(step) == pytest.approx(optimizer.param_groups[0]["betas"][0], rel=1e-6)
        optimizer.step()
        wave.step()


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_rates_rise_to_one_and_fall(kind, steps):
    rates = [Schedule(steps, kind).factor(step) for step in range(steps)]
    assert all(0 < rate <= 1 + 1e-9 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps == 100:
        assert max(rates) == pytest.approx(1, abs=0.01)
        assert rates[-1] < 0.03
