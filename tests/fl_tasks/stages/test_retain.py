"""Retention: what could be personal goes when its time is over, and what was recorded still verifies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from fl_tasks.models import registry
from fl_tasks.stages.evaluate import evaluate
from fl_tasks.stages.publish import publish
from fl_tasks.stages.retain import erased, retain
from fl_tasks.stages.settle import settle
from storage.ledger.block import verify_block
from tests.federation import federation, quiet
from tests.fl_tasks.stages.trained import trained

AGREED = {"retention": {"artifacts_days": 30}}


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    made = trained(tmp_path_factory.mktemp("settled"), "clinic", "lab", **AGREED)
    for stage in (evaluate, publish, settle):
        made.stage(stage, "run-1")
    made.start("run-2")
    return made


def test_nothing_goes_before_its_time(settled):
    place = settled.place("lab")
    before = place.store.list()
    assert retain(place, later(29), quiet) == {"runs": [], "objects": 0}
    assert place.store.list() == before
    assert erased(place, "run-1") is None


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_what_is_personal_goes_and_the_record_stays(settled, party):
    place = settled.place(party)
    books = {name: place.books("run-1").entries(name) for name in ("sent", "received")}
    entries = list(place.chain.entries("run-1"))
    assert retain(place, later(31), quiet)["runs"] == ["run-1"]
    found = retain(place, later(33), quiet)
    assert found["runs"] == ["run-2"], "a run without a block counts from its expiry"
    left = place.store.list()
    assert not [key for key in left if key.startswith("to-")], "no artifact of either run is left"
    private = [key for key in left if "/runs/run-1/" in key]
    assert not [key for key in private if any(part in key for part in ("aligned", "train/", "seeds", "secret", "/model"))]
    assert {name: place.books("run-1").entries(name) for name in books} == books
    kept = list(place.chain.entries("run-1"))
    assert kept[: len(entries)] == entries
    assert [entry.kind for entry in kept[len(entries) :]] == ["erasure"]
    members = {name: member.verify for name, member in place.agreement.members.items()}
    assert verify_block(place.blocks.get(1), members)["run"] == "run-1"
    assert registry.load(place, "run-1")["evaluation"]["rows"] > 0
    assert place.manifest("run-1").invitation.run == "run-1"
    assert erased(place, "run-1")["objects"] > 0
    assert retain(place, later(34), quiet) == {"runs": [], "objects": 0}


def test_without_terms_of_retention_everything_stays(tmp_path):
    fed = federation(tmp_path, {party: pa.table({"id": ["a"]}) for party in ("clinic", "lab")})
    run = fed.start()
    fed.stage(settle, run)
    before = fed.place("lab").store.list()
    assert retain(fed.place("lab"), later(10**4), quiet) == {"runs": [], "objects": 0}
    assert fed.place("lab").store.list() == before
