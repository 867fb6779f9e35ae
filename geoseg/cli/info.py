"""geoseg info: say what a file is."""

from __future__ import annotations

from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@options.reading
@options.json_
def command(paths: tuple[str, ...], as_json: bool, **reading: Any) -> None:
    """Describe FILE: a scene, a map, a model, a chip folder or polygons.

    With --join, several files are described as the one scene that they make.

    \b
    geoseg info scene.tif
    geoseg info model.safetensors --json
    """
    from geoseg.info import info

    options.tell(info(list(paths), **reading), as_json)
