"""Values as their type hints want them: what stands in documents, and what functions are called with."""

from __future__ import annotations

import inspect
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from geoseg.errors import OptionError
from geoseg.names import refuse_too_long
from geoseg.registry import suggestion

P = ParamSpec("P")
R = TypeVar("R")

_LEAST, _MOST = -(2**63), 2**63 - 1
_NO_LIST = (str, bytes, bytearray, Mapping, io.IOBase)
_LISTS: tuple[Any, ...] = (list, tuple, Sequence)
_TABLES: tuple[Any, ...] = (dict, Mapping)
_MOST_TOLD = 60
_ENDLESS = {"nodata"}
"""What may be NaN or infinite: the values of pixels are."""

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False", Path: "a path",
          NoneType: "None", Any: "anything"}  # fmt: skip


def checking(function: Callable[P, R], name: str) -> Callable[P, R]:
    """A function of `geoseg` that refuses arguments of the wrong type before it begins.

    What is written in other ways is handed on in one: numbers of NumPy as those of Python, any path as a `Path`, and
    what can be walked through as a tuple.

    Args:
        function: with a hint for each argument; of `Unpack[Options]`, for each of the options.
        name: the function's in `geoseg`.
    """

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.signature(function).bind(*args, **kwargs)
        hints = hints_of(function)
        for parameter, value in bound.arguments.items():
            if bound.signature.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD:
                options = {name: hints[name] for name in bound.signature.parameters if name != parameter}
                options |= get_type_hints(*get_args(hints[parameter]))
                bound.arguments[parameter] = {key: _option(key, one, options) for key, one in value.items()}
            else:
                bound.arguments[parameter] = _option(parameter, value, hints)
        return function(*bound.args, **bound.kwargs)

    # By these it is pickled: as what `geoseg` has under that name.
    checked.__module__, checked.__qualname__ = "geoseg", name
    return checked


def fitted(value: Any, hint: Any) -> Any:
    """A value as a hint wants it, which may be another one of the same meaning.

    >>> fitted(2.0, int), fitted(["a"], tuple[str, ...]), fitted(3, float | None)
    (2, ('a',), 3)

    Args:
        value: anything.
        hint: texts, numbers, paths, literals and classes, lists and tables of one of them, or a choice of these.

    Raises:
        TypeError: it is something else: a number of more than 64 bits, too, or no text for a path.
    """
    kind, inner = get_origin(hint) or hint, get_args(hint)
    value = _of_python(value)
    if kind in (UnionType, Union):
        return _fitted_to_one(value, inner)
    if kind in _LISTS and isinstance(value, Iterable) and not isinstance(value, _NO_LIST):
        return (list if kind is list else tuple)(fitted(item, inner[0]) for item in value)
    if kind in _TABLES and isinstance(value, Mapping):
        return {fitted(key, inner[0]): fitted(item, inner[1]) for key, item in value.items()}
    if kind in (Path, str) and isinstance(value, os.PathLike):
        return kind(Path(value))
    if not (value in inner if kind is Literal and isinstance(value, str) else _is_plainly(value, kind)):
        raise TypeError
    return int(value) if kind is int else value


def _fitted_to_one(value: Any, hints: tuple[Any, ...]) -> Any:
    if Path in hints and isinstance(value, os.PathLike):
        return fitted(value, Path)
    if Path in hints and isinstance(value, str) and not value:
        raise TypeError  # which to `Path` would be the present folder
    for hint in hints:
        with suppress(TypeError):
            return fitted(value, hint)
    raise TypeError


def _is_plainly(value: Any, kind: Any) -> bool:
    """True for a value of a kind that is made of no others."""
    if kind is Any:
        return True
    if kind is Literal or kind in _LISTS or kind in _TABLES:
        return False
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, float):
        return True
    if kind in (int, float):
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return is_whole and _LEAST <= value <= _MOST
    return isinstance(value, kind)


def _of_python(value: Any) -> Any:
    """Numbers of NumPy, and its arrays without dimensions, as those of Python."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def in_words(hint: Any) -> str:
    """What a value must be, for a sentence.

    >>> in_words(str | Path | None), in_words(tuple[str, ...])
    ('a path or None', 'a list (of each: text)')
    """
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return " or ".join(map(str, inner))
    if kind in (UnionType, Union):
        # A text that may be a path is one.
        return " or ".join(dict.fromkeys(in_words(one) for one in inner if one is not str or Path not in inner))
    if kind in _LISTS or kind in _TABLES:
        return f"a {'list' if kind in _LISTS else 'dict'} (of each: {in_words(inner[-1 if kind in _TABLES else 0])})"
    return _WORDS.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _option(name: str, value: Any, hints: dict[str, Any]) -> Any:
    """The value of an option as its hint wants it.

    Raises:
        OptionError: it cannot be, no file can have such a name, or there is no such option.
    """
    if name not in hints:
        raise OptionError(f"there is no option '{name}'; {suggestion(name, list(hints))}")
    try:
        found = fitted(value, hints[name])
    except TypeError as error:
        raise OptionError(f"{name} is {_told(value)}; it must be {in_words(hints[name])}") from error
    if name not in _ENDLESS and _has_endless(found):
        raise OptionError(f"{name} is {_told(value)}; it must be finite")
    if Path in get_args(hints[name]):
        for path in found if isinstance(found, tuple | list) else (found,):
            if isinstance(path, str | Path):
                refuse_too_long(str(path))
    return found


def _has_endless(value: Any) -> bool:
    if isinstance(value, tuple | list | dict):
        return any(map(_has_endless, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


def _told(value: Any) -> str:
    """A value in a sentence: what there is to read of it, or of what type it is."""
    value = _of_python(value)
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, bool | int | float | str | bytes | os.PathLike):
        text = f"'{value}'" if isinstance(value, str) else str(value)
        return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}..."
    return f"a {type(value).__name__}"


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The hints of a function; classes that are imported for type checkers alone are known by their names."""
    absent: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(function, localns=absent)
        except NameError as error:
            name = str(error.name)
            absent[name] = _ByName(name, (), {})


class _ByName(type):
    """Stands for a class that takes long to import: who has made one of it has imported it."""

    def __instancecheck__(cls, value: Any) -> bool:
        return any(one.__name__ == cls.__name__ for one in type(value).__mro__)
