"""How errors are written down: the reference's body, and RFC 9457 for who prefers it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from volant.api.codes import CODES
from volant.api.problems import answer_to, prefers_problem
from volant.errors import Invalid, MethodNotAllowed, NotFound, RequestError, Unavailable, VolantError

PROBLEM = b"application/problem+json"


def written(error: Exception, accept: bytes = b"", path: bytes = b"/api/v1/vms/a") -> Any:
    return json.loads(answer_to(error, "id-1", accept=accept, path=path).body)


@pytest.mark.parametrize(
    "accept",
    [
        PROBLEM,
        b"Application/Problem+JSON",
        PROBLEM + b";q=0.1",
        b"application/json;q=0.5, " + PROBLEM,
        b"application/json, " + PROBLEM,
        PROBLEM + b"; q=1.0 , application/json;q=0.9",
        PROBLEM + b", */*",
        b"text/html, " + PROBLEM + b";q=0.4, */*;q=0.1",
        PROBLEM + b";charset=utf-8",
        PROBLEM + b";q=high",
        PROBLEM + b";q=7",
    ],
)
def test_who_names_problem_json_and_prefers_nothing_to_it_gets_it(accept: bytes) -> None:
    assert prefers_problem(accept)
    assert answer_to(NotFound("VM", "a"), "id-1", accept=accept).media == PROBLEM


@pytest.mark.parametrize(
    "accept",
    [
        b"",
        b"*/*",
        b"application/*",
        b"application/json",
        b"text/event-stream",
        PROBLEM + b";q=0",
        PROBLEM + b";q=nan",
        PROBLEM + b";q=0.5, application/json",
        PROBLEM + b";q=0.5, application/*",
        PROBLEM + b";q=0.5, */*",
        PROBLEM + b"x",
        b";q=1,,;",
    ],
)
def test_everybody_else_gets_the_body_of_the_reference(accept: bytes) -> None:
    assert not prefers_problem(accept)
    answer = answer_to(NotFound("VM", "a"), "id-1", accept=accept)
    assert answer.media == b"application/json"
    assert json.loads(answer.body) == {
        "error": "VM not found",
        "code": "vm_not_found",
        "details": {"name": "a"},
        "request_id": "id-1",
    }


def test_a_problem_document_is_the_same_body_with_more_members() -> None:
    problem = written(NotFound("VM", "a"), PROBLEM)
    assert problem == {
        **written(NotFound("VM", "a")),
        "type": "urn:volant:error:vm_not_found",
        "title": CODES["vm_not_found"][1],
        "status": 404,
        "detail": "VM not found",
        "instance": "/api/v1/vms/a",
    }


def test_the_fields_that_are_wrong_are_in_both() -> None:
    fields = [{"path": "/name", "message": "missing"}]
    for accept in (b"", PROBLEM):
        assert written(Invalid("cannot accept /name: missing", fields=fields), accept)["details"] == {"fields": fields}


def test_what_a_caller_cannot_mend_is_told_to_nobody() -> None:
    for error in (ValueError("secret"), VolantError("secret", code="refused_by_database")):
        for accept in (b"", PROBLEM):
            answer = answer_to(error, "id-1", accept=accept)
            assert answer.status == 500
            assert b"secret" not in answer.body
            assert json.loads(answer.body)["code"] == "internal"


def test_a_code_that_is_not_listed_has_the_title_of_its_status() -> None:
    class NewlyMade(RequestError):
        """Not in CODES."""

    assert written(NewlyMade("cannot"), PROBLEM)["title"] == "Bad Request"


def test_headers_go_with_either_form() -> None:
    for accept in (b"", PROBLEM):
        assert answer_to(Unavailable("cannot write"), "i", accept=accept).headers == ((b"retry-after", b"1"),)
        refused = MethodNotAllowed("cannot", details={"allow": ["GET", "HEAD"]})
        assert answer_to(refused, "i", accept=accept).headers == ((b"allow", b"GET, HEAD"),)
