"""Scores: exact at every recipient, uniform on the wire with several senders, refused when rows or ranges do not fit."""

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, federation
from tombolo.fl_tasks.learning.vertical.scoring import (
    MESSAGES,
    SCORE_LIMIT,
    ScoreOutOfRange,
    WrongScoreCount,
    exchange_scores,
)
from tombolo.storage import meters
from tombolo.storage.schema import Pad64

ROWS = 50
TABLE = pa.table({"id": ["a"], "label": [1]})


def _federation(root, *hosts):
    parties = ["clinic", *hosts]
    made = federation(root, {party: TABLE for party in parties})
    made.start()
    rng = np.random.default_rng(11)
    return made, {party: rng.normal(size=ROWS) * 3 for party in parties}


def _score(made, own, recipients):
    def program(session):
        return exchange_scores(session, own[session.me], recipients)

    return made.roles("run-1", MESSAGES, "score", {"guest": program, "host": program, "arbiter": lambda session: None})


@pytest.mark.parametrize("hosts", [["lab"], ["lab", "bank"], ["lab", "bank", "shop"]])
def test_every_recipient_gets_the_sum(tmp_path, hosts):
    made, own = _federation(tmp_path, *hosts)
    found = _score(made, own, ["clinic", "lab"])
    expected = np.sum(list(own.values()), axis=0)
    for recipient in ("clinic", "lab"):
        assert found[recipient] == pytest.approx(expected, abs=len(hosts) * 2.0**-32)
    assert all(found[party] is None for party in (*hosts[1:], "notary"))


def test_repeating_gives_the_same_scores_and_sends_nothing_twice(tmp_path):
    made, own = _federation(tmp_path, "lab", "bank")
    first = _score(made, own, ["clinic"])
    before = [entry for party in made.parties for entry in made.context(party).books("run-1").entries("sent")]
    second = _score(made, own, ["clinic"])
    after = [entry for party in made.parties for entry in made.context(party).books("run-1").entries("sent")]
    assert first["clinic"].tolist() == second["clinic"].tolist()
    assert before == after


def test_a_share_shows_nothing_of_the_score(tmp_path):
    made, own = _federation(tmp_path, "lab", "bank")
    own = {party: np.zeros(ROWS) for party in own}
    shares = {}

    def guest(session):
        return {
            party: session.values(table, "share").to_numpy() for party, table in session.receive_all("masked_score", ROWS).items()
        }

    def host(session):
        exchange_scores(session, own[session.me], ["clinic"])

    shares = made.roles("run-1", MESSAGES, "score", {"guest": guest, "host": host, "arbiter": lambda session: None})["clinic"]
    for share in shares.values():
        assert len(np.unique(share)) == ROWS
        assert 0.2 < np.mean(share / 2.0**64) < 0.8
    assert (shares["lab"] + shares["bank"]).tolist() == [0] * ROWS


def test_another_number_of_rows_is_refused(tmp_path):
    made, own = _federation(tmp_path, "lab")
    own["lab"] = own["lab"][:-1]
    with pytest.raises(WrongScoreCount, match="49 scores for 50 rows"):
        _score(made, own, ["clinic"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2 * SCORE_LIMIT])
def test_a_score_that_does_not_fit_is_refused_before_anything_leaves(tmp_path, bad):
    made, own = _federation(tmp_path, "lab", "bank")
    own["lab"][3] = bad
    with made.context("lab").session("run-1", MESSAGES, "score", FOREVER) as session, pytest.raises(ScoreOutOfRange):
        exchange_scores(session, own["lab"], ["clinic"])
    assert not [entry for entry in made.context("lab").books("run-1").entries("sent") if "score" in entry.message]


def test_only_the_single_senders_score_is_readable():
    assert set(MESSAGES.disclosures()) == {"sole_score.score"}
    assert MESSAGES["masked_score"].columns == {"share": Pad64(meters.ROWS)}
