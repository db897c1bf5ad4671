"""Terms of transfer: who may take part, who may be scored for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tombolo.agreements.terms import Terms


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "schema": "tombolo.terms/1",
        "name": "diagnosis",
        "parties": {"hospital": {"role": "guest"}, "clinic": {"role": "host"}},
        "task": {"protocol": "transfer", "label": {"column": "ill"}},
        "alignment": {"id": [{"column": "patient"}]},
        "scores": ["clinic"],
    }
    return {**base, **changes}


def test_defaults_are_explicit():
    terms = Terms.model_validate(document())
    assert terms.document()["task"]["transfer"] == {"components": 10, "hidden": [], "width": 8}
    assert terms.choose({})["class_weights"] == "none"
    assert terms.choose({})["labelled_rows"] is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parties": {"a": {"role": "guest"}, "b": {"role": "host"}, "c": {"role": "host"}}, "scores": ["b"]}, "exactly one guest"),
        ({"parties": {"a": {"role": "guest"}, "b": {"role": "host"}, "c": {"role": "arbiter"}}, "scores": ["b"]}, "nobody else"),
        ({"scores": ["hospital"]}, "name the host only"),
        (
            {
                "task": {
                    "protocol": "transfer",
                    "label": {"column": "ill"},
                    "parameters": {"labelled_rows": {"default": 50, "min": 10, "max": 90}},
                }
            },
            "labelled_rows: one number",
        ),
        ({"incentives": {"budget": 100}}, "use volume"),
        ({"task": {"protocol": "linear", "label": {"column": "ill"}, "transfer": {}}}, "Extra inputs"),
        (
            {"task": {"protocol": "transfer", "label": {"column": "ill"}, "parameters": {"tolerance": 0.1}}},
            "transfer with engine paillier has no parameter tolerance",
        ),
        (
            {"task": {"protocol": "transfer", "label": {"column": "ill"}, "engine": "dealer"}},
            "transfer has no dealer; choose paillier",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, text):
    with pytest.raises(ValidationError, match=text):
        Terms.model_validate(document(**changes))
