"""Every column that a recipient can read names its meter. Protected columns that it can read are pinned here."""

from __future__ import annotations

import pytest

from tombolo.fl_tasks.workflow.messages import every_set
from tombolo.storage.meters import METERS, NUMBERS, PROGRESS, ROWS, Meter
from tombolo.storage.schema import Column, MessageSet

SETS = every_set()
READ: dict[str, Meter] = {
    **dict.fromkeys(["scalars.share", "slopes.share", "bends.share", "squared_residuals.c"], PROGRESS),
    **dict.fromkeys(["unmasked_gradient.gradient", "shared_gradient.gradient", "product.share", "correction.share"], NUMBERS),
    **dict.fromkeys(["source_gradient_back.residue", "target_gradient_back.residue", "masked.value"], NUMBERS),
    **dict.fromkeys(["logits.c", "logits.share", "direction.v", "sums.sums", "shared_sums.sums"], ROWS),
    **dict.fromkeys(["masked_score.share", "row_scores.c", "padded_scores_back.residue", "masked_answer.sum"], ROWS),
    **dict.fromkeys(["coalition_shares.score", "coalition_shares.label"], ROWS),
    **dict.fromkeys(["doubly_blinded_ids.point", "common_tokens.token"], ROWS),
    **dict.fromkeys([f"id_tags.{group}" for group in ("first", "second", "third")], ROWS),
}
"""Protected columns, as ``message.column``, whose recipient decrypts them, removes their pads, or adds up their shares."""
_NOTHING = ("nothing", "uniformly random", "(only the decryptor) uniformly random", "noise")
_NAMELESS = "pseudonyms and counts; the values stay encrypted under a key that the recipient does not have"
OTHER: dict[str, str] = {
    "final_list": "tokens of no id; only their number tells something",
    "base_reply": "keys that are drawn for this run",
    "order_digest": "a hash of ids that both parties have",
    "inbox": "shares of secrets that are drawn for this sum",
    "blinded_question": "points under an exponent of the asker; only their number tells something",
    "question": _NAMELESS,
    "deposit": _NAMELESS,
    "customer_points": "points under an exponent of their owner; only their number tells something",
    "asked_before": "points under an exponent of the arbiter; only their number tells something",
    "row_numbers": "ciphertexts under the sender's key; only their number tells something",
    "masked_columns": "values under a mask; only their number tells something",
    "masked_inputs": "values under a mask; only their number tells something",
}
"""Messages that tell something, though nobody reads their protected columns; and why these have no meter."""


def _columns(messages: MessageSet) -> dict[str, Column]:
    return {f"{message.name}.{name}": column for message in messages.values() for name, column in message.columns.items()}


@pytest.mark.parametrize("messages", SETS.values(), ids=SETS)
def test_what_is_disclosed_has_a_meter(messages: MessageSet) -> None:
    for name, column in _columns(messages).items():
        if column.kind == "disclosed":
            assert column.meter in METERS.values(), name
        if column.kind == "public":
            assert column.meter is None, name


@pytest.mark.parametrize("messages", SETS.values(), ids=SETS)
def test_protected_columns_that_are_read_are_pinned(messages: MessageSet) -> None:
    found = {name: column.meter for name, column in _columns(messages).items() if not column.open and column.meter is not None}
    assert found == {name: READ[name] for name in found}
    unread = [name for name, column in _columns(messages).items() if not column.open and column.meter is None]
    assert not set(unread) & set(READ)


@pytest.mark.parametrize("messages", SETS.values(), ids=SETS)
def test_the_other_protected_columns_tell_nothing(messages: MessageSet) -> None:
    """A message without a meter says that its recipient learns nothing from its columns, or stands above with a reason."""
    for message in messages.values():
        protected = [column for column in message.columns.values() if not column.open]
        if protected and all(column.meter is None for column in message.columns.values()):
            assert message.learns.startswith(_NOTHING) or message.name in OTHER, message.name


def test_nothing_is_pinned_that_there_is_not() -> None:
    assert set(READ) <= {name for messages in SETS.values() for name in _columns(messages)}
    assert set(OTHER) <= {name for messages in SETS.values() for name in messages}


@pytest.mark.parametrize("messages", SETS.values(), ids=SETS)
def test_one_value_tells_some_bits(messages: MessageSet) -> None:
    assert all(column.bits >= 1 for column in _columns(messages).values())
