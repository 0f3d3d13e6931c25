"""The curl examples, run as printed: each request is answered as it is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.builders.toolchains import require
from tests.conformance.asking import completed
from tests.conformance.commands import Asked, paragraphs, requests, words
from tests.conformance.examples import documents, of_kind, run_inside
from tests.conformance.inside import Ran
from tests.conformance.reference import Example, Operation, reference
from tests.conformance.shapes import missing

REFERENCE = reference()
TIMED_OUT = 28
PARTS = [(example, part, code) for example in of_kind("curl") for part, code in enumerate(paragraphs(example.code))]
ASKED = [(e, part, requests(code)) for e, part, code in PARTS]


def operation_of(asked: Asked) -> Operation:
    """What it asks for."""
    return REFERENCE.asked(asked.method, asked.path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Ran]:
    """All of them, run."""
    require("bash")
    require("curl")
    return run_inside("curl", tmp_path_factory.mktemp("curl"))


def statuses(one: Ran) -> list[tuple[str, str, int]]:
    """(method, path and query, status) of each request, as curl has said it."""
    said = re.findall(r"^([A-Z]+) (\d{3}) (\S+)$", one.err, re.MULTILINE)
    return [(method, "?".join(filter(None, urlsplit(url)[2:4])), int(status)) for method, status, url in said]


@pytest.mark.parametrize(("example", "part", "code"), PARTS, ids=[f"line {e.line}, {n + 1}" for e, n, _ in PARTS])
def test_a_curl_example_is_answered_as_documented(
    ran: dict[tuple[int, int], Ran], example: Example, part: int, code: str
) -> None:
    if "jq" in words(code):
        require("jq")
    one, asked = ran[example.line, part], requests(code)
    expected = [(a.method, "?".join(filter(None, (a.path, a.query))), operation_of(a).status) for a in asked]
    assert statuses(one) == expected, one.err
    if any(operation_of(a).is_stream for a in asked):
        assert one.exit in (0, TIMED_OUT)
        assert_follows(one, code)
    else:
        assert one.exit == 0, one.err
        assert_answers(one, asked)


def assert_answers(one: Ran, asked: list[Asked]) -> None:
    """One JSON document for each request that has an answer, with every documented field, of whom was asked for."""
    answered = [a for a in asked if operation_of(a).status != 204]
    found = documents(one.out)
    assert len(found) == len(answered), one.out
    for request, document in zip(answered, found, strict=True):
        documented = operation_of(request).answer
        assert documented is None or missing(documented, document) == []
        if isinstance(document, dict) and "name" in document:
            assert document["name"] == completed(REFERENCE, request).name


def assert_follows(one: Ran, code: str) -> None:
    """Events of every printed type, as frames or, through jq, as their data alone."""
    frames = next(operation for operation in REFERENCE.operations if operation.is_stream).frames
    if "jq" in words(code):
        found = documents(one.out)
    else:
        assert {frame.event for frame in frames} <= set(re.findall(r"^event: ?(\S+)$", one.out, re.MULTILINE))
        found = [json.loads(data) for data in re.findall(r"^data: ?(.+)$", one.out, re.MULTILINE)]
    mine = [data for data in found if data.get("name") == frames[0].data["name"]]
    assert any(set(frame.data) <= set(data) for frame in frames for data in mine), one.out


def test_every_request_of_an_example_is_a_documented_one() -> None:
    assert all(operation_of(request) for _, _, asked in ASKED for request in asked)
    assert all(asked for _, _, asked in ASKED), "a block of bash that asks for nothing is not checked by this file"


def test_every_operation_has_a_curl_example() -> None:
    shown = {
        operation_of(request).key
        for example in REFERENCE.examples
        if example.language == "bash"
        for part in paragraphs(example.code)
        for request in requests(part)
    }
    assert shown == {operation.key for operation in REFERENCE.operations}


def test_the_manifest_that_the_examples_name_is_there(tmp_path: Path) -> None:
    """`-d @manifest.json`: the only file that an example reads and does not make."""
    read = {word for _, _, code in PARTS for word in words(code) if word.startswith("@")}
    assert read == {"@manifest.json"}
