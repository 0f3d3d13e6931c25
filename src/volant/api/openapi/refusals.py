"""The errors of an operation: those that every one of its sort has, and its own from the route table.

Each set of codes with one status is one answer, described once in `components` and referred to, so that generated
clients get one error type and not one an operation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from volant.api.codes import CODES
from volant.api.openapi import headers
from volant.api.openapi.links import Operation
from volant.api.problems import TYPE

Schema = dict[str, Any]

EVERYWHERE = ("invalid", "host_not_allowed", "internal")
READS = ("unavailable",)
WRITES = (
    "origin_not_allowed",
    "malformed_json",
    "too_large",
    "unsupported_media_type",
    "idempotency_in_progress",
    "idempotency_key_reused",
    "fenced",
    "stopping",
    "unavailable",
)
CONDITIONAL = ("precondition_failed",)
"""Of a write to something that exists."""

KINDS = {"vms": "vm", "deployments": "deployment", "plugins": "plugin", "sets": "set", "syncs": "sync"}
"""Collections, and what the codes of their objects begin with."""

DETAILS: Mapping[str, dict[str, Any]] = {
    "invalid": {"fields": [{"path": "/config/resources/vcpu", "message": "Expected `int` >= 1"}]},
    "vm_not_found": {"name": "web-1"},
    "precondition_failed": {"name": "web-1", "revision": 43},
    "plugin_in_use": {
        "name": "nginx-alpine",
        "vms": ["web-1"],
        "deployments": [],
        "vms_total": 1,
        "deployments_total": 0,
    },
    "event_gone": {"oldest": 1042},
    "too_large": {"limit_bytes": 1 << 20},
}
"""What `details` looks like, where an example says more than a sentence."""


class Refusals:
    """Collects the error answers of a document. `responses` are those of `components`."""

    def __init__(self, problem: Schema, details: Schema) -> None:
        self.responses: dict[str, Schema] = {}
        self._names: dict[tuple[str, ...], str] = {}
        self._problem = problem
        self._details = details

    def of(self, operation: Operation, collection: str, own: Iterable[str]) -> dict[str, Schema]:
        """Status -> answer, for one operation."""
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in sorted({*_implied(operation, collection), *own}):
            by_status[CODES[code][0]].append(code)
        return {
            str(status): self._referred(operation, status, tuple(codes)) for status, codes in sorted(by_status.items())
        }

    def _referred(self, operation: Operation, status: int, codes: tuple[str, ...]) -> Schema:
        name = self._names.get(codes)
        if name is None:
            # Of many codes, the first operation that has them gives the name: all of them would be a paragraph.
            own = f"{operation.id[0].upper()}{operation.id[1:]}{HTTPStatus(status).phrase.replace(' ', '')}"
            name = self._names[codes] = "Or".join(map(_camel, codes)) if len(codes) < 3 else own
            self.responses[name] = self._answer(status, codes)
        return {"$ref": f"#/components/responses/{name}"}

    def _answer(self, status: int, codes: tuple[str, ...]) -> Schema:
        examples: Schema = {code: {"summary": CODES[code][1], "value": _example(code)} for code in codes}
        richer = {
            code: {"summary": CODES[code][1], "value": _detailed(status, example["value"])}
            for code, example in examples.items()
        }
        is_soon_over = status == 503 or "idempotency_in_progress" in codes
        retry = {"Retry-After": headers.referred("Retry-After")} if is_soon_over else {}
        return {
            "description": "\n".join(f"* `{code}`: {CODES[code][1]}" for code in codes),
            "headers": {"X-Request-Id": headers.referred("X-Request-Id"), **retry},
            "content": {
                "application/json": {"schema": self._problem, "examples": examples},
                "application/problem+json": {"schema": self._details, "examples": richer},
            },
        }


def _implied(operation: Operation, collection: str) -> list[str]:
    is_read, on_object = operation.method == "get", "{" in operation.path
    codes = [*EVERYWHERE, *(READS if is_read else WRITES)]
    if on_object and collection in KINDS:
        codes.append(f"{KINDS[collection]}_not_found")
    if on_object and not is_read:
        codes += CONDITIONAL
    return codes


def _camel(code: str) -> str:
    return "".join(word.capitalize() for word in code.split("_"))


def _example(code: str) -> Schema:
    return {
        "error": CODES[code][1].rstrip("."),
        "code": code,
        "details": DETAILS.get(code, {}),
        "request_id": "6d008ecf49c4-9",
    }


def _detailed(status: int, example: Schema) -> Schema:
    """As RFC 9457 has it."""
    code = example["code"]
    return {
        "type": f"{TYPE}{code}",
        "title": CODES[code][1],
        "status": status,
        "detail": example["error"],
        "instance": "/api/v1/vms/web-1",
        **example,
    }
