"""Names: the run id, which is the same at all parties, and the ids of the DAGs of an agreement."""

from __future__ import annotations

import re

from tombolo.agreements.kinds import JOINT

INBOX = "tombolo_inbox"
RETENTION = "tombolo_retention"
_LONGEST = 180


def run_name(run_id: str, kind: str = "train") -> str:
    """The run id in the federation for an Airflow run id. Applied to its own result, it returns the same.

    The Airflow of every party must accept it as the id of a manual run, and every store as part of a key. So other characters
    become dashes, and prefixes such as ``scheduled__``, which Airflow uses for its own runs, lose their underscores. All kinds
    except training get a prefix, so that runs of the same moment have different ids.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", run_id)
    name = re.sub(r"_{2,}", "-", name)
    name = re.sub(r"\.{2,}", ".", name).lstrip("_.-")[:_LONGEST]
    prefix = "" if kind == "train" else f"{kind}."
    return name if name.startswith(prefix) else prefix + name


def dag_of(agreement: str, kind: str) -> str:
    """The id of an agreement's DAG; ``kind`` is ``train``, ``predict``, ``index``, ``query``, ``score`` or ``monitor``."""
    return f"{agreement}_{kind}"


def kind_of(run: str) -> str:
    """The kind of a run, from its name."""
    return next((kind for kind in JOINT if run.startswith(f"{kind}.")), "train")


def agreement_of(dag_id: str) -> tuple[str, str] | None:
    """The agreement and the kind of a DAG's runs; None for other DAGs. Names of agreements have no underscore."""
    agreement, _, kind = dag_id.partition("_")
    return (agreement, kind) if kind in JOINT else None
