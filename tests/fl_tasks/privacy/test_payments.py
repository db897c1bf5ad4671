"""What a session sends is paid before it leaves: ahead for the rounds of a leg, and once, however often a task is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fl_tasks.privacy.metered import LOSS, METERED, change_settings, joined, send, used
from tombolo.fl_tasks.privacy.odometer import Damaged, Odometer, Spent
from tombolo.fl_tasks.privacy.populations import part_of, population_of, titles
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.exchange import Exchange
from tombolo.storage.ledger.chain import segment_key
from tombolo.storage.meters import METRIC, NUMBERS, PROGRESS, ROWS
from tombolo.storage.schema import Disclosed, UndeclaredColumn

ROOT = Path(__file__).resolve().parents[3]


def train(session: Session, upto: int = 99) -> None:
    for number in session.rounds():
        session.send("loss", loss=0.5)
        session.checkpoint({"loss": [0.5]})
        if number == upto:
            return


@pytest.mark.parametrize(
    ("column", "bits"),
    [
        (Disclosed("bool", "", "", PROGRESS), 1),
        (Disclosed("float64", "", "", PROGRESS), 53),
        (replace(Disclosed("float64", "", "", PROGRESS), meter=METRIC), 13),
        (Disclosed("int64", "", "", PROGRESS, least=0, most=1), 2),
        (Disclosed("int64", "", "", PROGRESS, least=-10, most=1000), 10),
        (Disclosed("int64", "", "", PROGRESS), 53),
        (Disclosed("string", "", "", PROGRESS, longest=4), 32),
        (Disclosed("binary", "", "", PROGRESS, longest=16), 128),
    ],
)
def test_what_a_value_tells(column, bits):
    assert column.bits == bits


def test_a_leg_is_paid_with_its_first_message(tmp_path):
    fed = joined(tmp_path)
    send(fed, train, leg_end=5)
    assert used(fed) == {("lab", "progress"): 5 * 53, ("notary", "progress"): 5 * 53}
    assert fed.context("clinic").odometer.head()["index"] == 1
    send(fed, train, leg_end=7)
    assert used(fed)["lab", "progress"] == 7 * 53
    assert fed.context("clinic").odometer.head()["index"] == 2
    reading = fed.context("clinic").odometer.readings()[0]
    assert [(use.agreement, use.run, use.purpose) for use in reading.uses] == [("trial", "run-1", "train")]
    assert fed.context("lab").odometer.readings() == []


def test_more_than_reserved_is_paid(tmp_path):
    fed = joined(tmp_path)

    def work(session: Session) -> None:
        for number in session.rounds():
            for part in range(3 if number == 2 else 1):
                session.within(part)
                session.send("scores", "lab", auc=[0.5] * 2, stopped=[True] * 2, rows=[1, 2])
            session.checkpoint({"loss": [0.5]})

    send(fed, work, leg_end=3)
    assert used(fed) == {("lab", "metric"): 26 + 78 + 78, ("lab", "progress"): 2 + 6 + 6}


def test_what_is_sent_outside_rounds_is_paid_alone(tmp_path):
    fed = joined(tmp_path)

    def work(session: Session) -> None:
        session.send("loss", "lab", loss=0.5)
        session.send("loss", loss=0.5)
        session.send("loss", "lab", loss=0.5)
        session.enter(1)
        session.send("loss", "lab", loss=0.5)

    for _ in range(2):
        send(fed, work)
        assert used(fed) == {("lab", "progress"): 106, ("notary", "progress"): 53}


def test_nothing_leaves_that_is_not_paid(tmp_path, monkeypatch):
    fed = joined(tmp_path)
    events: list[str] = []
    pay, put = Odometer.pay, Exchange.send
    monkeypatch.setattr(Odometer, "pay", lambda self, releases: (pay(self, releases), events.append("paid"))[0])
    monkeypatch.setattr(Exchange, "send", lambda self, *what: (put(self, *what), events.append("sent"))[0])
    send(fed, lambda session: session.send("loss", loss=0.5))
    assert events == ["paid", "sent", "sent"]
    before = fed.context("clinic").store.list("to-")

    def refused(session: Session) -> None:
        session.enter(3)
        session.limit(PROGRESS, 100)
        session.send("loss", loss=0.5)

    with pytest.raises(Spent) as caught:
        send(fed, refused)
    assert (caught.value.party, caught.value.step) == ("clinic", "train")
    assert "53 of 100 bits are spent; run run-1 (train) wants 53 more" in str(caught.value)
    with pytest.raises(UndeclaredColumn):
        send(fed, lambda session: session.send("loss", los=0.5))
    assert fed.context("clinic").store.list("to-") == before
    assert used(fed)["lab", "progress"] == 53


def test_a_limit_is_used_up_round_by_round(tmp_path):
    fed = joined(tmp_path)

    def work(session: Session) -> None:
        session.limit(PROGRESS, 53 * 3)
        train(session)

    with pytest.raises(Spent):
        send(fed, work)
    assert used(fed)["lab", "progress"] == 53 * 3
    state = fed.context("clinic").state("run-1", "train")
    assert state is not None and fed.context("clinic").odometer.head()["index"] == 3


def test_the_house_limit_is_in_the_settings(tmp_path):
    fed = joined(tmp_path)
    change_settings(fed, "clinic", lambda document: document.update(odometer={"progress": 60}))
    with pytest.raises(Spent, match="this party's own"):
        send(
            fed,
            lambda session: [session.enter(1), session.send("loss", loss=0.5), session.enter(2), session.send("loss", loss=0.5)],
        )


def test_some_meters_are_prepaid_by_the_stage(tmp_path):
    fed = joined(tmp_path)
    send(fed, lambda session: session.send("sums", sum=0.5))

    def strict(session: Session) -> None:
        session.payments.require_prepaid()
        session.send("loss", loss=0.5)
        for name, columns in (("sums", {"sum": 0.5}), ("answers", {"is": [True]})):
            with pytest.raises(ValueError, match=r"must pay for it before|whose values it sends"):
                session.send(name, **columns)
        session.odometer.pay([session.payments.release(NUMBERS, "batch 1", session.hosts, amount=12, limit=20)])
        session.prepaid(NUMBERS)
        session.send("sums", sum=0.5)
        session.prepaid(ROWS)
        session.send("answers", **{"is": [True, False]})

    send(fed, strict)
    assert used(fed) == {("lab", "progress"): 53, ("notary", "progress"): 53, ("lab", "numbers"): 12}


def test_a_damaged_odometer_lets_no_session_begin_that_may_release(tmp_path):
    fed = joined(tmp_path)
    send(fed, train)
    (fed.root / "clinic" / "store" / segment_key("_odometer", 1)).write_bytes(b"nonsense")
    with pytest.raises(Damaged):
        send(fed, lambda session: pytest.fail("it must not begin"))
    assert METERED["loss"] is LOSS


def test_a_killed_task_does_not_pay_again(tmp_path):
    fed = joined(tmp_path)
    program = f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.federation import Federation
        from tests.fl_tasks.privacy.metered import send
        from tombolo.storage.exchange import Exchange
        fed = Federation(Path({str(fed.root)!r}), "trial", {fed.parties!r})
        put, times = Exchange.send, []
        def killed(self, *what):
            times.append(1)
            if len(times) == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            return put(self, *what)
        Exchange.send = killed
        def work(session):
            for number in session.rounds():
                session.send("loss", loss=0.5)
                session.send("scores", auc=[0.5], stopped=[True], rows=[1])
                session.checkpoint({{"loss": [0.5]}})
        send(fed, work, leg_end=5)
    """
    path = tmp_path / "killed.py"
    path.write_text(textwrap.dedent(program))
    died = subprocess.run([sys.executable, str(path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    before, head = used(fed), fed.context("clinic").odometer.head()
    assert before["lab", "progress"] == 5 * 53 + 5, before

    def again(session: Session) -> None:
        for _ in session.rounds():
            session.send("loss", loss=0.5)
            session.send("scores", auc=[0.5], stopped=[True], rows=[1])
            session.checkpoint({"loss": [0.5]})

    send(fed, again, leg_end=5)
    assert used(fed) == before and fed.context("clinic").odometer.head() == head
    send(fed, again, leg_end=6)
    assert used(fed)["lab", "progress"] == 6 * 54


def test_people_in_the_same_table_are_the_same_population(tmp_path):
    fed = joined(tmp_path)
    clinic, lab = fed.context("clinic"), fed.context("lab")
    assert clinic.population != lab.population and len(clinic.population) == 32, "under each party's own key"
    settings, vault = clinic.party_settings, clinic.keys.vault
    own = settings.for_agreement("trial")
    assert population_of(vault, "other", own) == clinic.population
    assert population_of(vault, "trial", own.model_copy(update={"consent": "x"})) == clinic.population
    moved = own.table.model_copy(update={"path": "elsewhere"})
    assert population_of(vault, "trial", own.model_copy(update={"table": moved})) != clinic.population
    named = [own.model_copy(update={"population": "patients", "table": table}) for table in (own.table, moved)]
    assert population_of(vault, "a", named[0]) == population_of(vault, "b", named[1]) != clinic.population
    labels = {part_of(clinic.population, about): f"table.parquet: {about}" for about in ("labels", "columns")}
    assert titles(vault, settings, ["trial"]) == {clinic.population: "table.parquet", **labels}
    notary = fed.context("notary")
    assert titles(notary.keys.vault, notary.party_settings, ["trial"])[notary.population] == "no table (trial)"
