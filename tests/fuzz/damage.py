"""Ways to damage what a program reads: bytes without sense, sound files with wounds, and sound syntax without sense."""

from __future__ import annotations

import copy
import json
import math
import re
import struct
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

HUGE = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
"""Numbers at the edges of types."""

DEEP, LONG = "\0deep\0", "\0long\0"
"""Stand for lists in lists, three thousand deep, and for a number of 5000 digits: Python would not write them."""

STRANGE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1.5, math.nan, math.inf, -math.inf, *HUGE, -(2**63) - 1, 10**40, LONG,
    "", " ", "\0", "x", "../../etc/passwd", "/etc/passwd", "ä\u2028\u202e", "<script>", "=1+1", "1e999", "nan",
    "9" * 5000, "http://127.0.0.1:9/x", "\ud800", "many words " * 500,
    [], {}, [[]], [None], [{}], {"": None}, ["x", 1, None], [[[[[]]]]], DEEP,
)  # fmt: skip
"""Values of JSON or TOML that stand where others are expected."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TOKENS = (b"NaN", b"1e999", b"-1", b"null", b'""', b"[]", b"{}", b"9" * 400, b"\xff\xfe", b"\0", b"[" * 3000)


def raw() -> st.SearchStrategy[bytes]:
    """Any bytes."""
    return st.binary(max_size=400)


@st.composite
def wounded(draw: st.DrawFn, sound: bytes) -> bytes:
    """A sound file with one to four wounds."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        _wound(draw, content)
    return bytes(content)


def _wound(draw: st.DrawFn, content: bytearray) -> None:
    kind = draw(st.sampled_from(("flip", "set", "cut", "double", "drop", "insert", "length", "number")))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    span = slice(place, place + draw(st.integers(1, 64)))
    if not content:
        content += draw(raw())
    elif kind == "flip":
        content[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "set":
        content[place] = draw(st.integers(0, 255))
    elif kind == "cut":
        del content[place:]
    elif kind == "double":
        content[place:place] = content[span]
    elif kind == "drop":
        del content[span]
    elif kind == "insert":
        content[place:place] = draw(st.sampled_from(_TOKENS))
    elif kind == "length":
        form = draw(st.sampled_from(("<I", ">I", "<Q", ">Q", "<H")))
        number = draw(st.sampled_from(HUGE)) % 256 ** struct.calcsize(form)
        content[place : place + struct.calcsize(form)] = struct.pack(form, number)
    elif numbers := [*_NUMBER.finditer(content)]:
        match = draw(st.sampled_from(numbers))
        content[match.start() : match.end()] = draw(st.sampled_from(_TOKENS))


@st.composite
def twisted(draw: st.DrawFn, value: Any) -> Any:
    """A tree of lists and tables with up to four of its values put wrong."""
    tree = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 4))):
        tree = _twist(draw, tree)
    return tree


def _twist(draw: st.DrawFn, tree: Any) -> Any:
    """Go down by chance, and replace, take away, add or double what is there."""
    inner = [*tree] if isinstance(tree, dict) else [*range(len(tree))] if isinstance(tree, list) else []
    if not inner or draw(st.integers(0, 7)) == 0:
        return _strange(draw)
    key = draw(st.sampled_from(inner))
    kind = draw(st.sampled_from(("in", "in", "in", "replace", "drop", "add", "swap")))
    if kind == "in":
        tree[key] = _twist(draw, tree[key])
    elif kind == "replace":
        tree[key] = _strange(draw)
    elif kind == "drop":
        del tree[key]
    elif kind == "add":
        fresh = _strange(draw)
        if isinstance(tree, dict):
            tree[draw(st.sampled_from(("", "extra", "id", "type")))] = fresh
        else:
            tree.append(fresh)
    else:
        other = draw(st.sampled_from(inner))
        tree[key], tree[other] = tree[other], tree[key]
    return tree


_UNWRITTEN = {json.dumps(DEEP): "[" * 3000 + "]" * 3000, json.dumps(LONG): "1" + "0" * 5000}


def _in_full(text: str) -> bytes:
    for short, long in _UNWRITTEN.items():
        text = text.replace(short, long)
    return text.encode("utf-8", "replace")


def as_json(value: Any) -> bytes:
    """JSON of a twisted tree."""
    return _in_full(json.dumps(value))


def _strange(draw: st.DrawFn) -> Any:
    # One of its own: it may be twisted further.
    return copy.deepcopy(draw(st.sampled_from(STRANGE)))


def as_toml(value: Any) -> bytes:
    """TOML of a twisted tree; what is no table at the top is the value of a key."""
    table = value if isinstance(value, dict) else {"value": value}
    lines = [f"{json.dumps(key)} = {_toml(item)}" for key, item in table.items()]
    return _in_full("\n".join(lines))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        return "1979-05-27T07:32:00Z"  # TOML has no null, and JSON has no dates
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)


Twist = Callable[[st.DrawFn, bytes], bytes]
"""Sound bytes to bytes of the same format that say something else."""


def json_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """JSON with other values."""
    return as_json(draw(twisted(json.loads(sound))))


def lines_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """Lines of JSON with other values."""
    lines = draw(twisted([json.loads(line) for line in sound.splitlines()]))
    return b"\n".join(map(as_json, lines if isinstance(lines, list) else [lines]))


def toml_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """TOML with other values."""
    return as_toml(draw(twisted(tomllib.loads(sound.decode()))))


def safetensors_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """A safetensors file whose header, or whose description in the header, has other values."""
    length = struct.unpack("<Q", sound[:8])[0]
    header = json.loads(sound[8 : 8 + length])
    notes = header["__metadata__"]
    if draw(st.integers(0, 3)):
        for name in [name for name, text in notes.items() if text.startswith("{")]:
            notes[name] = as_json(draw(twisted(json.loads(notes[name])))).decode()
        inner = json.dumps(header).encode()
    else:
        inner = as_json(draw(twisted(header)))
    return struct.pack("<Q", len(inner)) + inner + sound[8 + length :]


SWEPT: dict[Twist, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    json_twist: (json.loads, as_json),
    toml_twist: (lambda sound: tomllib.loads(sound.decode()), as_toml),
}
"""How a document is read and written, of which each value can be replaced in turn."""


def swept(sound: bytes, twist: Twist) -> Iterator[bytes]:
    """A document with each of its values replaced by each strange one, one at a time."""
    read, write = SWEPT[twist]
    for place in _places(read(sound)):
        for value in STRANGE:
            tree = inner = read(sound)
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            yield write(tree)


def _places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to each value of a tree."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*above, key)
        yield from _places(tree[key], (*above, key))
