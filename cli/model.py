"""`tombolo model`: what to do with a published model beside predicting with it."""

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
Settings = Annotated[Path | None, typer.Option(help="Party settings; TOMBOLO_PARTY names them otherwise.")]
Out = Annotated[Path, typer.Option(help="File to write; an existing one is never overwritten.")]


@app.command()
def part(agreement: Agreement, version: Version, out: Out, settings: Settings = None) -> None:
    """Write this party's part of a published model as it is kept: a safetensors file; its encoder is in the metadata."""
    from tombolo.fl_tasks.models.reading import NotTrained
    from tombolo.fl_tasks.models.registry import load_part
    from tombolo.fl_tasks.runtime.context import PartyContext

    context = PartyContext.open(agreement, settings)
    stored = load_part(context, version)
    if stored is None:
        raise NotTrained(f"Version {version}.", party=context.me)
    _write(out, stored)
    typer.echo(f"Wrote {out}: safetensors.numpy.load_file({str(out)!r}) reads its arrays. It is this party's secret.")


@app.command()
def release(agreement: Agreement, version: Version, out: Out, settings: Settings = None) -> None:
    """At a host: write this party's splits of a boosted model, sealed to the guest and signed. This is the party's consent."""
    from tombolo.fl_tasks.learning.trees.export import release as make
    from tombolo.fl_tasks.runtime.context import PartyContext

    document = make(PartyContext.open(agreement, settings), version)
    _write(out, f"{json.dumps(document, indent=2)}\n".encode())
    typer.echo(f"Wrote {out}: with it the guest learns this party's columns and cuts in version {version}.")


@app.command()
def export(
    agreement: Agreement,
    version: Version,
    out: Out,
    released: Annotated[list[Path], typer.Option("--release", help="A host's release; once for every host.")] = [],  # noqa: B006
    settings: Settings = None,
) -> None:
    """At the guest, with the releases of all hosts, or at a client: write a boosted model as XGBoost's JSON."""
    from tombolo.fl_tasks.learning.trees.export import ForeignRelease
    from tombolo.fl_tasks.learning.trees.export import export as make
    from tombolo.fl_tasks.runtime.context import PartyContext

    releases = []
    for path in released:
        try:
            releases.append(dict(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            raise ForeignRelease(f"{path} is no release.") from None
    _write(out, json.dumps(make(PartyContext.open(agreement, settings), version, releases)).encode())
    typer.echo(f"Wrote {out}: xgboost.Booster(model_file={str(out)!r}) reads it.")


def _write(path: Path, data: bytes) -> None:
    """A new file for its owner alone."""
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise typer.BadParameter(f"{path} exists") from None
    with open(descriptor, "wb") as file:
        file.write(data)
