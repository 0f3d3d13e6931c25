"""The judge of changes of the API, judged: each seeded change is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from tests.builders.contract_changes import breaking

OLD: dict[str, Any] = {
    "paths": {
        "/vms": {
            "post": {
                "operationId": "createVM",
                "parameters": [
                    {"name": "dry_run", "in": "query", "schema": {"type": "boolean"}},
                    {"$ref": "#/components/parameters/Key"},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewVM"}}},
                },
                "responses": {
                    "201": {
                        "headers": {"Location": {}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/VM"}}},
                    },
                    "404": {"$ref": "#/components/responses/NotFound"},
                },
            },
            "get": {"operationId": "listVMs", "responses": {"200": {}}},
        },
        "/plugins": {"get": {"operationId": "listPlugins", "responses": {"200": {}}}},
    },
    "components": {
        "parameters": {"Key": {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}},
        "responses": {"NotFound": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        "schemas": {
            "NewVM": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 63, "pattern": "^[a-z]+$"},
                    "vcpu": {"type": "integer", "minimum": 1, "maximum": 64},
                    "policy": {"type": "string", "enum": ["always", "never"]},
                    "note": {"type": "string", "nullable": True},
                    "network": {"allOf": [{"$ref": "#/components/schemas/Network"}], "nullable": True},
                    "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
                },
                "required": ["name"],
            },
            "Network": {"type": "object", "properties": {"mode": {"type": "string"}}},
            "VM": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "status": {"type": "string", "enum": ["running", "stopped"]},
                    "made": {"type": "string", "format": "date-time"},
                    "parent": {"allOf": [{"$ref": "#/components/schemas/VM"}], "nullable": True},
                    "ports": {"type": "array", "items": {"type": "integer"}},
                    "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                },
                "required": ["name"],
            },
        },
    },
}

Change = Callable[[dict[str, Any]], None]


def post(document: dict[str, Any]) -> Any:
    return document["paths"]["/vms"]["post"]


def asked(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["NewVM"]


def given(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["VM"]


def putting(where: Callable[[dict[str, Any]], Any], *path: Any) -> Change:
    """Set what is reached by all but the last of `path`."""

    def change(document: dict[str, Any]) -> None:
        *steps, last, value = path
        found = where(document)
        for step in steps:
            found = found[step]
        found[last] = value

    return change


def dropping(where: Callable[[dict[str, Any]], Any], *path: Any) -> Change:
    """Delete what `path` leads to."""

    def change(document: dict[str, Any]) -> None:
        *steps, last = path
        found = where(document)
        for step in steps:
            found = found[step]
        del found[last]

    return change


def whole(document: dict[str, Any]) -> Any:
    return document


ASKED = "POST /vms: request body"
GIVEN = "POST /vms: 201"

BREAKING: list[tuple[Change, str]] = [
    (dropping(whole, "paths", "/plugins"), "/plugins: is gone"),
    (dropping(whole, "paths", "/vms", "get"), "GET /vms: is gone"),
    (putting(post, "operationId", "makeVM"), "POST /vms: operationId createVM is now makeVM"),
    (dropping(post, "parameters", 0), "POST /vms: query parameter dry_run: is gone"),
    (putting(post, "parameters", 0, "required", True), "POST /vms: query parameter dry_run: must be given now"),
    (
        putting(post, "parameters", 0, "schema", "type", "string"),
        "POST /vms: query parameter dry_run: type boolean is now string",
    ),
    (
        lambda d: post(d)["parameters"].append({"name": "who", "in": "query", "required": True, "schema": {}}),
        "POST /vms: query parameter who: is new, and must be given",
    ),
    (
        putting(whole, "components", "parameters", "Key", "schema", "maxLength", 255),
        "POST /vms: header parameter Idempotency-Key: maxLength none is now 255",
    ),
    (putting(post, "requestBody", "required", True), f"{ASKED}: must be given now"),
    (dropping(post, "requestBody"), f"{ASKED}: is not taken any more"),
    (
        lambda d: post(d)["requestBody"]["content"].update(
            {"text/yaml": post(d)["requestBody"]["content"].popitem()[1]}
        ),
        f"{ASKED}: application/json: is gone",
    ),
    (dropping(asked, "properties", "note"), f"{ASKED}: note: is gone"),
    (putting(asked, "required", ["name", "vcpu"]), f"{ASKED}: vcpu: must be given now"),
    (putting(asked, "additionalProperties", False), f"{ASKED}: takes no other fields any more"),
    (putting(asked, "properties", "vcpu", "type", "string"), f"{ASKED}: vcpu: type integer is now string"),
    (putting(asked, "properties", "vcpu", "maximum", 32), f"{ASKED}: vcpu: maximum 64 is now 32"),
    (putting(asked, "properties", "vcpu", "minimum", 2), f"{ASKED}: vcpu: minimum 1 is now 2"),
    (putting(asked, "properties", "name", "maxLength", 40), f"{ASKED}: name: maxLength 63 is now 40"),
    (putting(asked, "properties", "name", "minLength", 2), f"{ASKED}: name: minLength none is now 2"),
    (putting(asked, "properties", "name", "pattern", "^a$"), f"{ASKED}: name: pattern ^[a-z]+$ is now ^a$"),
    (putting(asked, "properties", "policy", "enum", ["always"]), f"{ASKED}: policy: 'never' is not taken any more"),
    (putting(asked, "properties", "note", "enum", ["a"]), f"{ASKED}: note: takes only some values now"),
    (dropping(asked, "properties", "note", "nullable"), f"{ASKED}: note: may not be null any more"),
    (dropping(asked, "properties", "network", "nullable"), f"{ASKED}: network: may not be null any more"),
    (
        putting(whole, "components", "schemas", "Network", "required", ["mode"]),
        f"{ASKED}: network: mode: must be given now",
    ),
    (
        putting(asked, "properties", "size", "anyOf", [{"type": "integer"}]),
        f"{ASKED}: size: anyOf[1]: is not taken any more",
    ),
    (
        putting(asked, "properties", "labels", "additionalProperties", "maxLength", 10),
        f"{ASKED}: labels: additionalProperties: maxLength 63 is now 10",
    ),
    (dropping(post, "responses", "404"), "POST /vms: 404: is gone"),
    (dropping(post, "responses", "201", "headers", "Location"), f"{GIVEN}: header Location: is gone"),
    (dropping(post, "responses", "201", "content"), f"{GIVEN}: application/json: is gone"),
    (
        putting(whole, "components", "responses", "NotFound", "content", "application/json", "schema", "type", "array"),
        "POST /vms: 404: type object is now array",
    ),
    (dropping(given, "properties", "status"), f"{GIVEN}: status: is gone"),
    (putting(given, "required", []), f"{GIVEN}: name: may be left out now"),
    (putting(given, "properties", "name", "nullable", True), f"{GIVEN}: name: may be null now"),
    (putting(given, "properties", "status", "enum", ["running"]), f"{GIVEN}: status: 'stopped' is not given any more"),
    (dropping(given, "properties", "status", "enum"), f"{GIVEN}: status: may be any value now"),
    (dropping(given, "properties", "made", "format"), f"{GIVEN}: made: format date-time is now none"),
    (
        putting(given, "properties", "ports", "items", "type", "string"),
        f"{GIVEN}: ports: items: type integer is now string",
    ),
    (
        lambda d: given(d)["properties"]["size"]["anyOf"].append({"type": "boolean"}),
        f"{GIVEN}: size: anyOf[2]: is new",
    ),
]

HARMLESS: list[Change] = [
    putting(whole, "paths", "/deployments", {}),
    putting(post, "summary", "Make a VM"),
    lambda d: post(d)["parameters"].append({"name": "wait", "in": "query", "schema": {"type": "string"}}),
    putting(post, "responses", "202", {}),
    putting(post, "responses", "201", "headers", "ETag", {}),
    putting(asked, "properties", "grace_s", {"type": "number"}),
    putting(asked, "properties", "vcpu", "maximum", 128),
    dropping(asked, "properties", "name", "maxLength"),
    putting(asked, "properties", "policy", "enum", ["always", "never", "on_failure"]),
    dropping(asked, "properties", "policy", "enum"),
    putting(asked, "properties", "vcpu", "nullable", True),
    putting(asked, "required", []),
    lambda d: asked(d)["properties"]["size"]["anyOf"].append({"type": "boolean"}),
    putting(given, "properties", "ip", {"type": "string"}),
    putting(given, "required", ["name", "status"]),
    putting(given, "properties", "status", "enum", ["running", "stopped", "error"]),
    putting(given, "properties", "size", "anyOf", [{"type": "string"}]),
    putting(given, "properties", "name", "maxLength", 10),
]


@pytest.mark.parametrize(("change", "named"), BREAKING, ids=[named for _, named in BREAKING])
def test_a_breaking_change_is_named(change: Change, named: str) -> None:
    new = deepcopy(OLD)
    change(new)
    assert breaking(OLD, new) == [named]


@pytest.mark.parametrize("at", range(len(HARMLESS)))
def test_an_addition_breaks_nobody(at: int) -> None:
    new = deepcopy(OLD)
    HARMLESS[at](new)
    assert new != OLD
    assert breaking(OLD, new) == []


def test_every_breaking_change_is_named_at_once() -> None:
    new = deepcopy(OLD)
    dropping(whole, "paths", "/plugins")(new)
    dropping(given, "properties", "status")(new)
    assert set(breaking(OLD, new)) == {"/plugins: is gone", f"{GIVEN}: status: is gone"}


def test_a_document_that_refers_to_itself_is_read_to_the_end() -> None:
    assert breaking(OLD, deepcopy(OLD)) == []
