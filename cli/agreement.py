"""`tombolo agreement`: check, sign and amend an agreement folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, sign and amend agreements.")
amendments = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Write the next amendment. All members must then sign it."
)
app.add_typer(amendments, name="amend")
Folder = Annotated[Path, typer.Argument(help="The agreement's folder.")]
Plugins = Annotated[
    list[str], typer.Option("--plugin", help="A distribution that the protocol may come from. Repeat the option for several.")
]


@app.command()
def check(folder: Folder, plugin: Plugins = []) -> None:  # noqa: B006
    """Show members, digests and signatures. The exit status is 1 if a signature is missing or wrong."""
    from rich.console import Console
    from rich.table import Table

    from tombolo.agreements.agreement import DOMAIN, Agreement
    from tombolo.storage.identity import SignatureRefused

    agreement, console = Agreement.load(folder, verify=False, plugins=plugin), Console()
    console.print(f"Agreement [bold]{agreement.name}[/bold], digest {agreement.digest}", highlight=False, soft_wrap=True)
    members = Table("party", "role", "key fingerprint", "store")
    for name, role in (agreement.roles() or agreement.terms.roles()).items():
        member = agreement.members.get(name)
        members.add_row(name, role, member.fingerprint if member else "not pinned yet", member.store if member else "-")
    console.print(members)
    signatures, whole = Table("part", "digest", "party", "signature"), bool(agreement.members)
    for link, member, signature in agreement.signatures():
        verdict = "missing"
        if signature is not None:
            try:
                member.verify.verify(signature, DOMAIN, bytes.fromhex(link.digest))
                verdict = "verified"
            except SignatureRefused:
                verdict = "WRONG"
        whole = whole and verdict == "verified"
        signatures.add_row(link.label, link.digest[:16], member.name, verdict)
    console.print(signatures)
    if not agreement.members:
        console.print("Not pinned yet: write the first amendment with `tombolo agreement amend pin`.", highlight=False)
    if not whole:
        raise typer.Exit(1)


@app.command()
def sign(folder: Folder, settings: Annotated[Path | None, typer.Option(help="Party settings file.")] = None) -> None:
    """Sign every part that needs this party's signature. Then send the new files in signatures/ to all members."""
    from tombolo.agreements.agreement import Agreement, NotAMember, NotPinned
    from tombolo.agreements.settings import PartySettings

    party = PartySettings.load(settings)
    agreement, keys = Agreement.load(folder, verify=False, plugins=party.plugins), party.load_keys()
    if not agreement.members:
        raise NotPinned(agreement.name)
    if all(member.verify != keys.signing.public() for _, member, _ in agreement.signatures()):
        raise NotAMember(f"Agreement {agreement.name} pins other keys.", party=keys.party)
    signed = agreement.sign(keys)
    typer.echo(f"Signed: {', '.join(signed)}." if signed else "Nothing here needs this party's signature.")


@amendments.command()
def pin(
    folder: Folder,
    keys: Annotated[
        list[str], typer.Option("--party", help="PARTY=KEYFILE, or PARTY=PUBLICFILE (the output of `tombolo keys show`).")
    ],
    store: Annotated[
        list[str], typer.Option("--store", help="PARTY=ADDRESS: the address where peers read the party's store.")
    ] = [],  # noqa: B006
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Pin keys and stores. The first amendment pins all parties; a later one changes keys or stores."""
    stores, parties = dict(_pair(pair) for pair in store), dict(_pair(pair) for pair in keys)
    changes = [{"party": party, **_public(party, Path(file))} for party, file in parties.items()]
    for change in changes:
        if change["party"] in stores:
            change["store"] = stores.pop(change["party"])
    changes += [{"party": party, "store": address} for party, address in stores.items()]
    _write(folder, [{"pin": change} for change in changes], plugin)


@amendments.command()
def rotate(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The member whose keys change.")],
    public: Annotated[Path, typer.Option(help="File with its new public keys (the output of `tombolo keys show`).")],
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Replace a member's keys. The member signs the amendment with the old keys and with the new keys."""
    _write(folder, [{"pin": {"party": party, **_public(party, public)}}], plugin)


@amendments.command("move-store")
def move_store(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The member whose store moves.")],
    store: Annotated[str, typer.Argument(help="The address where peers will read the store.")],
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Change the address of a member's store."""
    _write(folder, [{"pin": {"party": party, "store": store}}], plugin)


@amendments.command()
def join(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The new member.")],
    role: Annotated[str, typer.Option(help="One of the protocol's roles.")],
    public: Annotated[Path, typer.Option(help="File with its public keys (the output of `tombolo keys show`).")],
    store: Annotated[str, typer.Option(help="The address where peers read its store.")],
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Add a new member."""
    _write(folder, [{"join": {"party": party, "role": role, **_public(party, public), "store": store}}], plugin)


@amendments.command()
def leave(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The member that leaves.")],
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Remove a member that leaves."""
    _write(folder, [{"leave": party}], plugin)


def _write(folder: Path, changes: list[dict[str, Any]], plugins: list[str]) -> None:
    from tombolo.agreements.agreement import Agreement

    path = Agreement.load(folder, verify=False, plugins=plugins).write_amendment(changes)
    typer.echo(f"Wrote {path}. Every member must now sign it with `tombolo agreement sign`.")


def _public(party: str, path: Path) -> dict[str, str]:
    """A party's public keys from a key file or from the text that `keys show` prints."""
    from tombolo.agreements.agreement import public_half
    from tombolo.storage.identity import PartyKeys

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{path} cannot be read") from None
    if text.lstrip().startswith("{"):
        keys = PartyKeys.load(path)
        public = {"party": keys.party, **public_half(keys)}
    else:
        public = {name: value.strip() for name, _, value in (line.partition(": ") for line in text.splitlines())}
    if not {"party", "verify", "seal"} <= set(public):
        raise typer.BadParameter(f"{path} has no public keys; name a key file or a file with the output of `tombolo keys show`")
    if public["party"] != party:
        raise typer.BadParameter(f"{path} has the keys of {public['party']}, not of {party}")
    return {"verify": public["verify"], "seal": public["seal"]}


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise typer.BadParameter(f"{text!r} is not of the form PARTY=VALUE")
    return name, value
