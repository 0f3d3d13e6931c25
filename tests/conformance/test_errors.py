"""Every documented error, and every status of the table: provoked, and answered in the documented form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest
from tests.builders.server import serving
from tests.conformance.asking import ask, plain_request, send
from tests.conformance.commands import Asked
from tests.conformance.presumed import presume
from tests.conformance.provoked import PROVOKED, absent, provoke
from tests.conformance.reference import DocumentedError, Operation, reference
from tests.conformance.shapes import differences
from tests.conformance.world import World

REFERENCE = reference()
DOCUMENTED = [(op, error) for op in REFERENCE.operations for error in op.errors]
IMPLIED = [
    (REFERENCE.operation(key), status)
    for key, status in PROVOKED
    if status not in {error.status for error in REFERENCE.operation(key).errors}
]
NAMED = [op for op in REFERENCE.operations if "{" in op.path]


def is_documented_error(answer: httpx2.Response, status: int) -> bool:
    """The status, and a body with the fields of the printed one and of their types."""
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    body = answer.json()
    assert differences(REFERENCE.error, body | {"details": REFERENCE.error["details"]}, ("error", "code")) == []
    assert isinstance(body["details"], dict)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", body["code"])
    return True


@pytest.mark.parametrize(
    ("operation", "error"), DOCUMENTED, ids=[f"{operation.key}: {error.text}" for operation, error in DOCUMENTED]
)
def test_a_documented_error_is_answered(world: World, operation: Operation, error: DocumentedError) -> None:
    answers = provoke(world, operation, error)
    assert all(is_documented_error(answer, error.status) for answer in answers)
    if error.text.endswith(" not found"):
        assert {answer.json()["error"] for answer in answers} == {error.text}
        assert {answer.json()["code"] for answer in answers} == {error.text.lower().replace(" ", "_")}


@pytest.mark.parametrize(
    ("operation", "status"), IMPLIED, ids=[f"{operation.key}: {status}" for operation, status in IMPLIED]
)
def test_an_error_of_the_table_is_answered_where_no_list_names_it(
    world: World, operation: Operation, status: int
) -> None:
    assert all(is_documented_error(answer, status) for answer in PROVOKED[operation.key, status](world, operation))


@pytest.mark.parametrize("operation", NAMED, ids=lambda operation: operation.key)
def test_whoever_is_not_there_is_a_404_with_its_name(world: World, operation: Operation) -> None:
    answer = absent(world, operation)
    assert is_documented_error(answer, 404)
    assert answer.json()["details"] == REFERENCE.error["details"]


def test_the_printed_error_is_answered_as_printed(world: World) -> None:
    name, kind = REFERENCE.error["details"]["name"], REFERENCE.error["code"].partition("_")[0]
    answer = send(world, "GET", f"/api/v1/{kind}s/{name}")
    assert is_documented_error(answer, 404)
    assert REFERENCE.error.items() <= answer.json().items()


def test_a_refused_body_names_every_wrong_field_and_changes_nothing(world: World) -> None:
    asked = plain_request(REFERENCE.operation("POST /api/v1/vms"))
    presume(world, asked)
    before = world.get("/vms")
    answer = send(world, "POST", asked.path, {**asked.body, "plugin": 7, "config": {"resources": {"vcpu": "many"}}})
    assert is_documented_error(answer, 400)
    assert {field["path"] for field in answer.json()["details"]["fields"]} == {"/plugin", "/config/resources/vcpu"}
    assert world.get("/vms") == before


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/api/v1/nonsense", "/", "/api/v2/vms", "/api/v1/vms/"])
def test_a_path_that_no_operation_has_is_a_404_of_the_documented_form(world: World, path: str) -> None:
    assert is_documented_error(send(world, "GET", path), 404)


@pytest.mark.parametrize("operation", [op for op in REFERENCE.operations if not op.is_stream], ids=lambda op: op.key)
def test_a_method_that_no_operation_has_is_refused_in_the_documented_form(world: World, operation: Operation) -> None:
    answer = send(world, "TRACE", plain_request(operation).path)
    assert is_documented_error(answer, 405)


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"name=my-vm", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
    ],
)
def test_what_is_not_json_is_refused_in_the_documented_form(
    world: World, content: bytes, media: str, status: int
) -> None:
    for operation in REFERENCE.operations:
        if operation.body is not None:
            asked = plain_request(operation)
            url = world.api.base_url.copy_with(raw_path=asked.path.encode())
            headers = {"content-type": media}
            assert is_documented_error(world.api.request(asked.method, url, content=content, headers=headers), status)


async def test_a_fault_of_our_own_is_a_500_of_the_documented_form(tmp_path: Path) -> None:
    def broken() -> NoReturn:
        raise RuntimeError("a secret of ours")

    async with serving(tmp_path, info=broken) as served:
        answer = await served.get("/system/info")
    assert is_documented_error(answer, 500)
    assert "secret" not in answer.text


def test_every_status_of_the_table_is_one_that_is_tested() -> None:
    answered = {operation.status for operation in REFERENCE.operations}
    provoked = {error.status for _, error in DOCUMENTED} | {500}
    assert set(REFERENCE.statuses) == answered | provoked


def test_an_error_that_nobody_can_provoke_fails(world: World) -> None:
    operation: Any = REFERENCE.operation("GET /api/v1/vms")
    with pytest.raises(LookupError, match="say in `PROVOKED` how"):
        provoke(world, operation, DocumentedError(418, "I am a teapot"))


def test_an_operation_that_nobody_knows_fails(world: World) -> None:
    with pytest.raises(LookupError, match="no operation of the reference"):
        ask(world, Asked("GET", "/api/v1/nonsense"))
