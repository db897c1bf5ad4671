"""The rows of a training: who takes part with which values, so that runs never differ in a few people (docs/what-adds-up.md).

Before alignment, :func:`hold` completes a party's table: people who were used before keep the values that were used, and people who
are gone from the table stay until enough leave. After alignment, :func:`decide` settles with the other data parties who joins, who
leaves, and which changed values are taken over. :func:`keep` remembers it. Only then is anything computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.alignment.order import HELD_OUT, WAITS, share_group, share_leaving, share_places
from tombolo.fl_tasks.learning.metrics import metric_names
from tombolo.fl_tasks.privacy.company import Least, admitted, leaving, require, taken_over
from tombolo.fl_tasks.privacy.numbers import ENTROPY_SHARE, ROWS_PER_SUM, entropy, smallest_group
from tombolo.fl_tasks.privacy.populations import part_of
from tombolo.fl_tasks.privacy.roster import Changes, Mask, Persons, Roster
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.columns import ID
from tombolo.fl_tasks.tables.frozen import as_present, differing, replaced
from tombolo.fl_tasks.tables.pinned import chunks, pin, unpin
from tombolo.fl_tasks.tables.prepared import Prepared
from tombolo.fl_tasks.workflow.numbers import rarer
from tombolo.fl_tasks.workflow.people import hashes
from tombolo.fl_tasks.workflow.state import ABSENT, ROSTER, USED
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import METRIC_BITS, NUMBERS
from tombolo.storage.moments import moment
from tombolo.storage.roles import CLIENT, GUEST, LABELLED

BUCKETS = 20
"""Splits are unions of so many fixed buckets."""
_CANONICAL = "__canonical"
Places = Callable[[Sequence[str], pa.Table, Mask], npt.NDArray[np.int64]]
"""The places that the guest or a client gives to rows, from their ids, their values, and who was used before."""


class RostersDiffer(CodedError):
    code = "TMB-PRIV-011"
    cause = "The data parties do not remember the same people from earlier runs."
    remedy = (
        "One of the parties has lost or restored private objects of earlier runs. Restore the store of the named party from its "
        "backup; if that is not possible, make a new agreement, and let people who were used before take no part in it."
    )


class RosterMoved(CodedError):
    code = "TMB-PRIV-012"
    cause = "Another run of this agreement has changed who takes part while this run was aligning."
    remedy = "Start a new run."


class SideChanged(CodedError):
    code = "TMB-PRIV-013"
    cause = "People would change sides: from training to the held-out rows, or back."
    remedy = (
        "Use the test_fraction and the split file of the earlier runs. A split file may gain ids; nobody who was used may change "
        "sides."
    )


@dataclass(frozen=True)
class Held:
    """A party's rows before alignment: first everybody who is in the roster, then strangers.

    ``persons`` are keyed hashes, in the order of ``prepared``. ``due`` are people who are gone from the table and may leave now;
    ``missing`` counts all who are gone. ``present`` has the values of now of the first rows, with empty rows for the missing, and
    ``here`` marks who is not missing. ``forced`` names columns of which there are only values of now.
    """

    prepared: Prepared
    persons: Persons
    roster: Roster
    due: Persons
    missing: int
    present: pa.Table
    here: Mask
    forced: set[str]


@dataclass(frozen=True)
class Decided:
    """The rows of this run: ``rows`` are positions in the aligned rows; ``table`` has the values, and ``test`` marks held-out
    rows.
    """

    rows: npt.NDArray[np.int64]
    table: pa.Table
    test: Mask
    roster: Roster
    facts: dict[str, int]


def hold(context: PartyContext, run: str, prepared: Prepared) -> Held:
    """Complete the validated table by what earlier runs have used. Repeating it gives the same."""
    roster = _before(context, run)
    persons = hashes(context, prepared.ids)
    place = roster.find(persons)
    stranger = place < 0
    inside = np.flatnonzero(roster.inside)
    used, canonical = _used(context, roster.events)
    order = roster.find(hashes(context, canonical))
    row_of = np.full(len(roster.persons), -1, np.int64)
    row_of[place[~stranger]] = np.flatnonzero(~stranger)
    at = row_of[order]
    here = at >= 0
    if not np.array_equal(np.sort(order), inside):
        raise RostersDiffer(f"{len(inside)} people are in, and {len(order)} have values.", party=context.me)
    present = prepared.table.take(pa.array(at, pa.int64(), mask=~here))
    values, forced = as_present(used, present) if len(at) else (present, set())
    new = np.flatnonzero(stranger)
    table = pa.concat_tables([values, prepared.table.take(pa.array(new, pa.int64()))])
    ids = [*canonical, *(prepared.ids[row] for row in new)]
    missing = roster.persons[order[~here]]
    return Held(
        replace(prepared, table=table, ids=ids),
        np.concatenate([roster.persons[order], persons[new]]),
        roster,
        missing if forced else _due(context, run, missing),  # nobody is used without a value
        len(missing),
        present,
        here,
        forced,
    )


def decide(context: PartyContext, session: Session, held: Held, rows: Sequence[int], places: Places) -> Decided:
    """Settle the rows of this run with the other data parties. ``rows`` are the positions of the aligned rows in ``held``.

    Raises NotOneSet, :class:`RostersDiffer` or :class:`SideChanged`, before anything is computed.
    """
    at, roster = np.asarray(rows, np.int64), held.roster
    persons = held.persons[at]
    who = roster.find(persons)
    known = who >= 0
    if int(known.sum()) != int(roster.inside.sum()):
        raise RostersDiffer(
            f"{int(roster.inside.sum())} people are in, and {int(known.sum())} of them are aligned.", party=context.me
        )
    alone = context.role == CLIENT
    own = _least(context, held)
    least = own if alone else share_group(session, own)
    place = None
    if alone or context.role == GUEST:
        place = places([held.prepared.ids[row] for row in rows], held.prepared.table.take(pa.array(at, pa.int64())), known)
    where = place if alone else share_places(session, place, len(rows))
    assert where is not None
    test = where == HELD_OUT
    if (test[known] != roster.test[who[known]]).any():
        raise SideChanged(f"{int((test[known] != roster.test[who[known]]).sum())} people.", party=context.me)
    new = ~known & (where != WAITS)
    hide = context.terms.limits.minimum_row_difference
    out = np.concatenate(
        [leaving(roster, held.due, int((new & (test == side)).sum()), side, least, hide) for side in (False, True)]
    )
    mine = np.isin(persons, out)
    leaves = mine if alone else share_leaving(session, mine)
    joins = new.copy()
    joins[new] = admitted(roster, persons[new], test[new], persons[leaves & known], least)
    now = roster
    if joins.any() or leaves.any():
        now = roster.step(persons[joins], test[joins], persons[leaves & known], {})
    kept = (known & ~leaves) | joins
    now, table = _values(held, now, at, kept, known, least)
    require(now, least)
    facts = {
        "waiting": int((~kept & ~known).sum()),
        "left": int(leaves.sum()),
        "companions": len(out) - len(np.intersect1d(out, held.due)),
        "pending": held.missing - len(np.intersect1d(out, held.due)),
    }
    return Decided(np.flatnonzero(kept), table, test[kept], now, facts)


def keep(context: PartyContext, run: str, decided: Decided, ids: Sequence[str]) -> None:
    """Remember who is in, and with which values. Repeating it changes nothing. Raises :class:`RosterMoved`."""
    state, roster = context.state(), decided.roster
    if roster.events > _before(context, run).events:
        changes = roster.changes
        arrays = {"persons": roster.persons, "test": roster.test, "joined": roster.joined, "left": roster.left}
        changed = {"changed": changes.persons, "changed_columns": changes.columns, "changed_at": changes.events}
        kept = state.keep(ROSTER.of(roster.events), {**arrays, **changed, "columns": list(roster.columns), "run": run})
        if kept["run"] != run:
            raise RosterMoved(f"Run {kept['run']}.", party=context.me)
        pin(state, USED.of(roster.events), decided.table.append_column(_CANONICAL, pa.array(list(ids), pa.string())))
        for event in {item.key[0] for item in state.all(USED)}:
            if int(event) < roster.events - 1:
                unpin(state, USED.of(int(event)))


def _values(held: Held, now: Roster, at: npt.NDArray[np.int64], kept: Mask, known: Mask, least: Least) -> tuple[Roster, pa.Table]:
    """The roster with the changed values that are taken over, and the rows that take part with their values."""
    used = held.prepared.table.slice(0, len(held.here))
    fixed = {ID, *(name for name in used.column_names if name.startswith("__"))}
    changed = {
        name: (np.ones(len(held.here), bool) if name in held.forced else differing(used.column(name), held.present.column(name)))
        & held.here
        for name in used.column_names
        if name not in fixed
    }
    people = held.persons[: len(held.here)]
    now = taken_over(now, held.roster, {name: people[rows] for name, rows in changed.items() if rows.any()}, least)
    taken = now.changes.events == held.roster.events
    marked = {}
    for number, name in enumerate(now.columns):
        if name in changed:
            marked[name] = changed[name] & np.isin(people, now.changes.persons[taken & (now.changes.columns == number)])
    values = replaced(used, held.present, {name: rows for name, rows in marked.items() if rows.any()})
    whole = pa.concat_tables([values, held.prepared.table.slice(len(held.here))])
    return now, whole.take(pa.array(at[kept], pa.int64()))


def _before(context: PartyContext, run: str) -> Roster:
    """The roster before this run."""
    state = context.state()
    for item in reversed(state.all(ROSTER)):
        kept = state[item]
        if kept["run"] != run:
            changes = Changes(kept["changed"], kept["changed_columns"], kept["changed_at"])
            return Roster(
                kept["persons"], kept["test"], kept["joined"], kept["left"], changes, tuple(kept["columns"]), int(item.key[0])
            )
    return Roster.empty()


def _used(context: PartyContext, event: int) -> tuple[pa.Table, list[str]]:
    """The values that were used last, and the canonical ids."""
    kept = list(chunks(context.state(), USED.of(event)))
    if not kept:
        return pa.table({}), []
    table = pa.concat_tables(kept)
    return table.drop_columns([_CANONICAL]), [str(row_id) for row_id in table.column(_CANONICAL).to_pylist()]


def _due(context: PartyContext, run: str, missing: Persons) -> Persons:
    """Who is missing and may leave now: all of them, once one of them has been missing for ``leavers.pool_days``."""
    state, invitation = context.state(), context.manifest(run).invitation
    now = moment(invitation.created)
    notes = [state[item] for item in state.all(ABSENT) if item.key != (run,)]
    last: dict[str, Any] = max(notes, key=lambda note: str(note["at"]), default={"persons": missing[:0], "since": [], "at": ""})
    since = dict(zip(last["persons"].tolist(), last["since"], strict=True))
    first = [since.get(person, now.isoformat()) for person in missing.tolist()]
    state.keep(ABSENT.of(run), {"persons": missing, "since": first, "at": now.isoformat()})
    for item in state.all(ABSENT):
        if item.key != (run,) and str(state[item]["at"]) < str(last["at"]):
            state.delete(item)
    pool = timedelta(days=context.terms.leavers.pool_days)
    return missing if any(moment(one) + pool <= now for one in first) else missing[:0]


def _least(context: PartyContext, held: Held) -> dict[bool, int]:
    """The smallest group of people in whom two runs may differ, for this party.

    What a run tells about all rows, the difference of two runs tells about those that differ. So they must be as many as the
    rules of docs/what-adds-up.md ask for the numbers and metrics that a run gives. Rounded up to two digits.
    """
    limits, task = context.terms.limits, context.terms.task
    least = dict.fromkeys((False, True), limits.minimum_row_difference)
    if held.roster.events:
        told = _told(context)
        share = 0.5
        if context.role in LABELLED and len(held.here):
            share = rarer(
                task.outcome, np.asarray(held.prepared.table.column(task.label_column).cast(pa.float64()))[: len(held.here)]
            )
            metrics = METRIC_BITS * len(metric_names(task.outcome))
            least[True] = max(least[True], _rounded(metrics / ENTROPY_SHARE / entropy(share) / limits.exposure))
        by_labels = smallest_group(0, told["labels"], share) if told["labels"] else 0
        by_columns = ROWS_PER_SUM * told["columns"]
        least[False] = max(least[False], _rounded(max(by_labels, by_columns) / limits.exposure))
    return least


def _told(context: PartyContext) -> dict[str, int]:
    """How many limited numbers any recipient got about this party's labels, and about a column."""
    readings = [reading for reading in context.odometer.readings() if reading.meter == NUMBERS.name and reading.limit is not None]
    tags = {about: part_of(context.population, about) for about in ("labels", "columns")}
    return {
        about: int(max((reading.amount for reading in readings if reading.population == tag), default=0))
        for about, tag in tags.items()
    }


def _rounded(count: float) -> int:
    """Rounded up to two digits."""
    step = 10 ** max(0, len(str(int(count))) - 2)
    return int(-(-count // step) * step)


def buckets(context: PartyContext, ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """One of 20 fixed buckets for each id, by a key of this party: the same in all runs and agreements, whoever else is there."""
    return (hashes(context, ids, "split") % np.uint64(BUCKETS)).astype(np.int64)
