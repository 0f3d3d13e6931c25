"""Where an answer leads: what was made can be read, changed and deleted.

Read off the paths: an operation on `/vms/{name}` follows from one that answers with a VM. People see what to do next;
programs that try sequences of requests need to be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Schema = dict[str, Any]


class Operation(NamedTuple):
    """One operation, as far as links go."""

    id: str
    method: str
    path: str
    summary: str


def links_of(origin: Operation, all_of_them: Iterable[Operation]) -> dict[str, Schema]:
    """The links of the answer to `origin`, when it has made or changed an object."""
    collection = origin.path.partition("/{")[0]
    if origin.method == "get" or (origin.method == "delete" and "{" in origin.path):
        return {}
    value = "$request.path.name" if "{" in origin.path else "$response.body#/name"
    targets = [op for op in all_of_them if op.path.startswith(f"{collection}/{{") and op.id != origin.id]
    if "{" in origin.path:
        targets = [op for op in targets if op.method in ("get", "delete")]
    return {
        op.id[0].upper() + op.id[1:]: {
            "operationId": op.id,
            "parameters": {"name": value},
            "description": op.summary,
        }
        for op in targets
    }


def with_links(responses: Mapping[str, Schema], links: Schema) -> dict[str, Schema]:
    """The answers of an operation, those that tell of success and have a body with the links."""
    return {
        status: {**answer, "links": links} if links and status in ("200", "201") and "content" in answer else answer
        for status, answer in responses.items()
    }
