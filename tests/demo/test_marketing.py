"""The marketing demo's users: the same every time, partly known to each party, and best understood by all parties together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from tombolo.agreements.settings import TableSettings
from tombolo.cli.demo.demos import MARKETING
from tombolo.cli.demo.marketing import ID, LABEL, NEW_USERS, USERS, write_tables
from tombolo.cli.demo.tables import Tables
from tombolo.fl_tasks.tables.source import read_table

PARTIES = ("shop", "bank", "social-network")


def read(own: Tables, name: str = "table") -> pa.Table:
    """A table as the party's stages read it."""
    return read_table(TableSettings(**own.settings()[name]), own.table.parent, {}, [ID])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def frames(tables) -> dict[str, pd.DataFrame]:
    return {party: read(tables[party]).to_pandas().set_index(ID) for party in PARTIES}


def test_tables_are_the_same_every_time(tables, tmp_path):
    again = write_tables(tmp_path)
    for party in PARTIES:
        for name in tables[party].settings():
            assert read(tables[party], name).equals(read(again[party], name))


def test_each_party_lacks_users_that_others_have(frames):
    known = {party: set(frame.index) for party, frame in frames.items()}
    assert all(0.8 * USERS < len(users) < 0.95 * USERS for users in known.values())
    assert all(len(known[a] - known[b]) > 1_000 for a in PARTIES for b in PARTIES if a != b)
    everywhere = set.intersection(*known.values())
    assert 13_000 < len(everywhere) < 15_000
    assert len(set.union(*known.values())) <= USERS
    shop, bank, network = ([user for user in frames[party].index if user in everywhere] for party in PARTIES)
    assert shop != bank and bank != network and network != shop


def test_values_are_missing_at_the_hosts_only_and_amounts_are_skewed(frames):
    absent = {party: frame.isna().mean() for party, frame in frames.items()}
    assert (absent["shop"] == 0).all()
    lacks = {"bank": {"income", "savings", "occupation"}, "social-network": {"outdoors", "travel", "fashion", "device"}}
    for party, names in lacks.items():
        found = absent[party][absent[party] > 0]
        assert set(found.index) == names and found.between(0.02, 0.2).all()
    for party, name in (("shop", "spent"), ("bank", "income"), ("bank", "savings"), ("social-network", "contacts")):
        assert frames[party][name].skew() > 1.5


def test_the_label_is_the_shops_alone_and_new_users_are_new(tables, frames):
    assert LABEL in frames["shop"] and not any(LABEL in frames[party] for party in PARTIES[1:])
    assert 0.08 < frames["shop"][LABEL].mean() < 0.16
    outcomes = read(tables["shop"], "labels_table").to_pandas().set_index(ID)
    assert len(outcomes) == NEW_USERS and set(outcomes[LABEL]) == {0, 1}
    for party in PARTIES:
        new = read(tables[party], "predict_table")
        users = set(new.column(ID).to_pylist())
        assert LABEL not in new.column_names
        assert users <= set(outcomes.index) and not users & set(frames[party].index)


def test_the_agreement_names_every_column(frames):
    terms = yaml.safe_load((MARKETING.terms / "agreement.yaml").read_text())
    assert list(terms["parties"]) == list(PARTIES)
    for party, frame in frames.items():
        assert set(terms["tables"][party]["columns"]) == set(frame.columns) - {LABEL}


@pytest.mark.slow
def test_no_party_alone_and_no_pair_is_as_good_as_all(frames):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    common = frames["shop"].join(frames["bank"], how="inner").join(frames["social-network"], how="inner")
    y, held_out = common[LABEL], np.arange(len(common)) % 4 == 0

    def auc(*parties: str) -> float:
        x = common[[name for party in parties for name in frames[party].columns if name != LABEL]]
        x = x.assign(**{name: x[name].astype("category") for name in x.columns if not pd.api.types.is_numeric_dtype(x[name])})
        model = HistGradientBoostingClassifier(max_iter=40, max_depth=4, learning_rate=0.15, early_stopping=False, random_state=1)
        model.set_params(categorical_features="from_dtype").fit(x[~held_out], y[~held_out])
        return roc_auc_score(y[held_out], model.predict_proba(x[held_out])[:, 1])

    every, shop = auc(*PARTIES), auc("shop")
    assert 0.66 < shop < 0.74 and every > 0.80
    assert every > max(auc("shop", "bank"), auc("shop", "social-network")) + 0.02
    assert every > max(auc("bank"), auc("social-network")) + 0.05
