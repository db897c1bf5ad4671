"""The template engine of all pages. It escapes every text, and an undefined name is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")


@cache
def environment(folder: Path) -> Environment:
    """The engine for the templates of a folder. There is one per folder, and the package that uses it may add filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(folder)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, **facts: Any) -> Markup:
    """A page or picture from a template of this package. Another template can include the result without escaping it."""
    from markupsafe import Markup

    return Markup(environment(_TEMPLATES).get_template(template).render(**facts))  # noqa: S704 - the engine has escaped it
