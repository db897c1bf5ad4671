"""Retention: what could be personal goes when its time is over, and what was recorded still verifies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tests.federation import federation, quiet
from tests.fl_tasks.workflow.trained import trained
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.runtime.state import SECRET, SIGNATURES
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.join import invite
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.retain import erased, retain
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.ledger.block import verify_block

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
    context = settled.context("lab")
    before = context.store.list()
    assert retain(context, later(29), quiet) == {"runs": [], "objects": 0}
    assert context.store.list() == before
    assert erased(context, "run-1") is None


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_what_is_personal_goes_and_the_record_stays(settled, party):
    context = settled.context(party)
    books = {name: context.books("run-1").entries(name) for name in ("sent", "received")}
    entries = list(context.chain.entries("run-1"))
    assert retain(context, later(31), quiet)["runs"] == ["run-1"]
    found = retain(context, later(33), quiet)
    assert found["runs"] == ["run-2"], "a run without a block counts from its expiry"
    left = context.store.list()
    assert not [key for key in left if key.startswith("to-")], "no artifact of either run is left"
    private = [key for key in left if "/runs/run-1/" in key]
    assert not [
        key for key in private if any(part in key for part in ("aligned", "prepared", "train/", "seeds", "secret", "/model"))
    ]
    assert {name: context.books("run-1").entries(name) for name in books} == books
    kept = list(context.chain.entries("run-1"))
    assert kept[: len(entries)] == entries
    assert [entry.kind for entry in kept[len(entries) :]] == ["erasure"]
    members = {name: member.verify for name, member in context.agreement.members.items()}
    assert verify_block(context.blocks.get(1), members)["run"] == "run-1"
    assert registry.load(context, "run-1")["evaluation"]["rows"] > 0
    assert context.manifest("run-1").invitation.run == "run-1"
    assert erased(context, "run-1")["objects"] > 0
    assert retain(context, later(34), quiet) == {"runs": [], "objects": 0}


def test_without_terms_of_retention_everything_stays(tmp_path):
    fed = federation(tmp_path, {party: pa.table({"id": ["a"]}) for party in ("clinic", "lab")})
    run = fed.start()
    fed.stage(settle, run)
    before = fed.context("lab").store.list()
    assert retain(fed.context("lab"), later(10**4), quiet) == {"runs": [], "objects": 0}
    assert fed.context("lab").store.list() == before


def test_secrets_of_a_run_that_never_began_go_too(tmp_path):
    """Nobody signs a manifest; and a party of that name confuses nothing."""
    fed = federation(tmp_path, {party: pa.table({"id": ["a"]}) for party in ("clinic", "manifest")}, **AGREED)
    context, run = fed.context("clinic"), "half"
    invite(context, run)
    context.state(run).keep(SIGNATURES.of("manifest"), b"signed by one")
    context.state(run).keep(SECRET, {"unseal": "key", "prf": "seed"})
    assert retain(context, later(20), quiet) == {"runs": [], "objects": 0}
    assert retain(context, later(40), quiet)["runs"] == [run]
    assert SECRET not in context.state(run)
