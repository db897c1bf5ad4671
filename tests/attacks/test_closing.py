"""Attacks on the beginning of a run that some clients may miss: an aggregator that forges the list of who takes part."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.ledger.audit.settled import source
from tombolo.agreements.manifest import MANIFEST_DOMAIN, Closing, Join, Manifest
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.newton import MESSAGES
from tombolo.fl_tasks.learning.horizontal.secagg.keys import OwnKeys
from tombolo.fl_tasks.learning.horizontal.secagg.lists import KEYS_DOMAIN, keys_statement
from tombolo.fl_tasks.learning.horizontal.sums import contribute_values
from tombolo.fl_tasks.ledger.audit.history import histories
from tombolo.fl_tasks.runtime import waiting
from tombolo.fl_tasks.runtime.context import Absent
from tombolo.fl_tasks.runtime.state import JOIN
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow import closing
from tombolo.fl_tasks.workflow.absent import decline
from tombolo.fl_tasks.workflow.closing import BadClosing, LeftOut, TooFewJoined
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, JOIN_DOMAIN
from tombolo.fl_tasks.workflow.join import invitation, invite, join
from tombolo.storage import moments
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.moments import WrongTime

JOIN_SECONDS = 1000


class Forged(Exception):
    """The aggregator has done its work."""


@pytest.fixture
def fed(tmp_path) -> Federation:
    made = hospitals(tmp_path, horizontal={"absence": "skip"}, terms={"deadlines": {"join": JOIN_SECONDS, "message": JOIN_SECONDS}})
    invite(made.context("centre"), "run-1")
    return made


def arrive(fed: Federation, *parties: str) -> None:
    """These clients join and wait for the aggregator's list."""
    for party in parties:
        with pytest.raises(Waiting):
            join(fed.context(party), "run-1", Wait(0), progress=quiet)


class Later(datetime):
    """The clients' clock, long after the deadline."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(seconds=2 * JOIN_SECONDS)


def answers(fed: Federation, parties: list[str]) -> dict[str, list[Any]]:
    """The signed answers that the parties have given; where there is none, the aggregator signs one itself."""
    columns: dict[str, list[Any]] = {"party": [], "document": [], "signature": []}
    for party in ["centre", *(name for name in HOSPITALS if name in parties)]:
        said = fed.context(party).state("run-1").get(JOIN)
        body = canonical(said or {**fed.context("centre").state("run-1")[JOIN], "party": party})
        signer = fed.context(party if said else "centre").keys.signing
        for name, value in (("party", party), ("document", body), ("signature", signer.sign(JOIN_DOMAIN, body))):
            columns[name].append(value)
    return columns


def close(fed: Federation, monkeypatch, lists, clock=Later) -> None:
    """The aggregator tells every client its own list: who has joined, who has declined, and how many seconds after the deadline."""
    for module in (closing, moments):
        monkeypatch.setattr(module, "datetime", clock)

    def forging(context, invited, exchange, wait):
        for client, (joined, declined, after) in lists.items():
            at = datetime.fromisoformat(invited.created) + timedelta(seconds=JOIN_SECONDS + after)
            made = Closing(
                run=invited.run,
                invitation_digest=invited.digest,
                joined=tuple(joined),
                declined=tuple(declined),
                closed=at.isoformat(),
            )
            exchange.send(HANDSHAKE["answers"], client, 0, answers(fed, [context.me, *joined, *declined]))
            exchange.send(HANDSHAKE["closing"], client, 0, {"document": canonical(made.document())})
        raise Forged

    monkeypatch.setattr(closing, "_close", forging)
    with pytest.raises(Forged):
        join(fed.context("centre"), "run-1", Wait(0), progress=quiet)


def told(fed: Federation, party: str) -> type[BaseException]:
    """What a client makes of its list."""
    with pytest.raises(Exception) as caught:
        join(fed.context(party), "run-1", Wait(0), progress=quiet)
    return caught.type


def signed(fed: Federation, party: str) -> bool:
    return bool(fed.context(party).run_area("run-1").names("signatures/"))


@pytest.mark.parametrize("declined", [(), ("west",)])
def test_a_client_that_had_joined_in_time_is_left_out(fed, monkeypatch, declined):
    """It does not take it for its own lateness, and its record says so; nobody believes that it declined."""
    arrive(fed, *HOSPITALS)
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS[:3], declined, 100)))
    assert told(fed, "west") is LeftOut
    assert told(fed, "west") is LeftOut
    found = histories(source(fed, "west"))[0]["run-1"].of_kind("finding")
    assert [(one["subject"], one["body"]["code"]) for one in found] == [("centre", LeftOut.code)]
    if declined:
        assert told(fed, "north") is BadClosing and not signed(fed, "north")


def test_joining_is_closed_early(fed, monkeypatch):
    arrive(fed, *HOSPITALS[:3])
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS[:3], (), -1)))
    assert all(told(fed, party) is BadClosing and not signed(fed, party) for party in HOSPITALS[:3])


def test_joining_is_closed_by_a_date_from_the_future(fed, monkeypatch):
    """Dated after the deadline, but sent before it: a client looks at its own clock."""
    arrive(fed, *HOSPITALS[:3])
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS[:3], (), 1)), clock=datetime)
    assert all(told(fed, party) is WrongTime and not signed(fed, party) for party in HOSPITALS[:3])


def test_joining_is_closed_early_with_a_date_from_the_past(fed, monkeypatch):
    """The invitation is older than it says, by the aggregator's dates; the deadline is not over by the client's clock."""

    class Soon(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=JOIN_SECONDS / 2)

    arrive(fed, *HOSPITALS[:3])
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS[:3], (), -JOIN_SECONDS / 2)), clock=Soon)
    assert all(told(fed, party) is BadClosing and not signed(fed, party) for party in HOSPITALS[:3])


def test_a_client_that_has_not_joined_is_listed(fed, monkeypatch):
    arrive(fed, *HOSPITALS[:3])
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS, (), 0)))
    assert all(told(fed, party) is BadClosing and not signed(fed, party) for party in HOSPITALS)


def test_a_client_that_has_declined_is_listed(fed, monkeypatch):
    arrive(fed, *HOSPITALS[:3])
    decline(fed.context("west"), "run-1", "ada")
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS, (), 0)))
    assert all(told(fed, party) is BadClosing and not signed(fed, party) for party in HOSPITALS[:3])


@pytest.mark.parametrize(
    ("joined", "refusal"),
    [
        (HOSPITALS[:2], TooFewJoined),
        ((*HOSPITALS[:3], "stranger"), BadClosing),
        ((*HOSPITALS[:3], "south"), BadClosing),
        (HOSPITALS[::-1], BadClosing),
    ],
)
def test_lists_that_cannot_be(fed, monkeypatch, joined, refusal):
    arrive(fed, *HOSPITALS)
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (joined, (), 100)))
    assert all(told(fed, party) is refusal and not signed(fed, party) for party in HOSPITALS[:2])


def test_two_lists(fed, monkeypatch):
    """Those who are shown different lists build different manifests, and neither gets enough signatures."""
    arrive(fed, *HOSPITALS)
    whole, less = (HOSPITALS, (), 0), (HOSPITALS[:3], (), 0)
    shown = {"north": whole, "east": whole, "south": less, "west": whole}
    close(fed, monkeypatch, shown)
    centre, invited = fed.context("centre"), invitation(fed.context("centre"), "run-1")
    joins = {party: Join.from_document(parse(fed.context(party).run_area("run-1").get("join"))) for party in fed.parties}
    for client, (names, _, _) in shown.items():  # the aggregator signs each one's manifest
        manifest = Manifest.build(invited, [joins[name] for name in ("centre", *names)])
        signature = centre.keys.signing.sign(MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
        centre.handshake("run-1").send(HANDSHAKE["manifest_signature"], client, 0, {"signature": signature})
    for party in ("north", "east", "south"):
        assert told(fed, party) is (SignatureRefused if party == "south" else Waiting)
    later = {**vars(waiting.time), "time": lambda: time.time() + 2 * JOIN_SECONDS}
    monkeypatch.setattr(waiting, "time", SimpleNamespace(**later))
    refused = {party: told(fed, party) for party in ("north", "east", "south")}
    assert refused == {"north": SignatureRefused, "east": SignatureRefused, "south": SignatureRefused}
    assert not any(fed.context(party).run_area("run-1").get("manifest") for party in HOSPITALS)


def test_late_by_a_moment_is_nobodys_fault(fed, monkeypatch):
    """Clocks may differ by a minute: a join that came just before the list is taken for a late one."""
    arrive(fed, *HOSPITALS)
    modified = fed.context("west").store.stat("to-centre/trial/run-1/000000/join/join/head").modified
    invited = fed.context("west").run_area("run-1")
    assert invited.get("join") is not None
    created = datetime.fromisoformat(closing.Invitation.from_document(parse(invited.get("invitation"))).created)
    after = (modified - created).total_seconds() - JOIN_SECONDS + 30
    assert after < 0
    monkeypatch.setattr(closing, "_deadline", lambda context, invited: created)
    close(fed, monkeypatch, dict.fromkeys(HOSPITALS, (HOSPITALS[:3], (), after)))
    assert told(fed, "west") is Absent


def test_an_absent_client_is_put_into_a_sum(tmp_path):
    """The aggregator plays it with keys of its own, and would know its masks; they lack the absent client's signature."""
    fed = hospitals(tmp_path, horizontal={"absence": "skip"}, terms={"deadlines": {"join": 1.0}})
    invite(fed.context("centre"), "run-1")
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), [*HOSPITALS[:3], "centre"])

    def session(party):
        return fed.context(party).session("run-1", MESSAGES, "train", Wait(0), quiet)

    for party in HOSPITALS[:3]:
        with pytest.raises(Waiting), session(party) as one:
            contribute_values(one, [1.0])
    with session("centre") as one:
        tables = {party: one.receive("advertise", party) for party in HOSPITALS[:3]}
        keys, signatures = ([one.scalar(table, name) for table in tables.values()] for name in ("keys", "signature"))
        own = OwnKeys.draw(Prf(bytes(32))).public().joined()
        forged = one.sign(KEYS_DOMAIN, keys_statement(one, own))
        one.send("roster", client=list(HOSPITALS), keys=[*keys, own], signature=[*signatures, forged])
    for party in HOSPITALS[:3]:
        with pytest.raises(SignatureRefused) as caught, session(party) as one:
            contribute_values(one, [1.0])
        assert caught.value.party == "west"
