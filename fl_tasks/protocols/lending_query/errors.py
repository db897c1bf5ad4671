"""Why an index is not built, or a question not answered: each refusal has a code, and none says about whom."""

from __future__ import annotations

from tombolo.storage.errors import CodedError


class BadCustomers(CodedError):
    code = "TMB-QUERY-001"
    cause = "A lender's table of customers lacks the agreed columns, or they do not hold whole, non-negative numbers in range."
    remedy = "task.query.count and task.query.exposure name the columns; a count is below 2^23, an exposure below 2^32 units."


class NoIndex(CodedError):
    code = "TMB-QUERY-002"
    cause = "There is no index of this epoch at this party."
    remedy = "Build one first (the `index` DAG), and name its run, or leave the epoch empty for the latest."


class TooFewLenders(CodedError):
    code = "TMB-QUERY-003"
    cause = "Fewer than three lenders besides the asker hold an index of this epoch; an answer could be one lender's own."
    remedy = "Build the index again when all lenders can take part."


class AskerQuotaSpent(CodedError):
    code = "TMB-QUERY-004"
    cause = "The asker's questions of this epoch are used up, or these are more than a batch may hold."
    remedy = "Ask fewer, wait for the next epoch, or agree on a larger query.asker_quota."


class PersonQuotaSpent(CodedError):
    code = "TMB-QUERY-005"
    cause = "A person of this batch has been asked about as often as agreed in this epoch."
    remedy = "Leave out people who were asked about already; their answers of this epoch have not changed."


class CoolingDown(CodedError):
    code = "TMB-QUERY-006"
    cause = "A person of this batch was asked about in an earlier epoch, and the agreed time since has not passed."
    remedy = "Ask again after query.cooldown_hours; two answers shortly after each other would show what changed in between."


class ConsentMissing(CodedError):
    code = "TMB-QUERY-007"
    cause = "A question comes without a consent receipt of its own, or with one that was used before."
    remedy = "Give every question its own receipt; one consent is for one question."


class BadTicket(CodedError):
    code = "TMB-QUERY-008"
    cause = "The lenders' tickets and the questions that reached the arbiter do not fit together."
    remedy = (
        "A party left out a lender, changed the batch on its way, or asks more than was admitted; look at the audit of this run."
    )


class BadDeposit(CodedError):
    code = "TMB-QUERY-009"
    cause = "A lender's deposit or list has not the size or form that was agreed."
    remedy = "Both sides must run the same version and terms; the artifact is left in place for audit."


class BadQuestions(CodedError):
    code = "TMB-QUERY-010"
    cause = "There are no such questions at this party, or the file of questions cannot be used."
    remedy = "Give a CSV file with the id columns and a column `consent`, each person once: `tombolo questions put AGREEMENT FILE`."
