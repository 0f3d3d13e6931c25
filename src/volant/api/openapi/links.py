"""Where an answer leads: what was made can be read, changed and deleted.

Read off the paths: an operation on `/vms/{name}` follows from one that answers with a VM. People see what to do next;
programs that try sequences of requests need to be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Schema = dict[str, Any]


OF_A_PLUGIN = ("createVM", "createDeployment")
"""Operations whose body names a plugin."""


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
    links = {
        _key(op): {"operationId": op.id, "parameters": {"name": value}, "description": op.summary} for op in targets
    }
    if origin.id == "installPlugin":
        body = {"plugin": "$response.body#/name"}
        of_it = [op for op in all_of_them if op.id in OF_A_PLUGIN]
        links |= {
            _key(op): {"operationId": op.id, "requestBody": body, "description": f"{op.summary}, of this plugin"}
            for op in of_it
        }
    return links


def _key(operation: Operation) -> str:
    return operation.id[0].upper() + operation.id[1:]


def with_links(responses: Mapping[str, Schema], links: Schema) -> dict[str, Schema]:
    """The answers of an operation, those that tell of success and have a body with the links."""
    return {
        status: {**answer, "links": links} if links and status in ("200", "201") and "content" in answer else answer
        for status, answer in responses.items()
    }
