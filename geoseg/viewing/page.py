"""A page that is one file and asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

import jinja2
from bokeh.resources import INLINE
from markupsafe import Markup

import geoseg


@cache
def template(package: str, name: str, filters: tuple[Callable[..., str], ...] = ()) -> jinja2.Template:
    """A template of one of geoseg's rooms; whatever is put into it is escaped.

    Args:
        package: the room.
        name: of the file.
        filters: functions the template may use, by their names.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {function.__name__: function for function in filters}
    return environment.from_string(text(package, name))


@cache
def text(package: str, name: str) -> str:
    """A file of one of geoseg's rooms."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def document(title: str, body: Markup, *, style: str = "", scripts: Sequence[str] = (), plotting: bool = True) -> str:
    """A whole page.

    Its policy lets nothing be fetched and no script be run but those given here, which it names by their hashes; what
    came into the page with data could not run even if it looked like one.

    Args:
        title: of the page, plain text.
        body: what is in it, escaped.
        style: further style sheets.
        scripts: run in this order.
        plotting: put Bokeh's own script before them.
    """
    every = [_closed(script) for script in (*(_bokeh() if plotting else ()), *scripts)]
    return template("geoseg.viewing", "page.html.j2").render(
        title=title,
        style=Markup(text("geoseg.viewing", "page.css") + style),  # noqa: S704 - ours
        body=body,
        scripts=[Markup(script) for script in every],  # noqa: S704 - ours, and closed
        policy=_policy(every),
        version=geoseg.__version__,
    )


@cache
def _bokeh() -> tuple[str, ...]:
    return tuple(INLINE.clone(components=["bokeh"]).js_raw)


def _closed(script: str) -> str:
    """A script that ends where its tag does, whatever texts are in it."""
    script = re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)
    return script.replace("<!--", r"<\!--").replace("\r\n", "\n")


def _policy(scripts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
