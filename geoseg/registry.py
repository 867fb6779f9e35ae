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
