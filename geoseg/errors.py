"""The errors geoseg raises: one plain sentence each, with the file, the finding and the mend.

GeosegError                  exit code 1
├── OptionError              a setting that cannot be (2, also a ValueError)
├── SceneError               a scene that cannot be opened or read
│   ├── DamagedSceneError    a file whose pixels cannot be read, today or tomorrow
│   └── BandMismatchError    a scene whose bands do not fit the model
├── LabelError               labels that cannot be opened, matched or used
├── LegendError              a legend that contradicts itself
├── ChipError                a chip folder that is missing, broken or empty
│   └── LeakError            training and test chips that share ground
├── ModelError               a model file that cannot be read or used
├── MapError                 a class raster that is not what a map must be
├── ViewError                files that cannot be shown, or not together
├── RegionError              regions that cannot be read, told apart or placed
├── ClusterError             workers that cannot be reached or used
└── OutputError              an output that cannot be written
    └── OutputExistsError    an output that is there already (also a FileExistsError)
"""

from __future__ import annotations


class GeosegError(Exception):
    """Any failure geoseg foresees; its text is one sentence for the user."""

    exit_code = 1


class OptionError(GeosegError, ValueError):
    """A setting outside of what it may be."""

    exit_code = 2


class SceneError(GeosegError):
    """A scene that cannot be opened or read."""


class DamagedSceneError(SceneError):
    """A file of this machine whose pixels cannot be read: trying again is of no use."""


class BandMismatchError(SceneError):
    """A scene whose bands do not fit what was asked of them."""


class LabelError(GeosegError):
    """Labels that cannot be opened, matched or used."""


class LegendError(GeosegError):
    """A legend that contradicts itself or its labels."""


class ChipError(GeosegError):
    """A chip folder that is missing, broken or empty."""


class LeakError(ChipError):
    """Chips of different splits that share ground."""


class ModelError(GeosegError):
    """A model file that cannot be read or used."""


class MapError(GeosegError):
    """A class raster that is not what a map must be."""


class ViewError(GeosegError):
    """Files that cannot be shown, or not together."""


class RegionError(GeosegError):
    """Regions that cannot be read, told apart or placed."""


class ClusterError(GeosegError):
    """Workers that cannot be reached or used."""


class OutputError(GeosegError):
    """An output that cannot be written."""


class OutputExistsError(OutputError, FileExistsError):
    """An output that is there already."""

    # FileExistsError would print an errno tuple.
    __str__ = Exception.__str__


def require_seed(seed: int) -> None:
    """Refuse a seed that numpy or torch would.

    Raises:
        OptionError: negative, or more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed is {seed}; it must be 0 to 2^63 - 1")
