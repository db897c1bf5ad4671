"""What a session pays to the odometer for the columns that it sends: before a byte is written, and ahead for the rounds to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.fl_tasks.privacy.odometer import Odometer, Release, Spent, person_item
from tombolo.fl_tasks.privacy.persons import STEPS
from tombolo.fl_tasks.privacy.populations import part_of
from tombolo.storage.meters import NUMBERS, ROWS, Meter
from tombolo.storage.schema import Column, Message

AHEAD = frozenset({NUMBERS.name})
"""Meters that a stage itself pays, before it begins: only the stage knows how many numbers are independent."""
_SLACK = 1e-9
_Place = tuple[str, str, str]


@dataclass(frozen=True)
class People:
    """The people whose values a stage sends, as hashes; ``item`` names what is told, ``limit`` is the most about one of them."""

    persons: npt.NDArray[np.uint64]
    item: str
    limit: float | None


class Payments:
    """What one stage of a run has paid for its messages: by message, meter, recipient and round.

    The first sending of a message pays as much for every later round of this leg, in the same entry. What the run paid before
    it was interrupted is read back, so it is not paid twice.
    """

    def __init__(self, odometer: Odometer, agreement: str, run: str, purpose: str, stage: str, population: str) -> None:
        self.odometer = odometer
        self._agreement, self._run, self._purpose, self._stage = agreement, run, purpose, stage
        self._population = population
        self._head = f"{agreement}/{run}/{stage}/"
        self._limits: dict[str, float] = {}
        self._prepaid: set[str] = set()
        self._strict = False
        self._reserved: dict[_Place, dict[int, float]] | None = None
        self._sent: set[tuple[_Place, int, str]] = set()
        self._used: dict[tuple[_Place, int], float] = {}
        self._people: People | None = None

    def limit(self, meter: Meter, amount: float | None) -> None:
        """The limit that later sendings on a meter are checked against; None for none but the house's."""
        if amount is None:
            self._limits.pop(meter.name, None)
        else:
            self._limits[meter.name] = amount

    def prepaid(self, meter: Meter) -> None:
        """The stage has paid for everything that it sends on this meter."""
        self._prepaid.add(meter.name)

    def require_prepaid(self) -> None:
        """From now on, a column on the meter ``numbers`` or ``rows`` is refused unless the stage has said that it is prepaid."""
        self._strict = True

    def release(
        self, meter: Meter, item: str, to: Iterable[str], amount: float = 0.0, limit: float | None = None, about: str = ""
    ) -> Release:
        """A release of this stage, for what it pays itself. What has the same ``item`` in any run costs once.

        ``about`` is the kind of secret, if it is counted by itself.
        """
        return Release(
            agreement=self._agreement,
            run=self._run,
            purpose=self._purpose,
            stage=self._stage,
            meter=meter.name,
            to=tuple(sorted(to)),
            population=part_of(self._population, about) if about else self._population,
            item=item,
            amount=float(amount),
            limit=limit,
        )

    def about(self, persons: npt.NDArray[np.uint64], item: str, limit: float | None) -> None:
        """Say whose values the stage sends from now on, on the meter ``rows``. The same item about the same people costs once."""
        self._people = People(persons, person_item(item, persons), limit) if len(persons) else None

    def pay(self, message: Message, table: pa.Table, recipients: Sequence[str], round: int, last: int) -> None:
        """Pay for a message of which this is the table to these recipients, and ahead up to the round ``last``.

        Raises Spent, Damaged or Restored. Raises ValueError for a column that the stage must prepay and has not, if
        :meth:`require_prepaid` asks for it.
        """
        due: dict[str, tuple[Meter, float]] = {}
        for name, column in message.columns.items():
            meter = column.meter
            if meter is not None and meter.name not in AHEAD | self._prepaid:
                due[meter.name] = meter, due.get(meter.name, (meter, 0.0))[1] + _bits(column, table.column(name))
            elif meter is not None and self._strict and meter.name not in self._prepaid:
                raise ValueError(f"{message.name}.{name}: the stage must pay for it before (meter {meter.name})")
        for meter, amount in due.values():
            if meter != ROWS:
                self._pay(message, meter, amount, sorted(recipients), range(round, max(round, last) + 1))
            elif self._people is not None:  # else the values are about people of other parties
                each = max(1 / STEPS, amount / len(self._people.persons))
                self._pay(message, meter, each, sorted(recipients), range(round, max(round, last) + 1))
            elif self._strict:
                raise ValueError(f"{message.name}: the stage must say whose values it sends (meter {meter.name})")

    def _pay(self, message: Message, meter: Meter, amount: float, recipients: Sequence[str], rounds: range) -> None:
        here, wanted, short = rounds[0], 0.0, []
        for recipient in recipients:
            place = (message.name, meter.name, recipient)
            if (place, here, message.step) in self._sent:  # the same address: what is sent first stays
                continue
            used = self._used.get((place, here), 0.0) + amount
            if used > self._paid(place, here) * (1 + _SLACK):
                short.append(recipient)
                wanted = max(wanted, used)
        if short:
            self._reserve(message.name, meter, wanted, short, rounds)
        for recipient in recipients:
            place = (message.name, meter.name, recipient)
            if (place, here, message.step) not in self._sent:
                self._sent.add((place, here, message.step))
                self._used[place, here] = self._used.get((place, here), 0.0) + amount

    def _reserve(self, name: str, meter: Meter, wanted: float, to: Sequence[str], rounds: range) -> None:
        """Pay so much for each of these rounds; if that is too much, for the present round alone."""
        if len(rounds) > 1:
            with suppress(Spent):
                self._top_up(name, meter, wanted, to, rounds)
                return
        self._top_up(name, meter, wanted, to, rounds[:1])

    def _top_up(self, name: str, meter: Meter, wanted: float, to: Sequence[str], rounds: range) -> None:
        """Pay what is missing in these rounds, up to ``wanted`` in each. Two processes that do the same pay once."""
        paid = [min(self._paid((name, meter.name, recipient), at) for recipient in to) for at in rounds]
        what = f"{name}/{rounds[0]}..{rounds[-1]}/{paid[0]!r}..{wanted!r}"
        missing = sum(max(0.0, wanted - before) for before in paid)
        if meter == ROWS and self._people is not None:
            people = self._people
            release = self.release(meter, f"{people.item}/{what}", to)
            self.odometer.pay_rows(release, people.persons, missing, people.limit)
        else:
            release = self.release(meter, f"{self._head}{what}", to, missing, self._limits.get(meter.name))
            self.odometer.pay([release])
        self._note(release)

    def _paid(self, place: _Place, round: int) -> float:
        """What was paid for a place in a round; the first time, everything that this stage of the run has paid is read back."""
        if self._reserved is None:
            self._reserved = {}
            for release in self.odometer.paid(self._agreement, self._run, self._stage):
                self._note(release)
        return self._reserved.get(place, {}).get(round, 0.0)

    def _note(self, release: Release) -> None:
        """Note the rounds that a release pays for. What the stage pays itself has other items."""
        assert self._reserved is not None
        parts = release.item.split("/")[-3:]
        own = f"{self._people.item}/" if self._people is not None else self._head
        if len(parts) != 3 or not release.item.startswith(own if release.meter == ROWS.name else self._head):
            return
        name, span, amounts = parts
        with suppress(ValueError):
            first, last = map(int, span.split(".."))
            wanted = float(amounts.split("..")[1])
            for recipient in release.to:
                rounds = self._reserved.setdefault((name, release.meter, recipient), {})
                for at in range(first, last + 1):
                    rounds[at] = max(rounds.get(at, 0.0), wanted)


def _bits(column: Column, values: pa.ChunkedArray) -> float:
    """The most that the values of a column tell, in bits; of binary values, such as masks, by their length."""
    if column.base == "binary":
        lengths = pc.binary_length(pa.chunked_array([chunk.storage for chunk in values.chunks], pa.binary()))
        return 8.0 * (pc.sum(lengths).as_py() or 0)
    return column.bits * len(values)
