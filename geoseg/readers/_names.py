"""Band names told from file names."""

from __future__ import annotations

import re

_RESOLUTION = re.compile(r"[_-]\d+m$", re.IGNORECASE)


def band_names(stems: list[str]) -> list[str]:
    """What tells file names apart, without the resolution that Sentinel-2 adds.

    >>> band_names(["T32UQD_20220518_B02_10m", "T32UQD_20220518_B8A_20m"])
    ['B02', 'B8A']
    >>> band_names(["scene_red", "scene_nir"])
    ['red', 'nir']
    >>> band_names(["LC08_L1TP_013032_20180710_B10"])
    ['B10']
    """
    shorter = [_RESOLUTION.sub("", stem) for stem in stems]
    if len(set(shorter)) == len(stems):
        stems = shorter
    words = [re.split(r"([ _.-]+)", stem) for stem in stems]
    if len(words) == 1:
        return [words[0][-1]]
    first = 0
    while all(len(word) > first + 2 for word in words) and len({tuple(word[: first + 2]) for word in words}) == 1:
        first += 2
    last = 0
    while all(len(word) > first + last + 2 for word in words) and len({word[-last - 1] for word in words}) == 1:
        last += 2
    return ["".join(word[first : len(word) - last]) for word in words]


def natural(name: str) -> list[tuple[int, str]]:
    """Sorting key that counts: B2 before B10.

    >>> sorted(["B10", "B2", "B8A", "B8"], key=natural)
    ['B2', 'B8', 'B8A', 'B10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in re.split(r"(\d+)", name)]
