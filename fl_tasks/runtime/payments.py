"""What a session pays to the odometer for the columns that it sends: before a byte is written, and ahead for the rounds to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from tombolo.fl_tasks.privacy.odometer import Odometer, Release, Spent
from tombolo.fl_tasks.privacy.populations import part_of
from tombolo.storage.meters import NUMBERS, ROWS, Meter
from tombolo.storage.schema import Message

AHEAD = frozenset({NUMBERS.name, ROWS.name})
"""Meters that a stage itself pays, before it begins: only the stage knows how many numbers are independent, and about whom."""
_SLACK = 1e-9
_Place = tuple[str, str, str]


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

    def pay(self, message: Message, rows: int, recipients: Sequence[str], round: int, last: int) -> None:
        """Pay for a message of so many rows to these recipients, and ahead up to the round ``last``.

        Raises Spent, Damaged or Restored. Raises ValueError for a column that the stage must prepay and has not, if
        :meth:`require_prepaid` asks for it.
        """
        due: dict[str, tuple[Meter, float]] = {}
        for name, column in message.columns.items():
            meter = column.meter
            if meter is not None and meter.name not in AHEAD | self._prepaid:
                due[meter.name] = meter, due.get(meter.name, (meter, 0.0))[1] + column.bits * rows
            elif meter is not None and self._strict and meter.name not in self._prepaid:
                raise ValueError(f"{message.name}.{name}: the stage must pay for it before (meter {meter.name})")
        for meter, amount in due.values():
            self._pay(message, meter, amount, sorted(recipients), range(round, max(round, last) + 1))

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
        item = f"{self._head}{name}/{rounds[0]}..{rounds[-1]}/{paid[0]!r}..{wanted!r}"
        missing = sum(max(0.0, wanted - before) for before in paid)
        release = self.release(meter, item, to, missing, self._limits.get(meter.name))
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
        parts = release.item.removeprefix(self._head).split("/")
        if not release.item.startswith(self._head) or len(parts) != 3:
            return
        name, span, amounts = parts
        with suppress(ValueError):
            first, last = map(int, span.split(".."))
            wanted = float(amounts.split("..")[1])
            for recipient in release.to:
                rounds = self._reserved.setdefault((name, release.meter, recipient), {})
                for at in range(first, last + 1):
                    rounds[at] = max(rounds.get(at, 0.0), wanted)
