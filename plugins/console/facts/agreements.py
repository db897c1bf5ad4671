"""The agreements of this party: the signatures, the state of its record, what was released, and the published models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombolo.plugins.console.facts.odometer import Gauge, gauge
from tombolo.plugins.console.facts.record import Health, LastBlock, RecordIndex, record_of
from tombolo.plugins.console.facts.runs import Runs, runs
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from tombolo.agreements.agreement import Agreement
    from tombolo.agreements.settings import PartySettings

MODELS = 5
SIGNED, LACKING, REFUSED = "signed", "lacking", "refused"


@dataclass(frozen=True)
class Party:
    """A member with its role, and whether it has signed everything that it must."""

    name: str
    role: str
    me: bool
    signature: str


@dataclass(frozen=True)
class Model:
    """A published version at this party; ``live`` is the last result of monitoring it."""

    version: str
    at: str
    protocol: str
    rounds: int | None
    metrics: dict[str, float]
    live: dict[str, Any] | None


@dataclass(frozen=True)
class Summary:
    """What the agreement's folder says, even if a signature is missing or wrong."""

    name: str
    protocol: str
    role: str
    parties: tuple[Party, ...]
    links: int
    digest: str
    first: str = "train"

    @property
    def signed(self) -> int:
        """How many parties have signed everything that they must."""
        return sum(party.signature == SIGNED for party in self.parties)


@dataclass(frozen=True)
class Overview:
    """One agreement on the overview. A part that cannot be read is None, and ``error`` says why."""

    name: str
    summary: Summary | None = None
    runs: Runs | None = None
    runs_error: CodedError | None = None
    health: Health | None = None
    block: LastBlock | None = None
    models: tuple[Model, ...] = ()
    gauge: Gauge | None = None
    error: CodedError | None = None


def names(settings: PartySettings) -> list[str]:
    """The names of all folders of agreements, also of those that cannot be read."""
    return sorted(path.parent.name for path in settings.federations.glob("*/agreement.yaml"))


def overview(settings: PartySettings, name: str, page: int = 1, file: Path | None = None) -> Overview | None:
    """What the overview shows of one agreement; None if this party is not a member."""
    from tombolo.agreements.agreement import Agreement
    from tombolo.fl_tasks.runtime.context import PartyContext

    summary = None
    try:
        agreement = Agreement.load(settings.federations / name, verify=False, plugins=settings.plugins)
        if settings.party not in (agreement.roles() or agreement.terms.roles()):
            return None
        summary = _summary(agreement, settings.party)
        context = PartyContext.open(name, file)
        record = record_of(context)
        listed, runs_error = runs(context, record, page)
        return Overview(
            name=name,
            summary=summary,
            runs=listed,
            runs_error=runs_error,
            health=record.health(context),
            block=record.last_block(context),
            models=tuple(models(record)[:MODELS]),
            gauge=gauge(context),
        )
    except CodedError as error:
        return Overview(name, summary, error=error)


def models(record: RecordIndex) -> list[Model]:
    """The published versions, newest first."""
    monitored = [run.last("monitoring") for run in record.runs.values() if run.kind == "monitor"]
    live = {entry.subject: entry.body for entry in sorted(filter(None, monitored), key=lambda entry: entry.at)}
    versions = []
    for noted in record.runs.values():
        published, measured, rounds = noted.last("publication"), noted.last("metrics"), noted.last("rounds")
        if published is not None:
            metrics = measured.body["metrics"] if measured else {}
            done = rounds.body["round"] if rounds else None
            protocol = published.body["protocol"]
            versions.append(Model(published.subject, published.at, protocol, done, metrics, live.get(published.subject)))
    return sorted(versions, key=lambda model: model.at, reverse=True)


def _summary(agreement: Agreement, me: str) -> Summary:
    states = _signatures(agreement)
    roles = agreement.roles() or agreement.terms.roles()
    parties = [Party(name, role, name == me, states.get(name, LACKING)) for name, role in roles.items()]
    protocol = agreement.terms.task.protocol
    first = agreement.terms.task.descriptor.kinds[0]
    return Summary(agreement.name, protocol, roles.get(me, ""), tuple(parties), len(agreement.chain), agreement.digest, first)


def _signatures(agreement: Agreement) -> dict[str, str]:
    """The state of each party: signed if it has a valid signature on every link of the chain that it must sign."""
    from tombolo.agreements.agreement import DOMAIN

    states: dict[str, str] = {}
    try:
        wanted = agreement.signatures()
    except CodedError as error:
        return {error.party or "": REFUSED}
    for link, member, signature in wanted:
        state = SIGNED if signature else LACKING
        try:
            if signature:
                member.verify.verify(signature, DOMAIN, bytes.fromhex(link.digest))
        except CodedError:
            state = REFUSED
        if states.get(member.name, SIGNED) == SIGNED:
            states[member.name] = state
    return states
