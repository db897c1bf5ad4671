"""The reasons why an index is not built or a question is not answered. Each has a code. None of them names a person."""

from __future__ import annotations

from tombolo.storage.errors import CodedError


class BadCustomers(CodedError):
    code = "TMB-QUERY-001"
    cause = "The customer table of a lender lacks an agreed column, or the column has values that are not allowed."
    remedy = (
        "Correct the columns that task.query.count and task.query.exposure name: a count is a whole number from 0 to 2^23 - 1, "
        "an exposure is a number from 0 to 2^32 - 1 units."
    )


class NoIndex(CodedError):
    code = "TMB-QUERY-002"
    cause = "This party does not have the index that was asked for, or it is not the latest index."
    remedy = "Build an index first (the `index` DAG). Then start the query again: by default it asks the latest index."


class TooFewLenders(CodedError):
    code = "TMB-QUERY-003"
    cause = (
        "Fewer than three lenders besides the asker have an index of this epoch. An answer could show the data of a single lender."
    )
    remedy = "Build the index again (the `index` DAG) when all lenders can take part."


class AskerQuotaSpent(CodedError):
    code = "TMB-QUERY-004"
    cause = "The asker has used up its questions of this epoch, or this batch has more questions than query.batch allows."
    remedy = "Ask fewer questions, or wait until a new index is built (the `index` DAG)."


class PersonQuotaSpent(CodedError):
    code = "TMB-QUERY-005"
    cause = "A person of this batch was already asked about query.person_quota times in this epoch."
    remedy = "Leave out the people who were asked about already. Their answers do not change within an epoch."


class CoolingDown(CodedError):
    code = "TMB-QUERY-006"
    cause = "A person was asked about in an earlier epoch, and query.cooldown_hours have not passed since then."
    remedy = "Try again after query.cooldown_hours. Two answers within this time could show what a single lender changed."


class ConsentMissing(CodedError):
    code = "TMB-QUERY-007"
    cause = "A question has no consent receipt, or its receipt was already used for another question."
    remedy = "Seal the questions again (`tombolo query put`), each with a new consent receipt of its own."


class BadTicket(CodedError):
    code = "TMB-QUERY-008"
    cause = "The lenders' tickets and the questions that reached the arbiter do not fit together."
    remedy = (
        "A party left out a lender, changed the batch, or asked more questions than the lenders admitted. Audit the run to "
        "find out which party it was."
    )


class BadDeposit(CodedError):
    code = "TMB-QUERY-009"
    cause = "A list of points, a deposit or a key does not have the agreed size or form."
    remedy = "Check that both parties use the same version and the same terms. The artifact stays in its store for the audit."


class BadQuestions(CodedError):
    code = "TMB-QUERY-010"
    cause = "This party does not have these questions or answers, or the file of questions cannot be used."
    remedy = (
        "Check the handle or the run. To ask new questions, run `tombolo query put AGREEMENT FILE` with a CSV file that has the "
        "id columns and a column `consent`, each person once."
    )
