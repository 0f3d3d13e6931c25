"""Every documented operation, asked as its example asks, answers as it is documented."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.conformance.asking import ask, plain_request, printed_requests
from tests.conformance.commands import Asked
from tests.conformance.expected import FREE, NULL, complaints
from tests.conformance.presumed import presume
from tests.conformance.reference import Operation, reference
from tests.conformance.shapes import leaves, missing
from tests.conformance.world import World

REFERENCE = reference()
ANSWERED = [operation for operation in REFERENCE.operations if not operation.is_stream]
PRINTED = [(op, asked) for op in ANSWERED for asked in printed_requests(op)]


@pytest.mark.parametrize("operation", ANSWERED, ids=lambda operation: operation.key)
def test_an_operation_answers_as_printed(world: World, operation: Operation) -> None:
    """The documented body, where there is one, to the path of the example."""
    asked = plain_request(operation)
    presume(world, asked)
    assert complaints(operation, ask(world, asked)) == []


@pytest.mark.parametrize(("operation", "asked"), PRINTED, ids=lambda value: getattr(value, "key", ""))
def test_a_printed_request_is_answered_with_every_documented_field(
    world: World, operation: Operation, asked: Asked
) -> None:
    """The requests of the examples: names and numbers are those of the request, so only the fields are compared."""
    presume(world, asked)
    answer = ask(world, asked)
    assert answer.status_code == operation.status, answer.text
    if operation.answer is not None:
        assert missing(operation.answer, answer.json()) == [], answer.text


def test_the_answer_that_stands_before_all_is_that_of_a_vm(world: World) -> None:
    name = REFERENCE.success["name"]
    world.vm(name)
    returned = world.get(f"/vms/{name}")
    assert REFERENCE.success.keys() <= returned.keys()
    assert {**REFERENCE.success, "ip": returned["ip"], "created_at": returned["created_at"]}.items() <= returned.items()


def test_the_printed_page_of_a_list_is_part_of_the_whole(world: World) -> None:
    method, target = REFERENCE.pages
    parts = urlsplit(target)
    presume(world, Asked(method, parts.path))
    whole = _at_rest(ask(world, Asked(method, parts.path)).json())
    assert _at_rest(ask(world, Asked(method, parts.path, parts.query)).json()) == whole
    for limit, offset in ((1, 0), (2, 1), (len(whole), len(whole) - 1), (1, len(whole)), (0, 0)):
        page = ask(world, Asked(method, parts.path, f"limit={limit}&offset={offset}")).json()
        assert _at_rest(page) == whole[offset : offset + limit]


def _at_rest(page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what moves while nothing happens: guests are probed between two requests."""
    return [{key: value for key, value in one.items() if key != "health"} for one in page]


@pytest.mark.parametrize("table", [FREE, NULL], ids=["free", "null"])
def test_what_may_differ_is_documented(table: Any) -> None:
    """An exception for a field that is no longer printed would hide the next one of that name."""
    for key, fields in table.items():
        assert set(fields) <= set(leaves(REFERENCE.operation(key).answer)), key


def test_every_operation_has_an_example_to_take_its_path_from() -> None:
    assert all(plain_request(operation) for operation in REFERENCE.operations)
