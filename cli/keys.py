"""`tombolo keys`: a party's long-lived keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make and show a party's keys.")


@app.command()
def new(
    party: Annotated[str, typer.Argument(help="The party's name, as in the agreement.")],
    out: Annotated[Path, typer.Option(help="Key file to write (mode 0600); an existing file is never overwritten.")],
) -> None:
    """Make a party's keys: for signing, for sealing, and for its private area."""
    from tombolo.storage.identity import PartyKeys

    keys = PartyKeys.new(party)
    keys.save(out)
    typer.echo(f"Wrote {out}. Keep it secret. Give this public part to the other members for the agreement:")
    _print_public(keys)


@app.command()
def rotate(
    file: Annotated[Path, typer.Argument(help="The present key file; it is not changed.")],
    out: Annotated[Path, typer.Option(help="Key file to write (mode 0600); an existing file is never overwritten.")],
) -> None:
    """Make new keys for signing and sealing. The key of the private area stays, so models and checkpoints remain readable."""
    from tombolo.storage.identity import PartyKeys, SigningKey, UnsealKey

    old = PartyKeys.load(file)
    keys = PartyKeys(old.party, SigningKey.new(), UnsealKey.new(), old.vault)
    keys.save(out)
    typer.echo(
        f"Wrote {out}. Sign the amendment that pins the new keys twice: with the old keys and with the new ones. The public part:"
    )
    _print_public(keys)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A key file.")]) -> None:
    """Print the public keys in the form that `tombolo agreement amend pin` reads."""
    from tombolo.storage.identity import PartyKeys

    _print_public(PartyKeys.load(file))


def _print_public(keys: object) -> None:
    from tombolo.agreements.agreement import public_half
    from tombolo.agreements.amendments import fingerprint
    from tombolo.storage.identity import PartyKeys

    assert isinstance(keys, PartyKeys)
    public = public_half(keys)
    typer.echo(f"party: {keys.party}\nfingerprint: {fingerprint(keys.signing.public())}")
    typer.echo(f"verify: {public['verify']}\nseal: {public['seal']}")
