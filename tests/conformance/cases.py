"""One small case per protocol and engine, made from the descriptor; and the few hints that a descriptor cannot give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from tests.conformance.trial import Trial
from tests.federation import FOREVER, federation, quiet
from tombolo.agreements.protocol import Protocol
from tombolo.fl_tasks.protocols.lending_query.asking import answers, propose_query, put_questions
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.join import join
from tombolo.fl_tasks.workflow.parts import programs_of, stage_function
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.schema import MessageSet

ROUNDS = 2
LIMITS = {
    "minimum_batch": 50,
    "maximum_leverage": 0.5,
    "minimum_leaf_rows": 5,
    "minimum_bin_rows": 5,
    "minimum_rows_per_weight": 10,
    "minimum_numbers_per_weight": 1,
    "minimum_row_difference": 0,
}
COMMON, OWN, COLUMNS = 120, 40, 3


@dataclass(frozen=True)
class Step:
    """A stage of a run whose messages are looked at. ``before`` does what must precede it; ``outcome`` is what a party is left
    with, and what must be the same whatever disturbed it."""

    stage: str
    run: str
    before: Callable[[Trial], object]
    outcome: Callable[[Trial, str], Any]
    kind: str = "train"


@dataclass(frozen=True)
class Hint:
    """What a descriptor does not say of the data that its protocol needs."""

    roles: Mapping[str, int] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)
    tables: Callable[[list[str]], dict[str, pa.Table]] | None = None
    steps: tuple[Step, ...] = ()
    turns: int = ROUNDS
    """Rounds that are trained by turns, for hostile values; one is enough where the next only repeats its messages."""


# -- training ---------------------------------------------------------------------------------------------------------------


def _prepared(trial: Trial) -> None:
    trial.start("run-1")
    for stage in (validate, align):
        trial.through(stage, "run-1")


def _model(trial: Trial, party: str) -> bytes | None:
    return trial.context(party).run_area("run-1").get("model")


def _evaluation(trial: Trial, party: str) -> bytes | None:
    return trial.context(party).run_area("run-1").get("evaluation")


def _scoring_begins(trial: Trial) -> None:
    trial.through(publish, "run-1")
    trial.start("new-1", "predict", "run-1")
    for stage in (validate, align):
        trial.through(stage, "new-1")


def _predictions(trial: Trial, party: str) -> bytes | None:
    return trial.context(party).private.area("predictions", "new-1").get("scores.parquet")


TRAINING = (
    Step("train", "run-1", _prepared, _model),
    Step("evaluate", "run-1", lambda _: None, _evaluation),
    Step("predict", "new-1", _scoring_begins, _predictions, "predict"),
)


def vertical_tables(parties: list[str], label: str, classes: bool) -> dict[str, pa.Table]:
    """Rows that all parties have, in different orders, and rows of their own; the first party has the labels."""
    rng = np.random.default_rng(7)
    rows = COMMON + OWN * len(parties)
    x = rng.normal(size=(rows, len(parties), COLUMNS))
    cause = x @ np.linspace(1.0, -0.6, COLUMNS) @ np.linspace(0.6, 1.2, len(parties))
    y = (cause + rng.logistic(size=rows) / 2 > 0).astype(int) if classes else cause + 0.3 * rng.normal(size=rows)
    made = {}
    for index, party in enumerate(parties):
        start = COMMON + OWN * index
        at = rng.permutation(np.r_[np.arange(COMMON), np.arange(start, start + OWN)])
        columns: dict[str, Any] = {"id": [f"p{one:04d}" for one in at]}
        columns |= {f"{party}-{column}": x[at, index, column] for column in range(COLUMNS)}
        made[party] = pa.table(columns | ({label: y[at]} if index == 0 else {}))
    return made


def horizontal_tables(parties: list[str], label: str, classes: bool) -> dict[str, pa.Table]:
    """The same columns at every client, of other rows."""
    rng = np.random.default_rng(8)
    made = {}
    for index, party in enumerate(parties):
        rows = 60 + 5 * index
        x = rng.normal(0.3 * index, 1.0, size=(rows, COLUMNS))
        cause = x @ np.linspace(1.2, -0.8, COLUMNS)
        y = (cause + rng.logistic(size=rows) / 2 > 0).astype(int) if classes else cause + 0.3 * rng.normal(size=rows)
        ids = [f"{party}-{one}" for one in range(rows)]
        made[party] = pa.table({"id": ids, **{f"c{column}": x[:, column] for column in range(COLUMNS)}, label: y})
    return made


# -- the lending query ------------------------------------------------------------------------------------------------------

PEOPLE = ("ann", "bob", "cid", "nobody")


def _customers(parties: list[str]) -> dict[str, pa.Table]:
    loans = [
        {"ann": (2, 12_000), "bob": (1, 1_000)},
        {"ann": (1, 3_000), "cid": (5, 70_000)},
        {"ann": (4, 9_000), "dan": (1, 8_000)},
    ]
    return {
        party: pa.table({"id": list(own), "open_loans": [n for n, _ in own.values()], "exposure": [e for _, e in own.values()]})
        for party, own in zip(parties, loans, strict=True)
    }


def _index_begins(trial: Trial) -> None:
    trial.start("index-1", "index")
    trial.through(validate, "index-1")


def _query_begins(trial: Trial) -> None:
    asker = trial.context(trial.guest)
    rows = "".join(f"{one},receipt of {one}\n" for one in PEOPLE)
    (trial.root / trial.guest / "questions.csv").write_text("id,consent\n" + rows)
    propose_query(asker, "query-1", put_questions(asker, "questions.csv"))
    trial.run_all(lambda party: join(trial.context(party), "query-1", FOREVER, progress=quiet))


def _answers(trial: Trial, party: str) -> Any:
    return answers(trial.context(party), "query-1") if party == trial.guest else None


LENDING = (
    Step("index", "index-1", _index_begins, lambda _trial, _party: None, "index"),
    Step("query", "query-1", _query_begins, _answers, "query"),
)

CONVERGED = {"rounds": {"default": 12, "min": 1, "max": 50}, "l2": 0.1}
"""Of protocols whose reference is the optimum."""
HINTS: Mapping[str, Hint] = {
    "lending-query": Hint(
        task={"query": {"decryptor": "host-1", "padding": 4}, "label": None}, tables=_customers, steps=LENDING, terms={"scores": []}
    ),
    "transfer": Hint(
        task={"transfer": {"components": 2, "width": 2}},
        parameters={"pretraining": 30, "rounds": {"default": 4, "min": 1, "max": 50}},
        terms={"scores": ["host"]},
    ),
    "linear": Hint(parameters=CONVERGED),
    "logistic-arbiter": Hint(parameters=CONVERGED),
    "logistic-taylor": Hint(parameters=CONVERGED),
    "logistic-guest": Hint(roles={"host": 2}, parameters=CONVERGED),
    "horizontal-linear": Hint(parameters=CONVERGED, turns=1),
    "horizontal-logistic": Hint(parameters=CONVERGED, turns=1),
    "vertical-mlp": Hint(task={"network": {"bottom": 2, "hidden": [1], "activation": "tanh"}}),
    "horizontal-mlp": Hint(
        task={"network": {"hidden": [2]}}, parameters={"momentum": 0.0}, turns=1
    ),  # averages are then one descent
    "secureboost": Hint(task={"boosting": {"feature_names": True}}, parameters={"depth": 2, "bins": 4}),
    "horizontal-trees": Hint(parameters={"depth": 2, "bins": 4}, turns=1),
}


class NoCase(Exception):
    """A protocol is listed for which the suite cannot make a case."""


@dataclass(frozen=True)
class Case:
    """A protocol on one of its engines, with what is known of its data."""

    protocol: Protocol
    engine: str | None
    hint: Hint
    plugins: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        if not self.hint.steps and "train" not in self.protocol.kinds:
            raise NoCase(f"{self.protocol.name} does not train: say in HINTS of tests/conformance/cases.py which stages it has.")
        return self.hint.steps or TRAINING

    def roles(self) -> dict[str, str]:
        """The fewest parties that the roles allow, in the order of the descriptor."""
        helper, found = self.protocol.engine(self.engine).helper, {}
        for role in self.protocol.roles:
            count = max(role.least, self.hint.roles.get(role.name, 0), int(role.name == helper))
            names = [role.name] if role.most == 1 else [f"{role.name}-{index + 1}" for index in range(count)]
            found |= dict.fromkeys(names[:count], role.name)
        return found

    def lay_out(self, root: Path) -> Trial:
        """The federation: signed terms, keys, tables."""
        protocol, engine, hint = self.protocol, self.protocol.engine(self.engine), self.hint
        roles = self.roles()
        kinds = {step.kind for step in self.steps}
        holders = [party for party, role in roles.items() if kinds & set(protocol.role(role).tables)]  # type: ignore[union-attr]
        makers = {"vertical": vertical_tables, "horizontal": horizontal_tables}
        if hint.tables is None and protocol.family not in makers:
            raise NoCase(f"{protocol.name}: say in HINTS of tests/conformance/cases.py which tables its parties have.")
        tables = hint.tables(holders) if hint.tables else makers[protocol.family](holders, "label", protocol.outcome != "number")
        known = engine.parameters.model_fields
        given = {"key_bits": 1024, "rounds": {"default": ROUNDS, "min": 1, "max": 50}, "test_fraction": 0.25, **hint.parameters}
        task: dict[str, Any] = {
            "protocol": protocol.name,
            "label": {"column": "label"} if protocol.labelled else None,
            "parameters": {name: value for name, value in given.items() if name in known},
            "waivers": [*protocol.waivers, *([engine.waiver] if engine.waiver else [])],
            **({"engine": self.engine} if self.engine else {}),
            **({"horizontal": {"features": {f"c{one}": {} for one in range(COLUMNS)}}} if protocol.family == "horizontal" else {}),
            **hint.task,
        }
        terms: dict[str, Any] = {
            "schema": "tombolo.terms/2",
            "limits": LIMITS,
            "scores": holders,
            **hint.terms,
        }
        made = federation(root, tables, roles, task={name: one for name, one in task.items() if one is not None}, **terms)
        for party in roles:
            settings = yaml.safe_load(made.settings(party).read_text())
            if party in tables:
                settings["agreements"]["trial"]["predict_table"] = {"source": "parquet", "path": "table.parquet"}
            made.settings(party).write_text(yaml.safe_dump({**settings, "plugins": list(self.plugins)}))
        return Trial(made)

    def stage(self, trial: Trial, step: Step) -> Callable[..., Any]:
        return stage_function(trial.context(trial.guest).terms.task, step.stage)

    def declared(self, trial: Trial) -> list[MessageSet]:
        """The message sets of the engine and of scoring, and the protocol's further ones."""
        programs = programs_of(trial.context(trial.guest).terms.task)
        scoring = [] if self.protocol.model is None else [self.protocol.load(self.protocol.model).messages]
        return [programs.messages, *scoring, *(self.protocol.load(part) for part in self.protocol.message_sets.values())]


def case_of(protocol: Protocol, engine: str | None, hint: Hint | None = None, plugins: tuple[str, ...] = ()) -> Case:
    return Case(protocol, engine, hint or HINTS.get(protocol.name, Hint()), plugins)
