"""Find the modules of a folder by file name: what is there is what can be asked for."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from geoseg.errors import OptionError


def names(package: str) -> tuple[str, ...]:
    """Sorted names of the public modules of `package`, without importing any of them.

    >>> "unet" in names("geoseg.models")
    True
    """
    root = importlib.import_module(package)
    found = (module.name for module in pkgutil.iter_modules(root.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """Import module `name` of `package`.

    Raises:
        OptionError: no such file; the sentence suggests the nearest name.
    """
    known = names(package)
    if name not in known:
        kind = Path(package.replace(".", "/")).name
        raise OptionError(f"'{name}' is not one of geoseg's {kind}; {suggestion(name, known)}")
    return importlib.import_module(f"{package}.{name}")


def suggestion(name: str, known: tuple[str, ...] | list[str]) -> str:
    """Say which of `known` was meant, or list them all.

    >>> suggestion("unett", ("pspnet", "unet"))
    "did you mean 'unet'? There are: pspnet, unet"
    """
    near = difflib.get_close_matches(name, known, n=1)
    listing = f"There are: {', '.join(known)}"
    return f"did you mean '{near[0]}'? {listing}" if near else listing


def shortened(names: tuple[str, ...], most: int = 20) -> str:
    """Names in a row, for a sentence: of many only the first.

    >>> shortened(("red", "green", "nir")), shortened(("a", "b", "c"), most=2)
    ('red, green, nir', 'a, b and 1 more')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def assignments(text: str, known: tuple[str, ...] | list[str], owner: str) -> dict[str, str]:
    """Options written as "name=value,name=value".

    >>> assignments("radius=4, spread=2.5", ("radius", "spread"), "the CRF")
    {'radius': '4', 'spread': '2.5'}

    Args:
        text: what was written; empty for none.
        known: the names there are.
        owner: whose options they are, for the sentence.

    Raises:
        OptionError: no such name, one twice, or one without a value.
    """
    given: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in known:
            raise OptionError(f"{owner} has no option '{name}'; {suggestion(name, known) if known else 'it has none'}")
        if not value:
            raise OptionError(f"{name} of {owner} has no value; write it as in {name}=1")
        if name in given:
            raise OptionError(f"{name} of {owner} is given twice; give it once")
        given[name] = value
    return given
