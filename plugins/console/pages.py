"""Makes pages from facts: the templates, with escaped values, and headers that forbid scripts and styles of other sites."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from tombolo.storage import moments

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
_COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "private, no-store"}
HEADERS = {
    **_COMMON,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
}
DOCUMENT_HEADERS = {
    **_COMMON,
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
}
"""The headers of files that other programs made (validation reports): no script may run."""

STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "icon-dark.svg": "image/svg+xml",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def page(template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    """The response of one template."""
    return HTMLResponse(_environment().get_template(template).render(**facts), status, headers=HEADERS)


@cache
def _environment() -> Environment:
    from tombolo.fl_tasks.pages import charts
    from tombolo.fl_tasks.pages.rendering import environment

    made = environment(FOLDER / "templates")
    made.filters |= {"size": size, "moment": moment, "number": charts.number, "hash": short_hash, "money": money, "amount": amount}
    made.globals |= {"bars": charts.cell_bars, "losses": charts.losses}
    return made


def size(count: int) -> Markup:
    """Bytes in a readable unit; the element also has the exact number."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    text = f"{count}" if unit == 0 else f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return Markup('<data value="{}">{}&nbsp;{}</data>').format(count, text, _UNITS[unit])


def moment(at: str | datetime) -> Markup:
    """A time in UTC, to the second."""
    if isinstance(at, str):
        try:
            at = moments.moment(at)
        except ValueError:
            return Markup('<span class="quiet">at an unknown time</span>')
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], at.strftime("%Y-%m-%d %H:%M:%S")
    )


def amount(value: float) -> str:
    """An amount on a meter: a whole number, or one with two decimals, with narrow spaces between the thousands."""
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
    return text.replace(",", "\u202f")


def short_hash(value: str) -> Markup:
    """The first characters of a hash; the element also has the whole hash."""
    return Markup('<code class="hash" title="{}">{}…</code>').format(value, value[:12])


def money(amount: int, currency: str) -> str:
    """An amount in smallest units, shown with two decimals and the currency."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100:,}.{abs(amount) % 100:02d} {currency}".replace(",", "\u202f")
