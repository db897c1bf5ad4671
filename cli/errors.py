"""`tombolo errors`: writes the page of all coded errors from the error classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def in_folder(path: Path) -> Path:
    """Return the file to write. Raises a usage error if its folder does not exist."""
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}: run this in a checkout of Tombolo, or name a file")
    return path


Out = Annotated[Path, typer.Option(help="Markdown file to write. An existing file is replaced.", callback=in_folder)]


def errors(out: Out = Path("docs/errors.md")) -> None:
    """Write docs/errors.md: for each error code, what happened and what to do."""
    out.write_text(page())
    typer.echo(f"Wrote {out}.")


def page() -> str:
    """The Markdown page; imports every module that defines an error."""
    from tombolo.storage.errors import homes, known

    rows = [f"| `{code}` | {error.cause} | {error.remedy} |" for code in sorted(homes()) if (error := known(code))]
    head = (
        "# Errors\n\nThis page is for everybody who meets an error code. After reading a line, you know what\n"
        "happened and what to do.\n\n"
        "Every failure that Tombolo raises on purpose has a code, a cause and a remedy. The text adds the\n"
        "party, the step and details, never a data value, a key or a secret. `tombolo errors` writes this\npage.\n\n"
    )
    return head + "| code | cause | remedy |\n|---|---|---|\n" + "\n".join(rows) + "\n"
