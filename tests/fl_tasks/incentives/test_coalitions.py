"""Coalition values over a real federation: the plaintext's numbers, seen by nobody who should not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import Federation
from tests.fl_tasks.incentives.evaluated import Pooled, evaluated
from tests.rounded import rounded
from tombolo.agreements.terms import COALITION_WAIVER
from tombolo.fl_tasks.incentives import shapley
from tombolo.fl_tasks.incentives.coalitions import MESSAGES
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.runtime.arrays import unpack
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import RoundsSpent
from tombolo.storage.meters import ROWS
from tombolo.storage.schema import Pad64

MEAN = {"budget": 10_001, "refunds": {"notary": 500}}
SHARES, VALUES = "coalition_shares", "coalition_values"


def settled(made: Federation) -> tuple[dict, dict[tuple[str, str, str, int], pa.Table]]:
    """The facts at the guest, which must be everybody's, and every table received by (recipient, message, sender, round)."""
    found, real = {}, Session.receive

    def receive(self, name, frm, rows=None):
        table = real(self, name, frm, rows)
        found[self.me, name, frm, self.round] = table
        return table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "receive", receive)
        results = made.stage(settle, "run-1")
    facts = [{name: one[name] for name in ("contributions", "rewards", "block")} for one in results.values()]
    assert all(one == facts[0] for one in facts)
    block = made.context("notary" if "notary" in made.parties else made.guest).blocks.get(1)["block"]
    assert block["facts"]["contributions"] == facts[0]["contributions"] and block["facts"]["rewards"] == facts[0]["rewards"]
    return facts[0], found


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    made = evaluated(tmp_path_factory.mktemp("three"), MEAN)
    return made, *settled(made)


# -- what comes out ---------------------------------------------------------------------------------------------------------


def test_values_are_the_plaintext_computation(three):
    made, facts, _ = three
    found, pooled = facts["contributions"], Pooled(made)
    assert [one["members"] for one in found["coalitions"]] == [
        ["clinic"],
        ["clinic", "lab"],
        ["clinic", "bank"],
        ["clinic", "lab", "bank"],
    ]
    for one in found["coalitions"]:
        assert one["value"] == rounded(pooled.with_means(set(one["members"]), "auc"), pooled.test.sum())
    assert found["baseline"] == 0.5
    assert (found["metric"], found["rows"], found["errors"]) == ("auc", int(pooled.test.sum()), None)
    assert found["volume"] == pytest.approx({"clinic": 2 / 6, "lab": 3 / 6, "bank": 1 / 6})


def test_what_follows_from_the_values_is_recomputed_from_the_block(three):
    _, facts, _ = three
    found, paid = facts["contributions"], facts["rewards"]
    table = {frozenset(one["members"]): one["value"] for one in found["coalitions"]}

    def value(one):
        return table.get(one, found["baseline"])

    assert found["shapley"] == shapley.exact(found["players"], value)
    assert found["leave_one_out"] == shapley.leave_one_out(found["players"], value)
    assert sum(found["shapley"].values()) == pytest.approx(value(frozenset(found["players"])) - 0.5)
    assert paid["refunds"] == {"notary": 500} and sum(paid["rewards"].values()) == 9501
    assert sorted(paid["rewards"], key=paid["rewards"].get) == sorted(paid["rewards"], key=found["shapley"].get)


def test_it_stands_in_every_partys_record(three):
    made, facts, _ = three
    for party in made.parties:
        (entry,) = [one for one in made.context(party).chain.entries("run-1") if one.kind == "contributions"]
        assert entry.body["shapley"] == facts["contributions"]["shapley"] and entry.body["paid"] == facts["rewards"]


def test_without_incentives_nothing_is_computed_or_sent(tmp_path):
    made = evaluated(tmp_path, None, rounds=2)
    facts, received = settled(made)
    assert facts["contributions"] is None and facts["rewards"] is None
    assert not {name for _, name, *_ in received} & set(MESSAGES)


# -- who sees what ----------------------------------------------------------------------------------------------------------


def test_nobody_but_the_arbiter_gets_scores(three):
    made, _, received = three
    assert {me for me, name, *_ in received if name == SHARES} == {"notary"}
    assert not [name for _, name, *_ in received if name == "host_scores"]
    for party in made.data_parties:
        booked = made.context(party).books("run-1").entries("received")
        assert {entry.message for entry in booked if "/contribute." in entry.address} == {"volume", VALUES}


def arbiters_view(received, name: str) -> dict[int, np.ndarray]:
    """What the arbiter adds up, by coalition."""
    rounds = sorted({number for me, message, _, number in received if me == "notary" and message == SHARES})
    return {number: shares(received, name, number) for number in rounds}


def shares(received, name: str, number: int) -> np.ndarray:
    tables = [table for (_, message, _, round), table in received.items() if message == SHARES and round == number]
    total = np.sum([Session.values(table, name).to_numpy(zero_copy_only=False) for table in tables], axis=0, dtype=np.uint64)
    return total.view(np.int64) / 2.0**32


def test_shares_look_uniform(three):
    _, _, received = three
    for (_, name, _, _), table in received.items():
        if name == SHARES:
            for column in ("score", "label"):
                share = Session.values(table, column).to_numpy(zero_copy_only=False)
                assert len(np.unique(share)) == len(share)
                assert 0.3 < np.mean(share / 2.0**64) < 0.7 and np.std(share / 2.0**64) > 0.2


def test_two_data_parties_shares_are_uniform_too(tmp_path):
    made = evaluated(tmp_path, MEAN, {"clinic": 2, "lab": 3}, rounds=2)
    _, received = settled(made)
    test_shares_look_uniform((made, None, received))


def test_the_arbiter_sees_no_order_and_each_coalition_in_another_one(three):
    made, _, received = three
    pooled, seen, labels = Pooled(made), arbiters_view(received, "score"), arbiters_view(received, "label")
    truth = pooled.y[pooled.test]
    assert len(seen) == 5
    for number in seen:
        assert sorted(labels[number]) == pytest.approx(sorted(truth))
        assert abs(np.corrcoef(labels[number], truth)[0, 1]) < 0.4
    for first in seen:
        for second in seen:
            assert first == second or abs(np.corrcoef(labels[first], labels[second])[0, 1]) < 0.4
    total = sum(pooled.score(party) for party in pooled.parts)[pooled.test]
    assert abs(np.corrcoef(seen[5], total)[0, 1]) < 0.4


def test_sums_that_would_link_rows_are_hidden_by_unknown_scales(three):
    """{g, a} + {g, b} - {g} - {g, a, b} is the same in every row; of what the arbiter sees it is not, in any order."""
    made, _, received = three
    seen, pooled = arbiters_view(received, "score"), Pooled(made)
    spreads = []
    for number, members in ((2, {"clinic"}), (3, {"clinic", "lab"}), (4, {"clinic", "bank"}), (5, set(pooled.parts))):
        plain = sum(pooled.score(party)[pooled.test] for party in members)
        spreads.append(seen[number].std() / plain.std())
        assert 0.5 <= spreads[-1] < 1
        assert abs(seen[number].mean()) > 100 * plain.std(), "shifted"
    assert len({round(one, 6) for one in spreads}) == 4


def test_disclosures_are_pinned():
    assert set(MESSAGES.disclosures()) == {
        "volume.columns",
        "host_scores.score",
        "coalition_values.value",
        "row_count.rows",
        "row_counts.rows",
        "live_quality.rows",
        "live_quality.value",
    }
    assert MESSAGES[SHARES].columns == {"score": Pad64(ROWS), "label": Pad64(ROWS)}


# -- other protocols, metrics and evaluators --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "metric"),
    [
        ("linear", None),
        ("linear", "r2"),
        ("logistic-taylor", "logloss"),
        ("logistic-taylor", "accuracy"),
        ("logistic-taylor", "ks"),
    ],
)
def test_every_metric_survives_its_disguise(tmp_path, protocol, metric):
    made = evaluated(tmp_path, {**MEAN, "metric": metric}, protocol=protocol, rounds=3)
    found, pooled = settled(made)[0]["contributions"], Pooled(made)
    name = metric or "rmse"
    for one in found["coalitions"]:
        assert one["value"] == rounded(pooled.with_means(set(one["members"]), name), pooled.test.sum())
    assert found["metric"] == name
    assert found["baseline"] == rounded(pooled.baseline(name), pooled.test.sum())
    assert found["shapley"]["clinic"] > 0, "a lower loss is a gain"
    gain = found["coalitions"][-1]["value"] - found["baseline"]
    assert sum(found["shapley"].values()) == pytest.approx(-gain if name in ("rmse", "logloss") else gain)


def test_volume_without_an_arbiter(tmp_path):
    roles = {"clinic": "guest", "lab": "host", "bank": "host"}
    columns = {"clinic": 1, "lab": 4, "bank": 3}
    made = evaluated(tmp_path, {"budget": 80, "method": "volume"}, columns, "logistic-guest", roles=roles)
    facts, received = settled(made)
    found = facts["contributions"]
    assert found["volume"] == {"clinic": 1 / 8, "lab": 4 / 8, "bank": 3 / 8}
    assert facts["rewards"]["rewards"] == {"clinic": 10, "lab": 40, "bank": 30}
    assert (found["shapley"], found["leave_one_out"], found["baseline"], found["coalitions"]) == (None, None, None, [])
    assert not {name for _, name, *_ in received} & {SHARES, VALUES, "host_scores"}


def test_the_guest_values_coalitions_under_the_waiver(tmp_path):
    roles = {"clinic": "guest", "lab": "host", "bank": "host"}
    columns = {"clinic": 1, "lab": 4, "bank": 3}
    made = evaluated(tmp_path, {"budget": 80}, columns, "logistic-guest", roles=roles, waivers=[COALITION_WAIVER])
    facts, received = settled(made)
    pooled = Pooled(made)
    for one in facts["contributions"]["coalitions"]:
        assert one["value"] == rounded(pooled.with_means(set(one["members"]), "auc"), pooled.test.sum(), 1e-12)
    assert {me for me, name, *_ in received if name == "host_scores"} == {"clinic"}
    assert SHARES not in {name for _, name, *_ in received}


def test_an_arbiter_beside_logistic_guest_spares_the_hosts_scores(tmp_path):
    made = evaluated(tmp_path, MEAN, {"clinic": 1, "lab": 4, "bank": 3}, "logistic-guest")
    facts, received = settled(made)
    pooled = Pooled(made)
    for one in facts["contributions"]["coalitions"]:
        assert one["value"] == rounded(pooled.with_means(set(one["members"]), "auc"), pooled.test.sum())
    assert {me for me, name, *_ in received if name == SHARES} == {"notary"}


def test_more_than_six_data_parties_are_sampled_with_errors(tmp_path):
    columns = {"clinic": 2, **{f"host{number}": 1 for number in range(6)}}
    made = evaluated(tmp_path, {"budget": 700}, columns, "linear", rounds=8)
    found, pooled = settled(made)[0]["contributions"], Pooled(made)
    truth = shapley.exact(
        found["players"],
        lambda one: -(pooled.with_means(set(one), "rmse") if "clinic" in one else pooled.baseline("rmse")),
    )
    assert all(error > 0 for error in found["errors"].values())
    assert all(abs(found["shapley"][party] - truth[party]) < 5 * found["errors"][party] for party in truth)
    assert sum(found["shapley"].values()) == pytest.approx(found["baseline"] - found["coalitions"][-1]["value"])


# -- models of coalitions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["paillier", "dealer"])
def test_coalitions_that_train_anew_reach_their_own_optimum(tmp_path, engine):
    made = evaluated(tmp_path, {**MEAN, "absent": "retrain"}, protocol="linear", rounds=25, engine=engine)
    facts, received = settled(made)
    found, pooled = facts["contributions"], Pooled(made)
    train = ~pooled.test
    for one in found["coalitions"]:
        x = np.hstack([pooled.x[party] for party in one["members"]])
        weights, intercept = regression.linear(x[train], pooled.y[train], 0.01)
        errors = x[pooled.test] @ weights + intercept - pooled.y[pooled.test]
        assert one["value"] == rounded(np.sqrt(np.mean(errors**2)), len(errors))
    assert found["absent"] == "retrain"
    for me, name, sender, _ in received:
        assert not (name == "masked_gradient" and {me, sender} <= {"clinic", "lab", "bank"})
    addresses = {entry.address.split("/")[-2] for entry in made.context("bank").books("run-1").entries("sent")}
    assert any(one.startswith("retrain-0003.") for one in addresses), "with the clinic"
    assert not any(one.startswith("retrain-0002.") for one in addresses), "not a member of the clinic's and the laboratory's"


def test_retraining_equals_the_models_that_came_of_it(tmp_path):
    made = evaluated(tmp_path, {**MEAN, "absent": "retrain"}, rounds=3)
    found, pooled = settled(made)[0]["contributions"], Pooled(made)
    coalitions_asked = [one["members"] for one in found["coalitions"]]
    for number, (members, one) in enumerate(zip(coalitions_asked, found["coalitions"], strict=True), start=1):
        total = 0.0
        for party in members:
            w = unpack(made.context(party).run_area("run-1").area("retrained").get(f"{number:04d}"))["w"]
            total = total + (pooled.score(party, w[1:], w[0]) if party == "clinic" else pooled.score(party, w, 0.0))
        expected = measure("binary", pooled.y[pooled.test], total[pooled.test])["auc"]
        assert one["value"] == rounded(expected, pooled.test.sum())


def test_rounds_of_retrained_coalitions_are_booked_beforehand(tmp_path):
    limits = {"maximum_rounds_over_runs": 8, "minimum_batch": 256}
    with pytest.raises(RoundsSpent, match="this run needs 9"):  # the notary: the model, and two coalitions
        evaluated(tmp_path / "refused", {**MEAN, "absent": "retrain"}, rounds=3, limits=limits)
    made = evaluated(tmp_path / "fits", {**MEAN, "absent": "retrain"}, rounds=3, limits={**limits, "maximum_rounds_over_runs": 9})
    booked = {party: int(made.context(party).private.area("history").get("rounds/run-1")) for party in made.parties}
    assert booked == {"clinic": 9, "lab": 6, "bank": 6, "notary": 9}
