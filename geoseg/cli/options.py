"""What the commands share: their class, their options, and how results and errors are told."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from geoseg.documents import parse_toml, read_document
from geoseg.errors import GeosegError
from geoseg.registry import suggestion

_MOST_CONFIG = 1_000_000
_LIMITS = "geoseg.limits"

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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become one line on stderr."""
        from geoseg import progress

        quiet, verbose, debug = (ctx.params.pop(name) for name in ("quiet", "verbose", "debug"))
        # A failure is told in one line; GDAL would print lines of its own beside it.
        os.environ.setdefault("CPL_LOG", os.devnull)
        progress.enable(not quiet)
        try:
            with (
                _log_to_stderr(quiet, verbose),
                _terminated_like_interrupted(self._again),
                _within(ctx.meta.get(_LIMITS, {})),
            ):
                _fit_address_space()
                _require_folder(ctx.params.get("output"))
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
            if not debug and _is_here_gone():
                _say("Error: the folder that this was started in is gone, so no name leads anywhere; go to another")
                ctx.exit(1)
            if debug or not _is_want_of_memory(error):
                raise
            reason = next(iter(str(error).split("\n")), "").strip() or "nothing was left"
            limited = "" if _address_space() is None else ", or raise the limit of what may be addressed (ulimit -v)"
            _say(f"Error: out of memory: {reason}; use smaller windows or chips{limited}")
            ctx.exit(1)
        finally:
            progress.enable(False)


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
    try:
        click.echo(text)
    except BrokenPipeError:
        raise  # whoever listened has heard enough
    except OSError as error:
        raise GeosegError(
            f"the result cannot be printed: {error.strerror}; what was to be made is made, only the telling failed"
        ) from error


def _plain(value: Any) -> Any:
    """NaN is no JSON; null says that there is no figure."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def split_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Callback: "red,green" to ("red", "green")."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one, such as red,green,nir or 1,2,3")
    return names


json_ = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
output = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="What to write; its folder must exist."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it is there already.")
bands = click.option(
    "--bands", callback=split_names, metavar="NAMES", help="Bands to use: names or 1-based numbers, comma separated."
)
nodata = click.option("--nodata", type=float, help="Value that means no data, in place of what the scene declares.")


def _note_limit(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Callback: what holds for every raster that the command opens, be it a scene, a map or labels."""
    if param.name == "max_block" and value is not None:
        value = _bytes(value, param)
    elif param.name == "allow_driver":
        value = split_names(ctx, param, value)
    ctx.meta.setdefault(_LIMITS, {})[param.name] = value
    return value


def _bytes(text: str, param: click.Parameter) -> int:
    """Bytes of a text such as 512MB."""
    from geoseg.units import parse_bytes

    try:
        return parse_bytes(text, param.opts[-1].lstrip("-"))
    except GeosegError as error:
        raise click.BadParameter(str(error)) from error


def _limits(exposed: bool) -> tuple[Callable[..., Any], ...]:
    """Options of `geoseg.limits.Limits`; `exposed` hands them to the command too."""
    return (
        click.option(
            "--allow-driver", callback=_note_limit, expose_value=exposed, metavar="NAMES",
            help="Drivers of GDAL, such as ENVI, that may open what is no GeoTIFF, JPEG 2000, VRT or PNG, "
            "and netCDF for HDF5 and netCDF-4 that you trust.",
        ),
        click.option(
            "--max-pixels", type=click.IntRange(min=1), callback=_note_limit, expose_value=exposed, metavar="N",
            help="Refuse rasters that declare more pixels than this; 100,000,000,000 by default.",
        ),
        click.option(
            "--max-block", callback=_note_limit, expose_value=exposed, metavar="SIZE",
            help="Refuse rasters whose blocks are larger than this when decoded; 256MiB by default.",
        ),
    )  # fmt: skip


def limits(function: Callable[..., Any]) -> Callable[..., Any]:
    """What rasters may declare, for commands that read no scenes; `reading` has it for the others."""
    for option in reversed(_limits(exposed=False)):
        function = option(function)
    return function


_READING = (
    bands,
    nodata,
    click.option(
        "--nodata-rule", type=click.Choice(["any", "all"]),
        help="A pixel has no data where any band used has none, or only where all have none; by default any, and with "
        "a model what it was trained with.",
    ),
    click.option(
        "--join", type=click.Choice(["stack", "mosaic"]),
        help="Several files are one scene: stack for bands in files of their own, mosaic for files side by side.",
    ),
    click.option(
        "--like", type=click.Path(path_type=Path), help="Raster whose grid a stack or mosaic is to have."
    ),
    click.option(
        "--resampling", type=click.Choice(["nearest", "bilinear", "cubic", "average"]), default="bilinear",
        show_default=True, help="How a stack or mosaic lays values on another grid.",
    ),
    click.option("--allow-remote", is_flag=True, help="Let a VRT read URLs and files outside of its folder."),
    *_limits(exposed=True),
)  # fmt: skip


def reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `geoseg.readers.ReadOptions`."""
    for option in reversed(_READING):
        function = option(function)
    return function


seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of everything drawn at random.",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read chips."
)
legend = click.option(
    "--legend", type=click.Path(path_type=Path), help="legend.toml: id, name and colour of each class."
)
class_field = click.option("--class-field", help="Column of the labels that holds the class, as id or name.")

_LABELLING = (
    legend,
    click.option("--layer", help="Layer to read, of label files with several."),
    click.option("--buffer", type=float, metavar="METRES", help="Widen points and lines by this much."),
    click.option(
        "--on-conflict", type=click.Choice(["later", "ignore"]), default="later", show_default=True,
        help="Where labels of different classes overlap: the later one counts, or none.",
    ),
    click.option("--background", type=click.IntRange(min=0), metavar="ID", help="Class of all that is not labelled."),
)  # fmt: skip


def labelling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `geoseg.labels.LabelOptions`, and the legend."""
    for option in reversed(_LABELLING):
        function = option(function)
    return function


def read_config(path: str, group: click.Group, ctx: click.Context) -> dict[str, Any]:
    """Read a configuration file into click's default map.

    Raises:
        click.UsageError: not TOML, a command or option that does not exist, or a value that the option does not take.
    """
    try:
        tables = parse_toml(read_document(Path(path), _MOST_CONFIG))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path}: cannot be read as TOML: {error}") from error
    defaults: dict[str, Any] = {}
    for name, table in tables.items():
        subcommand = group.get_command(ctx, name)
        if subcommand is None:
            raise click.UsageError(f"{path}: no command '{name}'; {suggestion(name, group.list_commands(ctx))}")
        if not isinstance(table, dict):
            raise click.UsageError(f"{path}: '{name}' must be a table, [{name}], with options in it")
        defaults[name] = _table(path, name, table, subcommand)
    return defaults


def _table(path: str, name: str, table: dict[str, Any], subcommand: click.Command) -> dict[str, Any]:
    flags = {
        flag.removeprefix("--"): param
        for param in subcommand.params
        if isinstance(param, click.Option)
        for flag in param.opts
        if flag.startswith("--")
    }
    for key in table:
        if key not in flags:
            raise click.UsageError(f"{path}: [{name}] has no option '{key}'; {suggestion(key, sorted(flags))}")
    context = click.Context(subcommand)
    return {
        str(flags[key].name): _option_value(f"{path}: [{name}] {key}", value, flags[key], context)
        for key, value in table.items()
    }


def _option_value(what: str, value: Any, option: click.Option, context: click.Context) -> Any:
    """A value as it would be typed: lists joined by commas, or, of options that may be repeated, one by one."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str | int | float) for item in items):
        raise click.UsageError(f"{what} is {_short(value)}; give one value, or a list of names or numbers")
    if any(not _is_sort_of(item, option) for item in items):
        raise click.UsageError(f"{what} is {_short(value)}; give {_sort_of(option)}")
    typed = items if option.multiple else ",".join(map(str, items)) if isinstance(value, list) else value
    try:
        # Here the file can be named; click would only know that it was no word of the command.
        option.process_value(context, typed)
    except click.BadParameter as error:
        raise click.UsageError(f"{what} is {_short(value)}: {error.message}") from error
    except OverflowError as error:  # an integer without end, for a number in floating point
        raise click.UsageError(f"{what} is {_short(value)}: it is too large") from error
    return typed


def _is_sort_of(item: Any, option: click.Option) -> bool:
    """True when a value of TOML is one that the option means: click would take true for 1 and 64.5 for 64."""
    if isinstance(option.type, click.types.BoolParamType):
        return isinstance(item, bool)
    if isinstance(item, bool) or (isinstance(item, str) and "\0" in item):
        return False
    if isinstance(option.type, click.Path):
        return isinstance(item, str)
    if isinstance(option.type, click.types.IntParamType):
        return not isinstance(item, float) or item.is_integer()
    return not isinstance(item, float) or math.isfinite(item)


def _sort_of(option: click.Option) -> str:
    if isinstance(option.type, click.types.BoolParamType):
        return "true or false"
    if isinstance(option.type, click.Path):
        return "a path in quotes"
    return "a whole number" if isinstance(option.type, click.types.IntParamType) else "a number, or a text in quotes"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
