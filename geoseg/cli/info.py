"""geoseg info: say what a file is."""

from __future__ import annotations

import click

from geoseg.cli import options


@options.command()
@click.argument("path", metavar="FILE")
@options.json_
def command(path: str, as_json: bool) -> None:
    """Describe FILE: a scene, a map, a model, a chip folder or polygons.

    \b
    geoseg info scene.tif
    geoseg info model.safetensors --json
    """
    from geoseg.info import info

    options.tell(info(path), as_json)
