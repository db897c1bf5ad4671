"""The registry of contracts: nothing that can be sent is missing from it, and every message of a run is found by its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tombolo import fl_tasks
from tombolo.agreements.parameters import QUERIES
from tombolo.fl_tasks.workflow import train
from tombolo.fl_tasks.workflow.messages import PROTOCOLS, STAGES, declared, message_set
from tombolo.storage.schema import MessageSet

FOLDER = Path(fl_tasks.__file__).parent


def test_no_contract_is_missing():
    names = [path.relative_to(FOLDER.parents[1]).with_suffix("") for path in FOLDER.rglob("*.py") if path.name != "__init__.py"]
    modules = [import_module(".".join(name.parts)) for name in names]
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, MessageSet)}
    registered = {id(message_set(name)) for name in (*STAGES, *PROTOCOLS)}
    assert [one.protocol for key, one in found.items() if key not in registered] == []
    assert set(PROTOCOLS) == {*train.PROTOCOLS, *QUERIES}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_message_is_found_as_its_protocol_declares_it(protocol):
    for message in message_set(protocol).values():
        assert declared(protocol, message.name) is message
    assert declared(protocol, "invitation") is message_set("handshake")["invitation"]
    assert declared(protocol, "none such") is None
    assert declared("unheard-of", "abort") is message_set("abort")["abort"]


def test_a_name_means_one_thing_in_a_run():
    """An artifact names its message only; whatever a run under one protocol may send must not be two things."""
    for protocol in PROTOCOLS:
        known = {}
        for name in (protocol, *STAGES):
            for message in message_set(name).values():
                other = known.setdefault(message.name, message)
                assert (other.learns, other.limit) == (message.learns, message.limit), (protocol, message.name)
