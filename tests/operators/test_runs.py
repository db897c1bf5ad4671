"""Run names: accepted by Airflow and by stores at every party, stable under repetition, apart for trainings and predictions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.operators.runs import agreement_of, dag_of, run_name
from tombolo.storage.stores.base import check_key

AIRFLOW = st.from_regex(r"[A-Za-z0-9_.~:+-]{1,250}", fullmatch=True)


@given(AIRFLOW.filter(lambda text: re.search("[A-Za-z0-9]", text)), st.sampled_from(["train", "predict"]))
def test_names_are_safe_and_stable(run_id, kind):
    name = run_name(run_id, kind)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", name) and ".." not in name
    assert run_name(name, kind) == name
    check_key(f"to-host/wdbc/{name}/000001")


@pytest.mark.parametrize("kind", ["scheduled", "manual", "backfill", "asset_triggered"])
def test_names_that_airflow_keeps_for_itself_are_left_to_it(kind):
    name = run_name(f"{kind}__2026-01-01T00:00:00+00:00")
    assert name == f"{kind}-2026-01-01T00-00-00-00-00"


def test_runs_of_different_kinds_at_one_moment_differ():
    assert len({run_name("scheduled__2026-01-01", kind) for kind in ("train", "predict", "score")}) == 3


def test_dag_ids_lead_back_to_the_agreement():
    assert agreement_of(dag_of("wdbc", "predict")) == ("wdbc", "predict")
    assert agreement_of(dag_of("wdbc", "monitor")) is None
    assert agreement_of(dag_of("hospitals", "score")) is None
    assert agreement_of("tombolo_inbox") is None
