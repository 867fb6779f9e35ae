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
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from geoseg.errors import GeosegError
from geoseg.registry import suggestion


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
            with _log_to_stderr(quiet, verbose), _terminated_like_interrupted(self._again):
                return super().invoke(ctx)
        except GeosegError as error:
            if debug:
                raise
            _say(f"Error: {error}")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            if debug:
                raise
            _say(f"Stopped; {self._again}")
            ctx.exit(130)
        except (MemoryError, ImportError, OSError, RuntimeError) as error:
            if debug or not _is_want_of_memory(error):
                raise
            _say(f"Error: out of memory: {str(error) or 'nothing was left'}; use smaller windows or chips")
            ctx.exit(1)
        finally:
            progress.enable(False)


def _is_want_of_memory(error: BaseException) -> bool:
    """True for what libraries raise when there is no memory: the loader of their own code, torch, threads."""
    words = ("failed to map segment", "allocate memory", "not enough memory", "out of memory", "can't start new thread")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


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
    """Print a result on stdout: its text, or with --json one JSON object of its fields."""
    click.echo(json.dumps(_plain(dataclasses.asdict(result)), default=str) if as_json else str(result))


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
_READING = (
    bands,
    nodata,
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
        click.UsageError: not TOML, or a command or option that does not exist.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
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
    return {str(flags[key].name): _option_value(path, name, key, value, flags[key]) for key, value in table.items()}


def _option_value(path: str, name: str, key: str, value: Any, option: click.Option) -> Any:
    """A value as it would be typed: lists joined by commas, or, of options that may be repeated, one by one."""
    if isinstance(value, list) and value and all(isinstance(item, str | int | float) for item in value):
        return value if option.multiple else ",".join(map(str, value))
    if isinstance(value, str | int | float):
        return [value] if option.multiple else value
    raise click.UsageError(f"{path}: [{name}] {key} is {value!r}; give one value, or a list of names or numbers")
