"""geoseg models: say which networks there are."""

from __future__ import annotations

import click

from geoseg.cli import options


@options.command()
@click.argument("name", required=False)
@click.option("--encoder", help="Say it for this encoder instead of the default.")
@options.json_
def command(name: str | None, encoder: str | None, as_json: bool) -> None:
    """List the networks, or explain the one called NAME.

    \b
    geoseg models
    geoseg models segnet
    geoseg models unet --encoder tu-convnext_atto
    """
    from geoseg.models._catalogue import catalogue, explain

    if name is None and encoder is not None:
        raise click.UsageError("--encoder needs the NAME of a network")
    options.tell(catalogue() if name is None else explain(name, encoder), as_json)
