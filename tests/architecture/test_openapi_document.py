"""The OpenAPI document is valid, whole, and true of its own examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from volant.api.app import ROUTES
from volant.api.body import decode_body
from volant.api.codes import CODES
from volant.api.openapi.document import document, routes_of
from volant.api.openapi.examples import ASKED
from volant.api.openapi.oas30 import to_oas30
from volant.api.openapi.prose import operation_id
from volant.api.openapi.published import SCHEMAS, files
from volant.errors import Invalid
from volant.model.goals import seconds
from volant.model.plugin import Manifest
from volant.model.queries import DURATION

ROOT = Path(__file__).resolve().parents[2]
NEW = document(ROUTES)
OLD = to_oas30(NEW)
OPERATIONS = [
    pytest.param(path, verb, operation, id=operation["operationId"])
    for path, item in NEW["paths"].items()
    for verb, operation in item.items()
]
VERBS = (
    "apply|attach|create|delete|describe|follow|get|install|list|pause|plan|put|remove|restart|restore|resume|roll|scale|"
    "set|start|stop|update|wait"
)


def test_both_versions_are_valid() -> None:
    OpenAPIV31SpecValidator(NEW).validate()
    OpenAPIV30SpecValidator(OLD).validate()


def test_it_is_the_document_of_the_reference() -> None:
    assert OLD["openapi"] == "3.0.3"
    assert OLD["info"]["title"] == "Volant API"
    assert OLD["info"]["version"] == "v1"
    assert OLD["info"]["description"] == "VM orchestration and plugin management"
    assert {"/api/v1/vms", "/api/v1/deployments", "/healthz", "/readyz"} <= OLD["paths"].keys()


def test_every_route_is_in_it_and_nothing_else() -> None:
    served = {(path, verb.lower()) for path, methods in ROUTES.items() for verb in methods}
    assert {(path, verb) for path, item in NEW["paths"].items() for verb in item} == served


def test_no_two_operations_have_one_name() -> None:
    names = [operation_id(route.method) for route in routes_of(ROUTES)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if not re.fullmatch(rf"({VERBS})[A-Z][A-Za-z]+", name)]


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_an_operation_is_described(path: str, verb: str, operation: dict[str, Any]) -> None:
    method = ROUTES[path][verb.upper()]
    assert operation["summary"], "the handler's docstring says what it is for"
    assert not re.search(r"`[A-Z]+ /|\([A-Z]\d", operation["summary"])
    assert operation["tags"]
    assert set(method.errors) <= CODES.keys()
    assert all(_resolved(parameter)["description"] for parameter in operation["parameters"])
    if verb == "patch" or (verb == "post" and "{" not in path):
        assert method.body is not None, "a write says what it takes"
    if method.body is not None:
        assert all(content["examples"] for content in operation["requestBody"]["content"].values())


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_an_operation_says_what_it_gives(path: str, verb: str, operation: dict[str, Any]) -> None:
    method = ROUTES[path][verb.upper()]
    assert method.gives is not None or method.status in (101, 204)
    for status, answer in operation["responses"].items():
        found = _resolved(answer)
        assert found["description"]
        assert "X-Request-Id" in found["headers"]
        assert "content" in found or status in ("101", "204", "304")
        free_form = operation["operationId"] in ("getOpenAPI", "getVMOpenAPI") and status == "200"
        assert free_form or all(content.get("examples") for content in found.get("content", {}).values()), status


@pytest.mark.parametrize("status", ["400", "403", "500"])
def test_every_operation_may_be_refused(status: str) -> None:
    assert not [p.id for p in OPERATIONS if status not in p.values[2]["responses"]]  # type: ignore[index]


def test_every_code_stands_in_the_schema_of_errors() -> None:
    for name in ("Problem", "ProblemDetails"):
        assert set(NEW["components"]["schemas"][name]["properties"]["code"]["enum"]) == CODES.keys()


def test_an_example_is_what_its_schema_says() -> None:
    wrong = []
    for where, content in _contents(NEW["paths"]):
        schema = {**content["schema"], "components": NEW["components"]}
        for name, example in content.get("examples", {}).items():
            value = {**example}["value"]
            for error in Draft202012Validator(schema).iter_errors(value):
                wrong.append(f"{where} {name}: {error.json_path}: {error.message}")
    assert not wrong


@pytest.mark.parametrize("cls", ASKED, ids=lambda cls: cls.__name__)
def test_an_example_of_a_body_is_taken(cls: Any) -> None:
    for _, value in ASKED[cls].values():
        decode_body(json.dumps(value).encode(), cls)


@pytest.mark.parametrize("text", [json.dumps(NEW), json.dumps(OLD), *files(ROUTES).values()])
def test_every_pattern_is_read_by_ecma_dialects(text: str) -> None:
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text)
    of_python = ("(?!\\\\n)", "(?P", "(?i", "(?<", r"\\Z", r"\\A")
    assert not [pattern for pattern in patterns if any(part in pattern for part in of_python)]


def test_every_link_leads_to_an_operation() -> None:
    known = {p.id: _parameters(p.values[2]) for p in OPERATIONS}
    links = [link for p in OPERATIONS for link in _links(p.values[2])]
    assert links
    assert not [link for link in links if not set(link.get("parameters", ())) <= known.get(link["operationId"], set())]


def test_a_published_schema_takes_its_examples_and_refuses_what_the_decoder_refuses() -> None:
    for name, (cls, _) in SCHEMAS.items():
        schema = json.loads((ROOT / f"docs/schemas/{name}.json").read_text())
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        for _, value in ASKED.get(cls, {}).values():
            validator.validate(value)
            assert list(validator.iter_errors({**value, "colour": "red"}))


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        ({}, False),
        ({"rootfs": None, "initramfs": {"url": "file:/a"}}, False),
        ({"kernel": {"url": "file:/k"}}, False),
        ({"initramfs": {"url": "file:/a"}, "kernel": {"url": "file:/k"}}, True),
        ({"rootfs": {"url": "file:/r", "format": "raw"}}, True),
        ({"rootfs": {"url": "file:/r", "format": "raw"}, "workload": {"type": "http"}}, False),
        ({"rootfs": {"url": "file:/r", "format": "raw"}, "workload": {"type": "http", "port": 80}}, True),
        ({"rootfs": {"url": "file:/r", "format": "raw"}, "workload": {"type": "none"}}, True),
        ({"rootfs": {"url": "file:/r", "format": "raw"}, "openapi": {}}, False),
        ({"rootfs": {"url": "file:/r", "format": "raw"}, "openapi": {"file": "/api.json"}}, True),
    ],
)
def test_the_schema_of_a_manifest_knows_what_needs_what(body: dict[str, Any], is_taken: bool) -> None:
    manifest = {"name": "a", "version": "1", **body}
    schema = json.loads((ROOT / "docs/schemas/manifest.json").read_text())
    assert Draft202012Validator(schema).is_valid(manifest) == is_taken
    if is_taken:
        decode_body(json.dumps(manifest).encode(), Manifest)
    else:
        with pytest.raises(Invalid):
            decode_body(json.dumps(manifest).encode(), Manifest)


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        *(
            (text, True)
            for text in ("30", "30s", "0", "599.5", "600", "600.0s", "500ms", "600000ms", "2m", "10m", "0.5m")
        ),
        *((text, False) for text in ("", "601", "600.5", "600001ms", "11m", "10.1m", "-1", "1h", "1e2", "30\n", " 30")),
    ],
)
def test_the_pattern_of_durations_takes_what_is_taken(text: str, is_taken: bool) -> None:
    assert bool(re.search(DURATION.replace("$", r"\Z"), text)) == is_taken
    if is_taken:
        assert seconds(text) <= 600
    else:
        with pytest.raises(ValueError, match="expected"):
            seconds(text)


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found: dict[str, Any] = NEW["components"][kind][name]
    return found


def _contents(part: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every media type, of request bodies and of answers, the common ones as often as they are referred to."""
    for path, item in NEW["paths"].items():
        for verb, operation in item.items():
            answers = [operation.get("requestBody", {}), *map(_resolved, operation["responses"].values())]
            for found in answers:
                for media, content in found.get("content", {}).items():
                    yield f"{verb} {path} {media}", content


def _parameters(operation: Any) -> set[str]:
    return {_resolved(parameter)["name"] for parameter in operation["parameters"]}


def _links(operation: Any) -> Iterator[dict[str, Any]]:
    for answer in operation["responses"].values():
        yield from answer.get("links", {}).values()
