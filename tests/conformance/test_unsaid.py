"""What excuses a refusal, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.unsaid import is_unsaid

WANTED = {"path": "?fields", "message": "unknown field 'nam'. Did you mean 'name'?"}
MISSING = {"path": "/name", "message": "missing"}
NO_KEY = {"path": "/labels/a b", "message": "expected: Letters, digits, '-', '_' and '.', at most 63"}


def refusal(*fields: dict[str, str], code: str = "invalid") -> dict[str, Any]:
    return {"error": "cannot", "code": code, "details": {"fields": list(fields)} if fields else {}}


def test_a_rule_that_no_schema_can_say_excuses() -> None:
    assert is_unsaid(refusal(WANTED), "3.0.3")
    assert is_unsaid(refusal(code="idempotency_key_reused"), "3.1.0")


@pytest.mark.parametrize(
    "answer",
    [refusal(MISSING), refusal(WANTED, MISSING), refusal(), refusal(code="internal"), refusal(code="too_large"), None],
)
def test_nothing_else_does(answer: Any) -> None:
    assert not is_unsaid(answer, "3.0.3")


def test_what_the_newer_document_says_is_no_excuse_there() -> None:
    assert is_unsaid(refusal(NO_KEY), "3.0.3")
    assert not is_unsaid(refusal(NO_KEY), "3.1.0")
