"""The reader of the reference: it finds everything, and does not pass over what it cannot understand."""

from __future__ import annotations

import re

import pytest
from tests.conformance.asking import is_elided, plain_request
from tests.conformance.commands import Asked, paragraphs, requests, words
from tests.conformance.markdown import parts
from tests.conformance.presumed import PRESUMED, nested, presume
from tests.conformance.reference import FILE, Operation, Parameter, read, reference

TEXT = FILE.read_text()
HEAD = "# REST API Reference\n\n**Base URL**: `http://localhost:8080/api/v1` (default)\n"


def a_reference(*blocks: str) -> str:
    """A small reference with one operation, and `blocks` after it."""
    request = "```http\nGET /api/v1/things/{name}\n```"
    return "\n\n".join([HEAD, "## Things", "### Get Thing", request, "**Response**: `200 OK`", *blocks, ""])


def the_operation(*blocks: str) -> Operation:
    """That one operation."""
    (operation,) = read(a_reference(*blocks)).operations
    return operation


def test_every_operation_of_the_file_is_found() -> None:
    printed = re.findall(r"^```http\n(\S+ \S+)$", TEXT, re.MULTILINE)
    assert [operation.key for operation in reference().operations] == printed
    assert len(set(printed)) == len(printed) > 0


def test_every_operation_says_how_it_answers() -> None:
    assert [op.key for op in reference().operations if op.status not in reference().statuses] == []


def test_every_block_of_the_file_is_accounted_for() -> None:
    """Request lines, bodies, answers, frames, examples, and the blocks about success, errors and pages."""
    known = reference()
    found = len(known.operations) + len(known.examples) + 3
    for op in known.operations:
        found += (op.body is not None) + (op.answer is not None) + bool(op.frames)
    assert found == sum(part.kind == "fence" for part in parts(TEXT)) == TEXT.count("\n```") / 2


def test_every_error_and_parameter_of_the_file_is_found() -> None:
    operations = reference().operations
    assert sum(len(op.errors) for op in operations) == len(re.findall(r"^- `\d{3}`: ", TEXT, re.MULTILINE))
    assert sum(len(op.parameters) for op in operations) == len(
        re.findall(r"^- `\w+` \(optional\): ", TEXT, re.MULTILINE)
    )
    assert sum(len(op.event_types) for op in operations) == len(re.findall(r"^- `vm\.\w+` \S ", TEXT, re.MULTILINE))


def test_the_table_of_statuses_is_found() -> None:
    assert list(reference().statuses) == [int(code) for code in re.findall(r"^\| (\d{3}) \|", TEXT, re.MULTILINE)]


def test_an_example_knows_its_line() -> None:
    lines = TEXT.split("\n")
    assert all(lines[example.line - 1] == f"```{example.language}" for example in reference().examples)


def test_every_operation_has_a_presumption_and_no_presumption_is_left_over() -> None:
    assert {operation.key for operation in reference().operations} == set(PRESUMED)


def test_what_belongs_to_an_operation_is_read() -> None:
    operation = the_operation(
        "**Query Parameters**:\n- `force` (optional): Do it (default: `false`)\n- `word` (required): One (`a`, `b`)",
        '**Request Body**:\n\n```json\n{"x": 1}\n```',
        '**Response**: `201 Created`\n\n```json\n{"y": { ... }}\n```',
        "**Errors**:\n- `404`: Thing not found",
        "**Example**:\n\n```bash\ncurl http://localhost:8080/api/v1/things/one\n```",
    )
    assert (operation.key, operation.status) == ("GET /api/v1/things/{name}", 201)
    assert (operation.body, operation.answer) == ({"x": 1}, {"y": {}})
    assert operation.parameters == [
        Parameter("force", True, "Do it (default: `false`)", (), "false"),
        Parameter("word", False, "One (`a`, `b`)", ("a", "b"), None),
    ]
    assert operation.errors == [(404, "Thing not found")]
    assert plain_request(operation) == Asked("GET", "/api/v1/things/one", "", {"x": 1})


def test_a_stream_is_read() -> None:
    operation = the_operation(
        "**Response**: `200 OK` (streaming)",
        "**Content-Type**: `text/event-stream`",
        '**Event Format**:\n\n```\nevent: thing.made\ndata: {"name":"a"}\n```',
        "**Event Types**:\n- `thing.made` \u2013 made",
    )
    assert operation.is_stream
    assert operation.media == "text/event-stream"
    assert operation.frames == [("thing.made", {"name": "a"})]
    assert operation.event_types == ["thing.made"]


@pytest.mark.parametrize(
    "block",
    [
        "**Remarks**: none",
        "**Errors**:\n- 404 is not found",
        "**Errors**:\n\n```json\n{}\n```",
        "**Query Parameters**:\n- force: yes",
        "**Response**: 200",
        "**Response**: `200 OK`\n\n```json\n{ x }\n```",
        "**Request Body**:\n\n```xml\n<x/>\n```",
        "**Example**:\n\n```ruby\nputs 1\n```",
        "**Event Format**:\n\n```\ndata: {}\n```",
        "| a | table |",
        "```http\nFETCH /things\n```",
        "```bash\nit does not end",
        "## Elsewhere\n\n- a list",
        "## Elsewhere\n\n```json\n{}\n```",
    ],
)
def test_what_nobody_understands_is_refused(block: str) -> None:
    with pytest.raises(ValueError, match=r"line|begins"):
        read(a_reference(block))


def test_an_operation_without_a_curl_of_its_own_cannot_be_asked() -> None:
    with pytest.raises(LookupError, match="none of its examples is a curl of it"):
        plain_request(the_operation("**Example**:\n\n```bash\ncurl http://localhost:8080/api/v1/others\n```"))


def test_an_operation_that_presumes_nobody_knows_what_fails() -> None:
    class Somewhere:
        reference = read(a_reference())

    with pytest.raises(LookupError, match="say in `PRESUMED` what it presumes"):
        presume(Somewhere(), Asked("GET", "/api/v1/things/one"))  # type: ignore[arg-type]


def test_a_path_in_full_beats_a_template() -> None:
    more = "### Get Special\n\n```http\nGET /api/v1/things/special\n```\n\n**Response**: `200 OK`"
    known = read(a_reference(more))
    assert known.asked("GET", "/api/v1/things/special").title == "Get Special"
    assert known.asked("GET", "/api/v1/things/other").title == "Get Thing"
    with pytest.raises(LookupError):
        known.asked("GET", "/api/v1/things/other/deeper")


def test_curl_is_understood() -> None:
    code = """# a comment, not a curl
curl -X POST "http://localhost:8080/a?b=c" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "it"
  }'
curl -N http://localhost:8080/s | jq . > file
"""
    assert requests(code) == [Asked("POST", "/a", "b=c", {"name": "it"}), Asked("GET", "/s")]
    with pytest.raises(ValueError, match="--upload-file"):
        requests("curl --upload-file x http://localhost:8080/")


def test_a_file_as_body_is_left_to_whoever_provides_it() -> None:
    assert requests("curl -d @file.json http://localhost:8080/a") == [Asked("GET", "/a")]


def test_paragraphs_are_what_blank_lines_part() -> None:
    assert paragraphs("a\nb\n\n\nc\n") == ["a\nb\n", "c\n"]
    assert words("a 'b c' # d\n| e>f") == ["a", "b c", "|", "e", ">", "f"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Asked("GET", "/api/v1/vms/one/config"), "one"),
        (Asked("GET", "/api/v1/vms"), ""),
        (Asked("POST", "/api/v1/vms", "", {"name": "two"}), "two"),
    ],
)
def test_a_request_names_whom_it_is_about(asked: Asked, name: str) -> None:
    assert asked.name == name


def test_dotted_paths_become_a_body() -> None:
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


def test_what_is_elided_is_known() -> None:
    assert is_elided({"rootfs": {"checksum": "sha256:abc..."}})
    assert not is_elided({"rootfs": {"size": 1}})
