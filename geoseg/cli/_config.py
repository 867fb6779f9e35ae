"""Configuration files: a table of TOML for each command, as if its options had been typed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from geoseg.documents import parse_toml, read_document
from geoseg.registry import suggestion

_MOST_CONFIG = 1_000_000
"""Bytes."""


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
