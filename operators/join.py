"""Operators that begin a run: invite, find invitations, read them, join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from tombolo.operators.base import FederatedOperator
from tombolo.operators.runs import dag_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.agreements.manifest import Invitation
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class InviteOperator(FederatedOperator):
    """Invite all peers to the run, with the parameters of the trigger form. The default of the as-of date is the run's date."""

    stage = "invite"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Invite; returns the invitation."""
        from tombolo.fl_tasks.models import registry
        from tombolo.fl_tasks.workflow.join import invite

        form = context["params"]
        as_of = form.get("as_of") or context["dag_run"].run_after.isoformat()
        protocol = party.terms.task.descriptor
        made: Invitation
        if self.kind in protocol.proposals:
            made = protocol.load(protocol.proposals[self.kind])(party, run, form, as_of)
        elif self.kind == "predict":
            made = invite(party, run, "predict", as_of=as_of, model=form.get("model") or registry.load(party)["version"])
        else:
            choices = {name: form[name] for name in party.terms.parameters() if name in form}
            made = invite(party, run, "train", choices, as_of=as_of)
        return made.document()


class ReadInvitationOperator(FederatedOperator):
    """Read and check the invitation, so that a person can decide about it."""

    stage = "invitation"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Read; returns the invitation."""
        from tombolo.fl_tasks.workflow.join import invitation

        return invitation(party, run).document()


class JoinRunOperator(FederatedOperator):
    """Take part in the run: exchange run keys, and sign the manifest.

    :param approver: who approved for this party; the peers read it in the signed join
    """

    stage = "join"
    template_fields: Sequence[str] = (*FederatedOperator.template_fields, "approver")

    def __init__(self, *, approver: str = "automatic", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approver = approver

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Join; returns the digest of the manifest and who approved."""
        from tombolo.fl_tasks.workflow.join import join

        return join(party, run, wait, approver=self.approver, progress=progress)


class PendingInvitationsOperator(BaseOperator):
    """List the runs that wait for this party, as arguments of the operator that triggers their DAGs."""

    def __init__(self, *, agreements: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agreements = agreements

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Returns the arguments, one set per run."""
        from tombolo.operators.triggers import invited

        runs = invited(self.agreements, self.log.warning)
        return [{"trigger_dag_id": dag_of(run["agreement"], run["kind"]), "trigger_run_id": run["run"]} for run in runs]
