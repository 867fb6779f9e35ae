"""Where the sample scene is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from geoseg.errors import SceneError


def sample_folder() -> Path:
    """The folder of the sample data: in the installed package, or in the source tree it was installed from.

    Raises:
        SceneError: in neither.
    """
    package = Path(str(files("geoseg")))
    for folder in (package / "sample", package.parent / "data" / "sample"):
        if (folder / "synthetic_scene.tif").is_file():
            return folder
    raise SceneError(f"{package / 'sample'}: the sample scene is missing; install geoseg again")
