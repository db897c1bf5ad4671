"""Names: one run id everywhere, and the ids of the DAGs that an agreement gets."""

from __future__ import annotations

import re

from tombolo.agreements.kinds import JOINT

INBOX = "tombolo_inbox"
RETENTION = "tombolo_retention"
_LONGEST = 180


def run_name(run_id: str, kind: str = "train") -> str:
    """The federation's run id for an Airflow run id; the same string when applied again.

    Every party's Airflow must accept it as a manual run's id, and every store as part of a key: other characters become
    dashes, and ``scheduled__`` and the like, which Airflow keeps for its own runs, lose their underscores. All kinds
    but training carry a prefix, so that runs of the same moment stay apart.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", run_id)
    name = re.sub(r"_{2,}", "-", name)
    name = re.sub(r"\.{2,}", ".", name).lstrip("_.-")[:_LONGEST]
    prefix = "" if kind == "train" else f"{kind}."
    return name if name.startswith(prefix) else prefix + name


def dag_of(agreement: str, kind: str) -> str:
    """Id of an agreement's DAG: ``train``, ``predict``, ``index``, ``query``, ``score`` or ``monitor``."""
    return f"{agreement}_{kind}"


def kind_of(run: str) -> str:
    """The kind of a run by its name."""
    return next((kind for kind in JOINT if run.startswith(f"{kind}.")), "train")


def agreement_of(dag_id: str) -> tuple[str, str] | None:
    """Agreement and kind of the runs of a DAG, None where it has none; agreement names hold no underscore."""
    agreement, _, kind = dag_id.partition("_")
    return (agreement, kind) if kind in JOINT else None
