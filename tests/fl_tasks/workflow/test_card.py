"""The model card: every fact in the text, and nothing that a peer's name could break."""

from tombolo.agreements.protocol import protocol_named
from tombolo.fl_tasks.learning.gains import SHARES
from tombolo.fl_tasks.workflow.card import card

PROTOCOL = protocol_named("logistic-arbiter").protocol
RECORD = {
    "agreement": "wdbc",
    "version": "run-7",
    "published": "2026-01-02T03:04:05.678+00:00",
    "agreement_digest": "a" * 64,
    "manifest_digest": "b" * 64,
    "party": "clinic",
    "role": "guest",
    "protocol": "logistic-arbiter",
    "parameters": {"rounds": 40, "l2": 0.001},
    "parties": {
        "clinic": {"role": "guest", "approver": "automatic"},
        "laboratory": {"role": "host", "approver": "a|<b>"},
    },
    "evaluation": {"rows": 120, "metrics": {"auc": 0.98765, "ks": 0.9}},
    "quality": {"metric": "auc", "minimum": 0.6, "maximum": None},
}
PART = {"names": ["age", "sex=f"], "rounds": 12}


def test_the_card_tells_what_the_record_holds():
    text = card(RECORD, PART, "loss.svg", PROTOCOL)
    for fact in (
        "0.9877",
        "120 aligned rows",
        "auc at least 0.6, passed",
        "| rounds | 40 |",
        "`sex=f`",
        "a" * 64,
        "b" * 64,
        "loss.svg",
    ):
        assert fact in text
    assert "<b>" not in text
    assert "| laboratory | host | a  b  |" in text


def test_gains_are_told_where_they_are_known():
    curve = [min(1.0, 3 * share) for share in SHARES]
    text = card({**RECORD, "evaluation": {**RECORD["evaluation"], "gains": curve}}, PART, None, PROTOCOL)
    assert "| 10% | 30.0% |" in text and "3.00 times as many" in text and "(gains.svg)" in text
    assert "Gains" not in card(RECORD, PART, None, PROTOCOL)


def test_an_arbiters_card_has_no_part():
    text = card({**RECORD, "party": "notary", "role": "arbiter"}, None, None, PROTOCOL)
    assert "part" not in text.split("## Parties")[0].split("## How")[1]
    assert "Loss by round" not in text
