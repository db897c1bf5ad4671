"""What every protocol's descriptor says is what its parts are: a new protocol is tested here by being listed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tombolo import fl_tasks
from tombolo.agreements.parameters import known
from tombolo.agreements.protocol import GROUP, Protocol, protocol_named
from tombolo.fl_tasks.models.family import HorizontalModel, VerticalModel
from tombolo.fl_tasks.models.reference import Reference
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.workflow.messages import STAGES, every_set, sets_of, stage_set
from tombolo.storage.plugins import offered
from tombolo.storage.schema import MessageSet

FOLDER = Path(fl_tasks.__file__).parent
PROTOCOLS = {name: protocol_named(name).protocol for name in offered(GROUP)}
ENGINES = [pytest.param(one, engine, id=f"{name}-{engine}") for name, one in PROTOCOLS.items() for engine in one.engines]


def test_every_folder_is_a_protocol() -> None:
    folders = {path.name.replace("_", "-") for path in (FOLDER / "protocols").iterdir() if path.is_dir()} - {"--pycache--"}
    assert folders == set(PROTOCOLS)


@pytest.mark.parametrize(("protocol", "engine"), ENGINES)
def test_disclosures_are_pinned(protocol: Protocol, engine: str | None) -> None:
    programs = protocol.load(protocol.engine(engine).programs)
    assert isinstance(programs, Programs)
    assert set(programs.messages.disclosures()) == protocol.engine(engine).discloses


@pytest.mark.parametrize(("protocol", "engine"), ENGINES)
def test_programs_are_for_declared_roles(protocol: Protocol, engine: str | None) -> None:
    """A role with rows to train on has a program for them; senders and recipients are roles that there are."""
    programs, roles = protocol.load(protocol.engine(engine).programs), {one.name for one in protocol.roles}
    with_rows = {one.name for one in protocol.roles if "train" in one.tables}
    assert set(programs.data) == with_rows
    assert set(programs.helpers) <= roles - with_rows
    for message in programs.messages.values():
        assert any(map(message.sent_by, roles)) and any(map(message.heard_by, roles)), message.name


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_parts_can_be_loaded(protocol: Protocol) -> None:
    trains = "train" in protocol.kinds
    kinds = {"vertical": VerticalModel, "horizontal": HorizontalModel}
    assert not trains or isinstance(protocol.load(str(protocol.model)), kinds[protocol.family])
    assert not trains or protocol.compare or isinstance(protocol.load(str(protocol.reference)), Reference)
    for part in (protocol.compare, protocol.table_check, protocol.cost, *protocol.stages.values(), *protocol.proposals.values()):
        assert part is None or callable(protocol.load(part))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_parameter_can_be_explained(protocol: Protocol) -> None:
    for engine in protocol.engines.values():
        engine.parameters()  # defaults lie within their own ranges
        for name, one in known(engine.parameters).items():
            assert one.title and one.description.endswith("."), name


def test_no_message_set_is_missing() -> None:
    names = [path.relative_to(FOLDER.parents[1]).with_suffix("") for path in FOLDER.rglob("*.py") if path.name != "__init__.py"]
    modules = [import_module(".".join(name.parts)) for name in names]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, MessageSet)]
    listed = {name for messages in every_set().values() for name in messages}
    assert {name for messages in found for name in messages} <= listed


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_name_means_one_thing_in_a_run(protocol: Protocol) -> None:
    """An artifact names its message only; whatever a run under one engine may send must not be two things."""
    sets = sets_of(protocol)
    for engine in [name for name in sets if name.startswith(protocol.name)]:
        known_: dict[str, object] = {}
        for message in [one for messages in (sets[engine], *map(stage_set, STAGES)) for one in messages.values()]:
            other = known_.setdefault(message.name, (message.learns, message.limit))
            assert other == (message.learns, message.limit), message.name
