"""The command line: one file per command, found by its name."""

from __future__ import annotations

from typing import Any

import click

from geoseg import registry
from geoseg.cli._command import helping


class Commands(click.Group):
    """A group that lists the files of this folder and imports one only when it is needed."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click's, which prints the help and the version here."""
        with helping():
            return super().make_context(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the work."""
        order = "demo run info models tile train predict vectorize sample evaluate view map".split()  # noqa: SIM905
        found = [name for name in registry.names("geoseg.cli") if name != "options"]
        return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None when there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = registry.load("geoseg.cli", cmd_name).command
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click's, with the nearest name for a misspelt one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = registry.suggestion(args[0], self.list_commands(ctx))
            raise click.UsageError(f"there is no command '{args[0]}'; {hint}", ctx) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="geoseg")
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, exists=True),
    help="TOML file with a table of options per command; what is typed wins.",
)
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """Land-cover maps from satellite and aerial scenes.

    \b
    geoseg demo -o demo/                      the whole job on the sample scene
    geoseg run SCENE LABELS -o out/           the whole job on your own
    """
    if config is not None:
        from geoseg.cli._config import read_config

        ctx.default_map = read_config(config, main, ctx)
