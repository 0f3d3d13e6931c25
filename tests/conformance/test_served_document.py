"""The OpenAPI document that is served knows all that the reference documents: a generated client can do it, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.reference import Operation, reference
from tests.conformance.world import World

REFERENCE = reference()
COMBINED = ("allOf", "anyOf", "oneOf")


@pytest.fixture(scope="module")
def document(world: World) -> Any:
    """As it is served."""
    return world.get("/openapi")


def described(document: Any, operation: Operation) -> Any:
    """What it says of an operation. A parameter of a path may be called otherwise."""
    unnamed = re.compile(r"\{\w+\}")
    known = {
        (unnamed.sub("{}", path), method): said
        for path, item in document["paths"].items()
        for method, said in item.items()
    }
    return known[unnamed.sub("{}", operation.path), operation.method.lower()]


def unknown(document: Any, schema: Any, printed: Any, path: str = "") -> Iterator[str]:
    """The printed fields that the schema does not name. A schema of free content names them all."""
    schemas = list(spread(document, schema))
    if isinstance(printed, list):
        items = [one["items"] for one in schemas if "items" in one]
        for element in printed:
            yield from min(
                (list(unknown(document, item, element, path + "[]")) for item in items), key=len, default=[path]
            )
    elif isinstance(printed, dict) and not any(map(is_free, schemas)):
        for key, value in printed.items():
            named = [one["properties"][key] for one in schemas if key in one.get("properties", {})]
            below = f"{path}.{key}" if path else key
            yield from min((list(unknown(document, one, value, below)) for one in named), key=len, default=[below])


def is_free(schema: Any) -> bool:
    """Whether it leaves open which fields there are."""
    says_nothing = not schema.keys() & {"properties", "items", *COMBINED} and schema.get("type", "object") == "object"
    return says_nothing or bool(schema.get("additionalProperties"))


def spread(document: Any, schema: Any) -> Iterator[Any]:
    """The schema without references, each alternative by itself."""
    if "$ref" in schema:
        found = document
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        yield from spread(document, found)
        return
    yield schema
    for word in COMBINED:
        for part in schema.get(word, ()):
            yield from spread(document, part)


@pytest.mark.parametrize("operation", REFERENCE.operations, ids=lambda operation: operation.key)
def test_the_document_names_the_operation_its_statuses_and_parameters(document: Any, operation: Operation) -> None:
    said = described(document, operation)
    assert {str(operation.status), *(str(error.status) for error in operation.errors)} <= set(said["responses"])
    parameters = {parameter["name"] for parameter in said.get("parameters", ()) if parameter.get("in") == "query"}
    assert {parameter.name for parameter in operation.parameters} <= parameters
    if operation.status != 204:
        assert operation.media in said["responses"][str(operation.status)]["content"]


@pytest.mark.parametrize(
    "operation", [op for op in REFERENCE.operations if op.answer], ids=lambda operation: operation.key
)
def test_the_document_names_every_field_of_the_answer(document: Any, operation: Operation) -> None:
    content = described(document, operation)["responses"][str(operation.status)]["content"]
    assert list(unknown(document, content["application/json"]["schema"], operation.answer)) == []


@pytest.mark.parametrize(
    "operation", [op for op in REFERENCE.operations if op.body], ids=lambda operation: operation.key
)
def test_the_document_names_every_field_of_the_body(document: Any, operation: Operation) -> None:
    content = described(document, operation)["requestBody"]["content"]
    assert list(unknown(document, content["application/json"]["schema"], operation.body)) == []


def test_the_fields_that_a_schema_does_not_name_are_found() -> None:
    document: Any = {"components": {"schemas": {"A": {"properties": {"x": {}, "y": {"properties": {}}}}}}}
    schema = {"anyOf": [{"type": "object", "properties": {}}, {"$ref": "#/components/schemas/A"}]}
    assert list(unknown(document, schema, {"x": 1, "y": {"z": 1}, "w": 2})) == ["y.z", "w"]
    assert list(unknown(document, {"items": schema}, [{"x": 1}, {"v": 1}])) == ["[].v"]
    assert list(unknown(document, {"additionalProperties": True}, {"any": 1})) == []
    assert list(unknown(document, {"type": "object"}, {"any": 1})) == []
    assert list(unknown(document, {"type": "string"}, {"any": 1})) == ["any"]
