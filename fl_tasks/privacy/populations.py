"""Populations: people in the same table are the same population, in whichever agreement. Their names are tags that tell nothing."""

from __future__ import annotations

import hashlib
import hmac

from tombolo.agreements.settings import AgreementSettings, PartySettings
from tombolo.storage.canonical import canonical
from tombolo.storage.identity import Vault


def population_of(vault: Vault, agreement: str, settings: AgreementSettings) -> str:
    """The tag of the people in a party's table for an agreement: under the vault's key, so that it can stand in a block.

    It depends on where the table comes from, or on the name that the settings give. A party without a table has one population for
    each agreement.
    """
    if settings.population is not None:
        said: dict[str, object] = {"population": settings.population}
    elif settings.table is not None:
        table = settings.table
        said = {name: getattr(table, name) for name in ("source", "path", "connection", "query")}
    else:
        said = {"agreement": agreement}
    return hmac.new(vault.derive("population"), canonical(said), hashlib.sha256).hexdigest()[:32]


def part_of(population: str, about: str) -> str:
    """The tag of one kind of secret of a population's people, such as their labels, which is counted by itself."""
    return hashlib.sha256(f"{population}/{about}".encode()).hexdigest()[:32]


def titles(vault: Vault, settings: PartySettings, agreements: list[str]) -> dict[str, str]:
    """What the party itself calls its populations, by tag: the name in its settings, or where the table comes from."""
    named: dict[str, str] = {}
    for name in sorted({*agreements, *settings.agreements}):
        own = settings.for_agreement(name)
        table = own.table
        place = None if table is None else table.path or table.connection or table.source
        tag, title = population_of(vault, name, own), own.population or place or f"no table ({name})"
        named |= {tag: title, **{part_of(tag, about): f"{title}: {about}" for about in ("labels", "columns")}}
    return named
