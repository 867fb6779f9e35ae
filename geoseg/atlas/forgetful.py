"""A dask scheduler that keeps nothing of what is over.

For its diagnostic pages dask notes every graph that was ever sent to it, with the groups of its tasks, which "remain
referenced here indefinitely" (`distributed.spans.Span.groups`).
"""

from __future__ import annotations

from typing import Any

from dask.utils import key_split
from distributed.scheduler import DEFAULT_EXTENSIONS
from distributed.spans import SpansSchedulerExtension

_NAMES = 1000
"""Names of tasks that are remembered with what they begin with; dask itself remembers the last 100,000."""


class _NoSpans(SpansSchedulerExtension):
    """Hears of tasks as the real one does, and puts nothing down."""

    def observe_tasks(self, *tasks: Any, **more: Any) -> dict[Any, dict[str, Any]]:
        """No task belongs to any span."""
        if key_split.cache_info().currsize > _NAMES:
            key_split.cache_clear()
        return {}

    def heartbeat(self, *measured: Any) -> None:
        """What workers measured belongs to none either."""


def extensions() -> dict[str, Any]:
    """Those of a scheduler, with no history."""
    return {**DEFAULT_EXTENSIONS, "spans": _NoSpans}
