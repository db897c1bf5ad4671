"""The registry of message sets: every message of a run is found by its name, as its protocol declares it."""

from __future__ import annotations

import pytest

from tombolo.agreements.task import TaskTerms
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.workflow.messages import declared, every_set, stage_set

DEALER = {"engine": "dealer", "waivers": [DEALER_WAIVER]}


@pytest.mark.parametrize(
    ("task", "engine"),
    [({}, "linear"), (DEALER, "linear-dealer")],
)
def test_a_message_is_found_as_its_engine_declares_it(task, engine):
    terms = TaskTerms.of({"protocol": "linear", "label": {"column": "y"}, **task})
    for message in every_set()[engine].values():
        assert declared(terms, message.name) is message
    assert declared(terms, "sole_score") is every_set()["scoring"]["sole_score"]
    assert declared(terms, "invitation") is stage_set("handshake")["invitation"]
    assert declared(terms, "none such") is None
