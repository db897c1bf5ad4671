"""The template engine of all pages. It escapes every text, and an undefined name is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombolo.storage.errors import shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")


@cache
def environment(folder: Path) -> Environment:
    """The engine for the templates of a folder. There is one per folder, and the package that uses it may add filters.

    Every text is made printable and cut before it is escaped, because it may come from a peer.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    options: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=FileSystemLoader(folder), autoescape=True, finalize=_readable, **options)


def _readable(value: object) -> object:
    return shown(value) if type(value) is str else value  # Markup is made by this program


def render(template: str, **facts: Any) -> Markup:
    """A page or picture from a template of this package. Another template can include the result without escaping it."""
    from markupsafe import Markup

    return Markup(environment(_TEMPLATES).get_template(template).render(**facts))  # noqa: S704 - the engine has escaped it
