"""Joining in any order, with crashes and lateness, beside a client that tells everybody anything: a state machine."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.federation import invite, join, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tombolo.agreements.manifest import Join
from tombolo.fl_tasks.runtime import waiting
from tombolo.fl_tasks.runtime.context import Absent
from tombolo.fl_tasks.runtime.state import MANIFEST
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow import closing
from tombolo.fl_tasks.workflow.closing import TooFewJoined
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, JOIN_DOMAIN, run_seal, run_secret
from tombolo.fl_tasks.workflow.join import invitation
from tombolo.storage import moments
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError

SECONDS, LIAR, RUN = 1000, "west", "run-1"
HONEST = ("centre", *HOSPITALS[:3])
REAL = waiting.time
WORDS = st.text(max_size=20) | st.integers(-(2**53) + 1, 2**53 - 1) | st.none() | st.lists(st.integers(0, 9), max_size=3)
FIELDS = st.sampled_from(["run", "party", "invitation_digest", "seal", "approver", "created", "software", "decliner", "more"])


class Joining(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        terms = {"deadlines": {"join": SECONDS, "message": SECONDS}}
        self.fed = hospitals(Path(self.folder.name), horizontal={"absence": "skip"}, terms=terms)
        self.later, self.errors, self.told = 0.0, {}, {}
        self.patch = pytest.MonkeyPatch()
        machine = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + timedelta(seconds=machine.later)

        for module in (closing, moments):
            self.patch.setattr(module, "datetime", Clock)
        shifted = {"time": lambda: REAL.time() + self.later, "monotonic": REAL.monotonic, "sleep": REAL.sleep}
        self.patch.setattr(waiting, "time", SimpleNamespace(**shifted))
        invite(self.fed.context("centre"), RUN)

    def manifest(self, party: str) -> str | None:
        kept = self.fed.context(party).state(RUN).get(MANIFEST)
        return None if kept is None else kept.digest

    def goes_on(self, party: str) -> None:
        try:
            join(self.fed.context(party), RUN, Wait(0), progress=quiet)
            self.errors.pop(party, None)
        except Waiting:
            pass
        except CodedError as error:
            self.errors[party] = error

    @rule(party=st.sampled_from(HONEST))
    def steps(self, party: str) -> None:
        """As a task that is stopped at its first wait, or killed, and starts anew."""
        self.goes_on(party)

    @rule(seconds=st.sampled_from([10, SECONDS / 2, SECONDS + 1]))
    def passes(self, seconds: float) -> None:
        self.later += seconds if self.later < 2 * SECONDS else 0

    @rule(to=st.sets(st.sampled_from(HONEST), min_size=1), said=st.dictionaries(FIELDS, WORDS, max_size=2) | st.binary(max_size=60))
    def is_told_anything(self, to: set[str], said: dict[str, Any] | bytes) -> None:
        """The liar's join with some other fields, or any bytes, to some; what was said first to a party stays."""
        liar = self.fed.context(LIAR)
        invited = invitation(liar, RUN)
        honest = Join(
            run=RUN,
            party=LIAR,
            invitation_digest=invited.digest,
            seal=run_seal(run_secret(liar, RUN)),
            approver="eve",
            created=invited.created,
            software=invited.software,
        )
        document = said if isinstance(said, bytes) else canonical({**honest.document(), **said})
        for peer in to:
            if peer not in self.told:
                self.told[peer] = document
                signature = liar.keys.signing.sign(JOIN_DOMAIN, document)
                liar.handshake(RUN).send(HANDSHAKE["join"], peer, 0, {"document": document, "signature": signature})

    @invariant()
    def all_have_one_manifest(self) -> None:
        if hasattr(self, "fed"):
            assert len({self.manifest(party) for party in HONEST} - {None}) <= 1

    def teardown(self) -> None:
        """Time passes: who joined in time is in the run, whatever the liar told whom; no honest party is blamed for it."""
        if not hasattr(self, "fed"):
            return
        for number in range(6):
            for party in HONEST:
                self.goes_on(party)
            self.later += SECONDS + 1 if number in (0, 2, 3) else 0
        self.all_have_one_manifest()
        ended = isinstance(self.errors.get("centre"), TooFewJoined)  # time has passed before enough had joined
        for party in HONEST:
            error = self.errors.get(party)
            late = ended or isinstance(error, Absent)
            assert late or self.manifest(party) is not None, (party, error)
            assert error is None or late or error.party not in HONEST, "an honest party is blamed"
        self.patch.undo()
        self.folder.cleanup()


TestJoining = Joining.TestCase
TestJoining.settings = settings(max_examples=10, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck))
TestJoining.pytestmark = [pytest.mark.slow]
