"""The context of one party in one agreement: its settings, keys, stores and the sessions of its runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.manifest import LateJoin, Manifest
from tombolo.agreements.parameters import Parameters
from tombolo.agreements.settings import AgreementSettings, PartySettings
from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.privacy.odometer import Odometer
from tombolo.fl_tasks.privacy.populations import population_of
from tombolo.fl_tasks.runtime.aborts import ended_by, heard_abort
from tombolo.fl_tasks.runtime.payments import Payments
from tombolo.fl_tasks.runtime.secrets import Secrets
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.state import ADMITTED, CLOSING, GIVEN_UP, JOIN, MANIFEST, SECRET, SETTLED, SHARED_SEEDS, RunState
from tombolo.fl_tasks.runtime.waiting import Wait, Watch
from tombolo.storage.books import Books
from tombolo.storage.canonical import parse
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange, Peer, Self
from tombolo.storage.identity import PartyKeys, SealKey, UnsealKey, decode_key
from tombolo.storage.ledger.blocks import Blocks
from tombolo.storage.ledger.chain import Chain
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import AGGREGATOR, CLIENT, INITIATORS
from tombolo.storage.schema import MessageSet
from tombolo.storage.stores.base import Readable, Store


class NotJoined(CodedError):
    code = "TMB-RUN-001"
    cause = "This party has not joined the run."
    remedy = "Wait until the join task of this run has succeeded at this party. Then start this task again."


class Absent(CodedError):
    code = "TMB-RUN-009"
    cause = "The run goes on without this party, because it declined or had not joined when joining was closed."
    remedy = "Nothing is wrong: the settle task keeps the block that the others sign. To take part, join the next run in time."


class RunSettled(CodedError):
    code = "TMB-RUN-008"
    cause = "The run is settled and its keys are destroyed; its tasks cannot be repeated."
    remedy = "Start a new run."


_LOOK_BACK = 20
"""In how many blocks the last statement about the odometer is looked for: runs of others have blocks without one."""


@dataclass
class PartyContext:
    """Everything one party needs to take part in one agreement's runs. Paillier keys have at least ``shortest_key`` bits."""

    party_settings: PartySettings
    agreement: Agreement
    keys: PartyKeys
    store: Store
    peers: Mapping[str, Readable]
    shortest_key: int = MIN_BITS

    @classmethod
    def open(cls, agreement: str, settings: Path | None = None, shortest_key: int = MIN_BITS) -> PartyContext:
        """Read the settings, the keys and the verified agreement, and open the stores (without reading or writing them)."""
        party = PartySettings.load(settings)
        try:
            agreed = Agreement.load(party.federations / agreement, plugins=party.plugins, shortest_key=shortest_key)
            keys = party.load_keys()
            agreed.require_member(party.party, keys)
            others = [name for name in agreed.members if name != party.party]
            peers = {name: party.open_store(party.peers.get(name, agreed.members[name].store)) for name in others}
            return cls(party, agreed, keys, party.open_store(party.store), peers, shortest_key)
        except CodedError as error:
            raise error.at(party.party) from None

    @property
    def me(self) -> str:
        """This party's name."""
        return self.party_settings.party

    @property
    def role(self) -> str:
        """This party's role."""
        return self.roles[self.me]

    @property
    def initiator(self) -> str:
        """The party that starts the agreement's runs."""
        return next(party for party, role in self.roles.items() if role in INITIATORS)

    @property
    def roles(self) -> dict[str, str]:
        """Role by member, in the agreement's order."""
        return self.agreement.roles()

    @property
    def terms(self) -> Terms:
        """The agreement's terms."""
        return self.agreement.terms

    @property
    def agreement_settings(self) -> AgreementSettings:
        """This party's settings for this agreement: its tables, consent list, suite and split."""
        return self.party_settings.for_agreement(self.agreement.name)

    @cached_property
    def private(self) -> PrivateArea:
        """This party's private area of the agreement."""
        return PrivateArea(self.store, self.keys.vault, self.agreement.name)

    def run_area(self, run: str) -> PrivateArea:
        """This party's private area of one run."""
        return self.private.area("runs", run)

    def state(self, run: str = "", stage: str = "") -> RunState:
        """The private objects that this party keeps of the agreement, of a run, and of a stage of the run."""
        return RunState(self.private, run, stage)

    def books(self, run: str) -> Books:
        """This party's books of one run."""
        return Books(self.run_area(run).area("books"))

    @cached_property
    def chain(self) -> Chain:
        """This party's permanent record of the agreement."""
        return Chain(self.store, self.keys, self.agreement.name)

    @cached_property
    def blocks(self) -> Blocks:
        """The final blocks of the agreement's ledger, as this party keeps them."""
        return Blocks(self.store, self.keys.vault, self.agreement.name)

    @cached_property
    def odometer(self) -> Odometer:
        """What this party has released in all its agreements, and what it may still release."""
        return Odometer(self.store, self.keys, self.party_settings.odometer)

    @cached_property
    def population(self) -> str:
        """The tag of the people in this party's table: the same in every agreement that uses the same table."""
        return population_of(self.keys.vault, self.agreement.name, self.agreement_settings)

    # -- the manifest and the participants of a run -------------------------------------------------------------------------

    def manifest(self, run: str) -> Manifest:
        """The manifest that this party signed with all others; raises :class:`NotJoined` or :class:`Absent`."""
        manifest = self.agreed(run)
        if self.me not in self.taking_part(run):
            raise Absent(f"Run {run}.", party=self.me)
        return manifest

    def agreed(self, run: str) -> Manifest:
        """The manifest that a run's parties signed, also if this party is not one of them. Raises as :meth:`manifest` does."""
        manifest = self.state(run).get(MANIFEST)
        if manifest is None:
            raise (Absent if self.absent(run) else NotJoined)(f"Run {run}.", party=self.me)
        return manifest

    def taking_part(self, run: str) -> dict[str, str]:
        """The parties that take part in a run, with their roles, in the agreement's order."""
        parties = {*self.agreed(run).parties, *(late.party for late in self.admitted(run))}
        return {party: role for party, role in self.roles.items() if party in parties}

    def admitted(self, run: str) -> list[LateJoin]:
        """The late joins of the clients that were admitted after the run had begun, as far as this party knows."""
        if not self.admits:
            return []
        kept = self.state(run)
        return [LateJoin.from_document(parse(kept[item].body)) for item in kept.all(ADMITTED)]

    def approvers(self, run: str) -> dict[str, str]:
        """The person who approved the run, by party."""
        return {join.party: join.approver for join in (*self.agreed(run).joins, *self.admitted(run))}

    def absent(self, run: str) -> bool:
        """Whether this party knows that the run begins without it, or has declined the run."""
        if not self.may_skip:
            return False
        closing = self.state(run).get(CLOSING)
        if closing is not None:
            late = self.role == CLIENT and self.me not in closing.joined
            return late and all(join.party != self.me for join in self.admitted(run))
        return "decliner" in (self.state(run).get(JOIN) or {})

    @property
    def may_skip(self) -> bool:
        """Whether a run may begin without some clients."""
        return self.terms.task.horizontal_terms is not None and self.terms.task.horizontal_terms.absence != "wait"

    @property
    def admits(self) -> bool:
        """Whether clients may join a run that has begun."""
        return self.terms.task.horizontal_terms is not None and self.terms.task.horizontal_terms.absence == "admit"

    @property
    def clients(self) -> list[str]:
        """The agreement's clients, in its order."""
        return [party for party, role in self.roles.items() if role == CLIENT]

    def params(self, run: str) -> Parameters:
        """All parameters of the run, from its manifest."""
        return self.terms.chosen(self.agreed(run).invitation.parameters)

    # -- exchanges and sessions ---------------------------------------------------------------------------------------------

    def handshake(self, run: str, booked: str | None = None) -> Exchange:
        """The exchange before there is a manifest. It uses long-term sealing keys and is bound to the agreement's digest.

        ``booked`` is the run in whose books the artifacts are booked, if the addresses do not name that run (all invitations have
        one common place).
        """
        peers = {name: self._peer(name, self.agreement.members[name].seal) for name in self.peers}
        me = Self(self.me, self.keys.signing, self.keys.sealing, self.store)
        return self._exchange(me, peers, run, self.agreement.digest, booked or run)

    def exchange(self, run: str) -> Exchange:
        """The exchange of a joined run. It uses this run's sealing keys and is bound to the manifest's digest.

        Clients that take no part are included with their long-term keys, so that their signatures can be checked: they may be
        admitted later.
        """
        manifest, secret = self.manifest(run), self._secret(run)
        seals = {name: self.agreement.members[name].seal for name in self.clients} if self.may_skip else {}
        seals |= {join.party: SealKey(decode_key(join.seal)) for join in (*manifest.joins, *self.admitted(run))}
        peers = {name: self._peer(name, seals[name]) for name in self.peers if name in seals}
        me = Self(self.me, self.keys.signing, UnsealKey(decode_key(secret["unseal"])), self.store)
        return self._exchange(me, peers, run, manifest.digest, run)

    def _exchange(self, me: Self, peers: Mapping[str, Peer], run: str, binding: str, booked: str) -> Exchange:
        clocks = self.terms.deadlines.clocks
        return Exchange(me, peers, self.agreement.name, run, binding, self.books(booked), clocks)

    def _peer(self, name: str, seal: SealKey) -> Peer:
        return Peer(name, self.agreement.members[name].verify, seal, self.peers[name])

    def _secret(self, run: str) -> dict[str, str]:
        secret = self.state(run).get(SECRET)
        if secret is None:
            raise (RunSettled if SETTLED in self.state(run) else NotJoined)(f"Run {run}.", party=self.me)
        return secret

    def watch(self, run: str, wait: Wait, settling: bool = False, deadline: float | None = None) -> Watch:
        """Deadlines and aborts of one run. ``settling``: the run does not expire. ``deadline`` replaces the terms' deadline."""
        limits, manifest = self.terms.deadlines, self.state(run).get(MANIFEST)
        expires = manifest.invitation.expires_at if manifest and not settling else None
        usual = limits.settle if settling else limits.message if manifest else limits.join
        return Watch(wait, deadline or usual, expires, self.state(run), lambda: self.aborted(run))

    def aborted(self, run: str) -> CodedError | None:
        """The error that ends a run for this party because a peer has aborted it; None if no peer has.

        If this party has given up the run itself, its own reason is used: the peers may only have passed it on.
        """
        heard = heard_abort(self.handshake(run), self.needed(run))
        if heard is None:
            return None
        return ended_by(self.state(run).get(GIVEN_UP) or heard, self.me)

    def needed(self, run: str) -> list[str]:
        """The peers whose abort ends a run for this party.

        A horizontal run that has begun goes on if a client aborts. Before it has begun, it also goes on if the terms allow it to
        begin without some clients: whether enough of them are left is seen from their signatures.
        """
        needed = () if MANIFEST in self.state(run) or self.may_skip else self.clients
        return [peer for peer in self.peers if self.roles[peer] != CLIENT or peer in needed]

    def session(
        self,
        run: str,
        messages: MessageSet,
        stage: str,
        wait: Wait,
        progress: Progress = log_progress,
        leg_end: int | None = None,
        settling: bool = False,
        among: Collection[str] | None = None,
    ) -> Session:
        """A session of one stage of a joined run; with ``among``, only between these parties.

        Raises Damaged or Restored if the stage may release something and the odometer cannot be trusted.
        """
        roles = {party: role for party, role in self.taking_part(run).items() if among is None or party in among}
        if any(message.metered and message.sent_by(roles[self.me]) for message in messages.values()):
            self._require_odometer()
        kind, name = self.agreed(run).invitation.kind, self.agreement.name
        return Session(
            me=self.me,
            roles=roles,
            terms=self.terms,
            params=self.params(run),
            exchange=self.exchange(run),
            messages=messages,
            stage=stage,
            private=self.private,
            secrets=self._secrets(run),
            watch=self.watch(run, wait, settling),
            progress=progress,
            leg_end=leg_end,
            workers=self.party_settings.workers,
            executor=self.party_settings.executor,
            enrolled=self.clients,
            copies=self.admits and self.role == AGGREGATOR and stage == "train",
            shortest_key=self.shortest_key,
            payments=Payments(self.odometer, name, run, kind, stage, self.population),
        )

    def _require_odometer(self) -> None:
        """The odometer must be as long as this party's newest statement about it in a block, and have the same segment there.

        Raises Damaged or Restored.
        """
        self.odometer.head()
        height = self.blocks.height()
        for at in range(height, max(0, height - _LOOK_BACK), -1):
            kept = self.blocks.get(at)
            stated = kept["block"].get("odometers", {}).get(self.me) if kept else None
            if stated is not None:
                return self.odometer.require(stated["odometer"], at, self.agreement.name)

    def _secrets(self, run: str) -> Secrets:
        shared = self.state(run).get(SHARED_SEEDS) or {"pairs": {}, "common": None}
        pairs = {name: bytes.fromhex(seed) for name, seed in shared["pairs"].items()}
        common = bytes.fromhex(shared["common"]) if shared["common"] else None
        return Secrets(Prf(bytes.fromhex(self._secret(run)["prf"])).derive("own"), pairs, common)

    def docs(self, run: str) -> Path:
        """This party's private folder for the pages of a run that people read (validation pages, model card)."""
        base = os.environ.get("TOMBOLO_DOCS")
        folder = (Path(base) if base else self.party_settings.folder / "docs") / self.agreement.name / run
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder
