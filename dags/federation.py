"""The DAGs of all agreements of this Airflow's party. TOMBOLO_PARTY names the settings file of the party."""

from __future__ import annotations

import logging

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.settings import PartySettings
from tombolo.operators.workflow import build_dags, build_inbox_dag, build_retention_dag
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import INITIATORS

settings = PartySettings.load()
invited_by_others, retained = [], []

for folder in sorted(path.parent for path in settings.federations.glob("*/agreement.yaml")):
    try:
        # not verified here: every task that acts on the agreement verifies its signatures
        agreement = Agreement.load(folder, verify=False, plugins=settings.plugins)
        role = agreement.roles().get(settings.party)
        if role is None:
            continue
        if role not in INITIATORS:
            invited_by_others.append(agreement.name)
        if agreement.terms.retention is not None:
            retained.append(agreement.name)
        globals().update({dag.dag_id: dag for dag in build_dags(agreement, settings.party)})
    except CodedError as error:  # one bad agreement must not remove the DAGs of the other agreements
        logging.getLogger("tombolo").error("%s", error)
        with DAG(f"{folder.name}_unusable", description=error.cause, doc_md=f"```\n{error}\n```", tags=["tombolo"]) as unusable:
            EmptyOperator(task_id="see_the_dag_docs")
        globals()[unusable.dag_id] = unusable

if retained:
    retention = build_retention_dag(settings.party, retained)
if invited_by_others:
    inbox = build_inbox_dag(settings.party, invited_by_others)
