"""Processes that train together: a GPU each, or a share of the cores each."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

from geoseg.device import choose_device, device_among
from geoseg.errors import OptionError
from geoseg.helpers import Helper


@dataclass(frozen=True, slots=True)
class Team:
    """One process of those that train together.

    Attributes:
        rank, size: which one of how many.
        local_rank, local_size: on this machine.
        address, port: where they meet.
        outside: whether somebody else started all of them, as torchrun does.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    outside: bool = False

    @property
    def leads(self) -> bool:
        """True for the one process that writes."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.size // self.local_size

    def helper(self, number: int) -> Team:
        """Another process of this machine, 1 to `local_size` - 1."""
        return replace(self, rank=self.rank + number, local_rank=number)


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """True unless torchrun started this process beside the first."""
    return "TORCHELASTIC_RUN_ID" not in environment or environment.get("RANK", "0") == "0"


def find_team(devices: int | None, nodes: int, environment: Mapping[str, str] = os.environ) -> Team:
    """The team that this process begins, or belongs to.

    Args:
        devices: processes on this machine, None for 1, or as many as torchrun started.
        nodes: machines.
        environment: torchrun says there what each process is; without it several machines need `MASTER_ADDR`,
            `MASTER_PORT` and `NODE_RANK`.

    Raises:
        OptionError: counts that cannot be, or contradict torchrun's, or nothing says where to meet.
    """
    for name, count in (("devices", devices), ("num_nodes", nodes)):
        if count is not None and count < 1:
            raise OptionError(f"{name} is {count}; it must be 1 or more")
    try:
        if "TORCHELASTIC_RUN_ID" in environment:
            return _of_torchrun(devices, environment)
        local = devices or 1
        if nodes == 1:
            return Team(size=local, local_size=local, port=_free_port() if local > 1 else 0)
        node, address, port = (environment[key] for key in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"))
        return Team(int(node) * local, nodes * local, 0, local, address, int(port))
    except (KeyError, ValueError) as error:
        raise OptionError(
            f"num_nodes is {nodes} but the environment does not say where they meet ({error}); start it with torchrun, "
            "or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine"
        ) from error


def device_of(team: Team, name: str) -> torch.device:
    """The device of one process of a team.

    Raises:
        OptionError: no such device, or fewer than processes.
    """
    return choose_device(device_among(name, team.local_rank, team.local_size))


@contextmanager
def together(team: Team, device: torch.device, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Start the other processes of this machine and meet all; inside the block they can speak to each other.

    Args:
        team: this process.
        device: its device.
        work: what a helper does: `work(say, team, *arguments)`, which says something before it joins.
        *arguments: for `work`; they are pickled.

    Raises:
        GeosegError: what a helper could not do.
    """
    if team.size == 1:
        yield
        return
    helpers = (
        []
        if team.outside or team.local_rank
        else [Helper("training", work, team.helper(number), *arguments) for number in range(1, team.local_size)]
    )
    try:
        for helper in helpers:
            helper.hear()
        with joined(team, device):
            yield
    except RuntimeError as error:
        # What the others say is why; that the line broke is only how it was noticed.
        for helper in helpers:
            if helper.has_spoken(2):
                helper.hear()
        raise error from None
    finally:
        for helper in helpers:
            helper.end()


@contextmanager
def joined(team: Team, device: torch.device) -> Iterator[None]:
    """Meet the others of a team."""
    threads = torch.get_num_threads()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif not team.outside:
        torch.set_num_threads(max(1, threads // team.local_size))
    backend = "nccl" if device.type == "cuda" else "gloo"
    # torchrun keeps the meeting place itself.
    place = "env://" if team.outside else f"tcp://{team.address}:{team.port}"
    dist.init_process_group(backend, init_method=place, rank=team.rank, world_size=team.size)
    try:
        yield
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)


def told_by_first(team: Team, value: Any) -> Any:
    """The first process's value, in all processes."""
    if team.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


class Cluster(ClusterEnvironment):
    """A team, as Lightning asks for it."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self._team = team

    @property
    def creates_processes_externally(self) -> bool:
        """They are there already."""
        return True

    @property
    def main_address(self) -> str:
        """Where they meet."""
        return self._team.address

    @property
    def main_port(self) -> int:
        """Where they meet."""
        return self._team.port

    @staticmethod
    def detect() -> bool:
        """It is given, never found."""
        return False

    def world_size(self) -> int:
        """All processes."""
        return self._team.size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """Which of all."""
        return self._team.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Which of this machine's."""
        return self._team.local_rank

    def node_rank(self) -> int:
        """Which machine."""
        return self._team.rank // self._team.local_size


def _of_torchrun(devices: int | None, environment: Mapping[str, str]) -> Team:
    rank, size, local_rank, local, port = (
        int(environment[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
    )
    if devices is not None and devices != local:
        raise OptionError(f"devices is {devices} and torchrun started {local} processes here; leave --devices out")
    return Team(rank, size, local_rank, local, environment["MASTER_ADDR"], port, outside=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
