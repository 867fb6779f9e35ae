"""Processes that train together learn what one would."""

import csv

import pytest
import torch

import geoseg
from geoseg.errors import OptionError
from geoseg.model import load_model
from geoseg.training.feed import Batches, Layout, in_order
from geoseg.training.team import find_team, is_first_process


class Draws:
    """Twelve draws an epoch, named by their epoch and number."""

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter([(self.epoch, number) for number in range(12)])


def figures(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in rows]


def test_two_processes_learn_what_one_does(small_chips, tmp_path):
    # BatchNorm counts in each process for itself and dice is no mean over chips; without both only rounding differs.
    options = {"arch": "unet_classic", "arch_options": {"width": 4}, "loss": "ce", "class_weights": "none", "epochs": 2,
               "chips_per_epoch": 24, "device": "cpu", "lr": 0.01}  # fmt: skip
    geoseg.train(small_chips, tmp_path / "one.safetensors", batch_size=4, **options)
    geoseg.train(small_chips, tmp_path / "two.safetensors", batch_size=2, devices=2, **options)
    one, two = (figures(tmp_path / f"{name}.metrics.csv") for name in ("one", "two"))
    assert two == [pytest.approx(row, rel=1e-3, abs=1e-4) for row in one]
    a, b = (load_model(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    for key, value in a.network.state_dict().items():
        assert torch.allclose(value, b.network.state_dict()[key], atol=1e-4)
    assert b.spec.training["settings"]["processes"] == 2


@pytest.mark.parametrize("layout", [Layout(12, 1), Layout(4, 3), Layout(2, 2, 3), Layout(1, 2, 3)])
def test_each_draw_goes_to_one_process_and_each_step_has_its_own(layout):
    shares = [list(Batches(Draws(), layout, rank, lambda: (5, 0))) for rank in range(layout.processes)]
    steps = 12 // layout.step_chips
    for step in range(steps):
        own = slice(step * layout.accumulate, (step + 1) * layout.accumulate)
        drawn = sorted(draw for share in shares for batch in share[own] for draw in batch)
        assert drawn == [(5, number) for number in range(step * layout.step_chips, (step + 1) * layout.step_chips)]
    assert all(len(share) == steps * layout.accumulate for share in shares)


def test_an_epoch_goes_on_in_its_middle():
    whole = list(Batches(Draws(), Layout(2, 2), 0, lambda: (1, 0)))
    assert list(Batches(Draws(), Layout(2, 2), 0, lambda: (1, 2))) == whole[4:]
    assert list(Batches(Draws(), Layout(2, 2), 0, lambda: (1, 3))) == []


def test_smaller_batches_make_the_same_step():
    for batch in (8, 6, 9, 7, 2):
        layout = Layout(batch, 2, 3)
        while (smaller := layout.halved()) is not None:
            assert smaller.step_chips == layout.step_chips
            assert smaller.batch < layout.batch
            layout = smaller
        assert layout.batch == 1


def test_validation_is_shared_out_whole():
    shares = [in_order(list(range(7)), 2, rank, 3) for rank in range(3)]
    assert sorted(draw for share in shares for batch in share for draw in batch) == list(range(7))


def test_torchrun_says_who_is_who():
    said = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
            "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}  # fmt: skip
    team = find_team(None, 1, said)
    assert (team.rank, team.size, team.local_rank, team.nodes, team.leads) == (5, 8, 1, 2, False)
    assert not is_first_process(said)
    with pytest.raises(OptionError, match="torchrun started 4 processes"):
        find_team(2, 1, said)


def test_machines_must_know_where_to_meet():
    with pytest.raises(OptionError, match="MASTER_ADDR, MASTER_PORT and NODE_RANK"):
        find_team(2, 2, {})
    team = find_team(2, 3, {"NODE_RANK": "2", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"})
    assert (team.rank, team.size, team.helper(1).rank) == (4, 6, 5)
