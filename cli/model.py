"""`tombolo model`: export a published model or a part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Write this party's part of a model; release and export a boosted one."
)
Agreement = Annotated[str, typer.Argument(help="The agreement's name.")]
Version = Annotated[str, typer.Argument(help="The published version: the run that trained it.")]
Settings = Annotated[Path | None, typer.Option(help="Party settings file; default: TOMBOLO_PARTY.")]
Out = Annotated[Path, typer.Option(help="File to write; an existing file is never overwritten.")]


@app.command()
def part(agreement: Agreement, version: Version, out: Out, settings: Settings = None) -> None:
    """Write this party's part of a published model as a safetensors file. The encoder is in the file's metadata."""
    from tombolo.fl_tasks.models.reading import NotTrained
    from tombolo.fl_tasks.models.registry import load_part
    from tombolo.fl_tasks.runtime.context import PartyContext

    context = PartyContext.open(agreement, settings)
    stored = load_part(context, version)
    if stored is None:
        raise NotTrained(f"Version {version}.", party=context.me)
    _write(out, stored)
    typer.echo(
        f"Wrote {out}: safetensors.numpy.load_file({str(out)!r}) reads its arrays. Keep it secret: it is this party's part only."
    )


@app.command()
def release(agreement: Agreement, version: Version, out: Out, settings: Settings = None) -> None:
    """At a host: write this party's splits of a boosted model, signed and sealed to the guest. This gives consent to export."""
    from tombolo.fl_tasks.learning.trees.export import release as make
    from tombolo.fl_tasks.runtime.context import PartyContext

    document = make(PartyContext.open(agreement, settings), version)
    _write(out, f"{json.dumps(document, indent=2)}\n".encode())
    typer.echo(f"Wrote {out}: from it, the guest learns which columns and cuts of this party are in version {version}.")


@app.command()
def export(
    agreement: Agreement,
    version: Version,
    out: Out,
    released: Annotated[
        list[Path], typer.Option("--release", help="The release file of a host. Repeat the option for every host.")
    ] = [],  # noqa: B006
    settings: Settings = None,
) -> None:
    """Write a boosted model as XGBoost JSON. Works at a client, and at the guest if all hosts gave their release files."""
    from tombolo.fl_tasks.learning.trees.export import ForeignRelease
    from tombolo.fl_tasks.learning.trees.export import export as make
    from tombolo.fl_tasks.runtime.context import PartyContext

    releases = []
    for path in released:
        try:
            releases.append(dict(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            raise ForeignRelease(f"{path} is not a release file.") from None
    _write(out, json.dumps(make(PartyContext.open(agreement, settings), version, releases)).encode())
    typer.echo(f"Wrote {out}: xgboost.Booster(model_file={str(out)!r}) reads it.")


def _write(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read."""
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise typer.BadParameter(f"{path} exists already; name a new file") from None
    with open(descriptor, "wb") as file:
        file.write(data)
