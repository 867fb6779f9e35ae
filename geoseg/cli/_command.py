"""What a command is: how results, errors and signals are told, in what memory and limits it runs."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from geoseg.errors import GeosegError
from geoseg.names import refuse_too_long
from geoseg.surroundings import names_proj, require_proj, without_gdal_settings

LIMITS = "geoseg.limits"
"""Where a command's context holds the limits of the rasters that it opens."""

_LEAST_ADDRESSES = 1_200_000_000
"""Bytes of address space that the libraries take; with less some of them hang or abort instead of failing."""


class Command(click.Command):
    """A command that tells every foreseen failure in one line and ends with the right exit code.

    It adds `-q`, `-v` and `--debug`, switches the progress bars on, and turns KeyboardInterrupt into exit code 130.
    """

    def __init__(self, *args: Any, again: str = "the same command starts the work again", **kwargs: Any) -> None:
        """A command as click's; `again` says how its work is taken up after it was stopped."""
        super().__init__(*args, **kwargs)
        self._again = again
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing but the result."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Say more."),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click's, which prints the help here."""
        with helping():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become one line on stderr."""
        from geoseg import progress

        quiet, verbose, debug = (ctx.params.pop(name) for name in ("quiet", "verbose", "debug"))
        # A failure is told in one line; GDAL would print lines of its own beside it.
        os.environ.setdefault("CPL_LOG", os.devnull)
        progress.enable(not quiet)
        try:
            with (
                without_gdal_settings(),
                _log_to_stderr(quiet, verbose),
                _terminated_like_interrupted(self._again),
                _within(ctx.meta.get(LIMITS, {})),
            ):
                _require_ready(ctx.params)
                return super().invoke(ctx)
        except GeosegError as error:
            if debug:
                raise
            _say(f"Error: {error}{_from_config(ctx)}")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            if debug:
                raise
            _say(f"Stopped; {self._again}")
            ctx.exit(130)
        except (MemoryError, ImportError, OSError, RuntimeError, SystemError) as error:
            reason = None if debug else _foreseen(error)
            if reason is None:
                raise
            _say(f"Error: {reason}")
            ctx.exit(1)
        finally:
            progress.enable(False)


def _require_ready(params: dict[str, Any]) -> None:
    """Refuse before any work what can be told by the options, and by what surrounds the process.

    Raises:
        GeosegError: too few addresses, no tables of PROJ, a path that cannot be, or no folder for the output.
    """
    _fit_address_space()
    if names_proj():  # elsewhere whatever opens a raster asks, which not every command does
        require_proj()
    _refuse_too_long(params.values())
    _require_folder(params.get("output"))


def _foreseen(error: BaseException) -> str | None:
    """What a library's error means to the user, None for one that nobody foresaw."""
    if _is_here_gone():
        return "the folder that this was started in is gone, so no name leads anywhere; go to another"
    if not _is_want_of_memory(error):
        return None
    reason = next(iter(str(error).split("\n")), "").strip() or "nothing was left"
    limited = "" if _address_space() is None else ", or raise the limit of what may be addressed (ulimit -v)"
    return f"out of memory: {reason}; use smaller windows or chips{limited}"


def _is_want_of_memory(error: BaseException) -> bool:
    """True for what libraries raise when there is no memory: the loader of their own code, torch, threads.

    A library that is imported where memory is limited may pass over a part of it that has no room, and fail of that in
    any way.
    """
    words = ("failed to map segment", "allocate memory", "not enough memory", "out of memory", "can't start new thread")
    known = isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
    return known or (_address_space() is not None and _came_of_import(error))


def _is_here_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _fit_address_space() -> None:
    """Make do with a limited address space (`ulimit -v`, as some batch systems set it), or refuse to.

    Raises:
        GeosegError: it has no room for the libraries.
    """
    limit = _address_space()
    if limit is None:
        return
    # OpenBLAS takes room for each core when it is loaded, and where there is none it tries for ever.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if limit < _LEAST_ADDRESSES:
        raise GeosegError(
            f"the memory that may be addressed is limited to {limit / 1e6:.0f} MB (ulimit -v), and the libraries alone "
            f"take {_LEAST_ADDRESSES / 1e6:.0f} MB; raise that limit, or limit the memory that is used instead "
            "(systemd-run --scope -p MemoryMax=2G)"
        )


def _refuse_too_long(values: Iterable[Any]) -> None:
    """Refuse paths that no file can have."""
    for value in values:
        if isinstance(value, Path):
            refuse_too_long(str(value))
        elif isinstance(value, tuple | list):
            _refuse_too_long(value)


def _require_folder(output: Path | None) -> None:
    """Refuse an output that has no folder before libraries are loaded, which can take ten seconds."""
    if output is not None:
        from geoseg.output import require_folder

        require_folder(output)


def _address_space() -> int | None:
    """Bytes that this process may address; None for no limit."""
    try:
        import resource
    except ImportError:  # a system without limits
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _came_of_import(error: BaseException) -> bool:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_code.co_filename.startswith("<frozen importlib") for frame in frames)


@contextmanager
def _within(given: dict[str, Any]) -> Iterator[None]:
    """Hold all rasters that a command opens to the limits that were given."""
    if all(value is None for value in given.values()):
        yield
        return
    from geoseg.limits import MAX_BLOCK, MAX_PIXELS, Limits
    from geoseg.raster import within

    pixels, block = given.get("max_pixels") or MAX_PIXELS, given.get("max_block") or MAX_BLOCK
    with within(Limits(pixels, block, given.get("allow_driver") or ())):
        yield


@contextmanager
def _terminated_like_interrupted(again: str) -> Iterator[None]:
    """SIGTERM cleans up as Ctrl-C does, and ends with exit code 143."""

    def stop(*_: object) -> None:
        _say(f"Terminated; {again}")
        sys.exit(143)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _from_config(ctx: click.Context) -> str:
    """Where options came from that nobody typed."""
    sources = {ctx.get_parameter_source(name) for name in ctx.params}
    if ParameterSource.DEFAULT_MAP not in sources or ctx.parent is None:
        return ""
    return f" (options were read from {ctx.parent.params.get('config')})"


def _say(text: str) -> None:
    """One line on stderr, with control characters of hostile names made harmless."""
    line = " ".join(text.splitlines())
    click.echo("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line), err=True)


@contextmanager
def _log_to_stderr(quiet: bool, verbose: bool) -> Iterator[None]:
    """Show what the library logs while a command runs; afterwards the logger is as it was."""
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("geoseg")
    before = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


def command(*args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` for geoseg's commands."""
    return click.command(*args, cls=Command, **kwargs)


def tell(result: Any, as_json: bool) -> None:
    """Print a result on stdout: its text, or with --json one JSON object of its fields.

    Raises:
        GeosegError: it cannot be printed.
    """
    text = json.dumps(_plain(dataclasses.asdict(result)), default=str) if as_json else str(result)
    with _printing("the result", "what was to be made is made, only the telling failed"):
        click.echo(text)


@contextmanager
def helping() -> Iterator[None]:
    """Inside the block, help that cannot be printed is told in one line, as a failure of any command is."""
    try:
        with _printing("the help", "there is no room, or nothing to print on; send it elsewhere"):
            yield
    except GeosegError as error:
        _say(f"Error: {error}")
        raise click.exceptions.Exit(error.exit_code) from error


@contextmanager
def _printing(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever listened has heard enough
    except OSError as error:
        raise GeosegError(f"{what} cannot be printed: {error.strerror}; {remedy}") from error


def _plain(value: Any) -> Any:
    """NaN is no JSON; null says that there is no figure."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
