"""The page of one run, made from the files in its private folder: everything escaped, no script."""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import quote

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; color: #1c2733 }
h1, h2, h3 { line-height: 1.2 }
table { border-collapse: collapse } td, th { border: 1px solid #c9d3dc; padding: .2rem .6rem; text-align: left }
code { background: #eef2f5; padding: 0 .2rem; overflow-wrap: anywhere } img { max-width: 100% } .quiet { color: #5b6b7a }
"""


def page(folder: Path) -> str:
    """HTML of the run's page. Markdown is rendered without raw HTML."""
    parts = [_card(folder), _validation(folder)]
    title = f"{folder.parent.name}, run {folder.name}"
    body = "\n".join(part for part in parts if part) or "<p class=quiet>Nothing has been written for this run yet.</p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style><body><p class=quiet>{escape(title)}</p>{body}</body></html>"
    )


def _card(folder: Path) -> str:
    from markdown_it import MarkdownIt

    card = folder / "model-card.md"
    if not card.is_file():
        return ""
    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(card.read_text(encoding="utf-8"))
    return f"<section id=card>{rendered}</section>"


def _validation(folder: Path) -> str:
    """Links to the entry pages of the validation results."""
    pages = sorted(path.relative_to(folder) for path in folder.rglob("index.html"))
    if not pages:
        return ""
    links = "".join(f"<li><a href='{quote(str(path))}'>{escape(str(path.parent))}</a></li>" for path in pages)
    return f"<section id=validation><h2>Validation results</h2><ul>{links}</ul></section>"
