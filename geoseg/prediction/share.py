"""Several processes map one scene: a band of rows each, into one store, with the windows that one of them planned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geoseg.helpers import Helper, Say
from geoseg.prediction.budget import keep_freed_memory
from geoseg.prediction.engine import Network, fill
from geoseg.prediction.pipeline import Timing
from geoseg.prediction.prepare import Asked, Given, Prepared, Settings, prepare
from geoseg.prediction.store import Store
from geoseg.prediction.turned import Turned
from geoseg.progress import Bar


class Others:
    """The processes that map the other bands, and the bar that shows what all have done."""

    def __init__(self, helpers: list[Helper], bar: Bar) -> None:
        """Count what `helpers` say on `bar`."""
        self._helpers, self._bar = helpers, bar

    def advance(self, amount: float) -> None:
        """Count what is done here, and what the others have done since.

        Raises:
            GeosegError: why one of them could not go on.
        """
        self._bar.advance(amount)
        for helper in list(self._helpers):
            while helper.has_spoken() and self._count(helper):
                pass

    def say(self, text: str) -> None:
        """Say how it stands."""
        self._bar.say(text)

    def wait(self) -> None:
        """Wait until all have done their bands.

        Raises:
            GeosegError: why one of them could not go on.
        """
        while self._helpers:
            for helper in list(self._helpers):
                while helper.has_spoken(0.1) and self._count(helper):
                    pass

    def _count(self, helper: Helper) -> bool:
        """Hear a helper, and count what it did; whether it goes on."""
        done = helper.hear()
        if done is None:
            self._helpers.remove(helper)
            return False
        self._bar.advance(done)
        return True


@contextmanager
def shared(asked: Asked, given: Given, folder: Path, bands: list[slice], bar: Bar) -> Iterator[Others]:
    """Start a process for each band but the first, which is this one's; they end with the block.

    Args:
        asked: what is to be done.
        given: what this process found already.
        folder: of the store.
        bands: rows of the map.
        bar: counts what all have done.

    Raises:
        GeosegError: why one of them could not go on.
    """
    helpers = [
        Helper("prediction", _help, asked, number, given, folder, band)
        for number, band in enumerate(bands[1:], start=1)
    ]
    patience = 0.0
    try:
        others = Others(list(helpers), bar)
        yield others
        others.wait()
        patience = 5.0
    finally:
        for helper in helpers:
            helper.end(patience)


@contextmanager
def sharing_cores(settings: Settings) -> Iterator[None]:
    """Inside the block torch may be left with a share of the cores; after it has all that it had."""
    if settings.threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def network_of(ready: Prepared) -> Network:
    """What maps windows: the runtime, or the mean of its eight turned answers."""
    return Turned(ready.runtime) if ready.settings.tta else ready.runtime


def keeps_probabilities(asked: Asked) -> bool:
    """Whether more than labels is needed of each pixel."""
    return bool(asked.outputs.further) or asked.settings.crf is not None


def open_store(ready: Prepared, folder: Path, probabilities: bool, band: slice | None = None) -> Store:
    """The store of a map, for one band of it or all."""
    height, width = ready.job.scene.grid.shape
    return Store(folder, height, width, len(ready.job.spec.legend) if probabilities else 0, band)


class _Told:
    """A bar in the process that leads."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def advance(self, amount: float) -> None:
        self._say(amount)

    def say(self, text: str) -> None:
        pass


def _help(say: Say, asked: Asked, number: int, given: Given, folder: Path, band: slice) -> None:
    """Map one band."""
    keep_freed_memory()
    ready, keeps = prepare(asked, number, given), keeps_probabilities(asked)
    store = open_store(ready, folder, keeps, band)
    fill(store, ready.job, network_of(ready), _Told(say), Timing(), keeps)
