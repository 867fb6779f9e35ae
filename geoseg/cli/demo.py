"""geoseg demo: the whole job on the sample scene."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.cli import options


@options.command()
@click.option(
    "-o", "--output", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder to make."
)
@options.device
@options.seed
@options.overwrite
@options.json_
def command(output: Path, device: str, seed: int, overwrite: bool, as_json: bool) -> None:
    """Do the whole job on the sample scene that comes with geoseg; a few minutes on two cores.

    The scene is synthetic: its scores say that geoseg works here, not how well it maps land.

    \b
    geoseg demo -o demo/
    """
    from geoseg.sample_data import sample_folder
    from geoseg.workflow import run

    sample = sample_folder()
    result = run(
        sample / "synthetic_scene.tif",
        sample / "synthetic_labels.gpkg",
        output,
        legend=sample / "legend.toml",
        device=device,
        seed=seed,
        overwrite=overwrite,
    )
    options.tell(result, as_json)
