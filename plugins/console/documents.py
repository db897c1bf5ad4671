"""The files that a run wrote for people into this party's folder: its model card, rendered without raw HTML, and reports."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from tombolo.agreements.settings import PartySettings

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}


def folder(settings: PartySettings, agreement: str, run: str) -> Path | None:
    """The run's folder; None if the run wrote nothing."""
    base = Path(os.environ.get("TOMBOLO_DOCS") or settings.folder / "docs")
    return inside(base, base / agreement / run)


def file(folder: Path | None, path: str) -> Path | None:
    """A file in the folder that may be shown; None for any other path."""
    resolved = inside(folder, folder / path) if folder is not None else None
    return resolved if resolved is not None and resolved.is_file() and resolved.suffix in KINDS else None


def inside(base: Path, path: Path) -> Path | None:
    """``path`` with all links resolved; None unless it exists in ``base`` and no part of it begins with a dot."""
    try:
        resolved, base = path.resolve(strict=True), base.resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    if not resolved.is_relative_to(base) or any(part.startswith(".") for part in resolved.relative_to(base).parts):
        return None
    return resolved


def card(folder: Path | None) -> str:
    """The model card as HTML, with headings two levels lower; empty if there is none."""
    from markdown_it import MarkdownIt

    path = file(folder, "model-card.md")
    if path is None:
        return ""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(path.read_text(encoding="utf-8"))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    rendered: str = parser.renderer.render(tokens, parser.options, {})
    return rendered


def validation_pages(folder: Path | None) -> list[tuple[str, str]]:
    """The address (relative to the run's page) and the name of the first page of every validation report."""
    pages = sorted(path.relative_to(folder) for path in folder.rglob("index.html")) if folder is not None else []
    return [(quote(str(path)), str(path.parent)) for path in pages]
