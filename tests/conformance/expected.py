"""What an answer must be: the documented status and media type, and every documented field with its printed value.

What may differ from the printed value stands in `FREE`, path by path, and why. It must be of the printed type all the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
from tests.conformance.reference import Operation
from tests.conformance.shapes import differences

PID = "a number that the host gives"
HOST = "what this host has"
BUILD = "which build this is"
COUNT = "how much of it there is now"
RACE = "VMs are made while the answer is under way"
MODE = "the simulation has no bridge"

FREE: Mapping[str, Mapping[str, str]] = {
    "GET /api/v1/vms": {"[].pid": PID},
    "GET /api/v1/vms/{name}": {"pid": PID},
    "GET /api/v1/vms/{name}/config": {"network.mode": MODE},
    "POST /api/v1/deployments": {"vms": RACE},
    "PATCH /api/v1/deployments/{name}": {"vms": RACE},
    "GET /api/v1/system/info": {
        "version": BUILD,
        "commit": BUILD,
        "platform": HOST,
        "stats.total_vms": COUNT,
        "stats.running_vms": COUNT,
        "stats.total_deployments": COUNT,
        "stats.total_plugins": COUNT,
        "resources.cpu_count": HOST,
        "resources.memory_total_mb": HOST,
        "resources.memory_available_mb": HOST,
    },
}

NULL: Mapping[str, Mapping[str, str]] = {
    "GET /api/v1/system/info": {"go_version": "nothing here is written in Go: the key is there, and says nothing"},
}
"""Fields that are returned as null whatever is printed."""


def complaints(operation: Operation, answer: httpx2.Response) -> list[str]:
    """Everything in which the answer is not the documented one."""
    if answer.status_code != operation.status:
        return [f"documented is {operation.status}, returned is {answer.status_code}: {answer.text}"]
    if operation.status == 204:
        return [f"204 with a body: {answer.text}"] if answer.content else []
    media = answer.headers.get("content-type", "").partition(";")[0]
    if media != operation.media:
        return [f"documented is {operation.media}, returned is {media}"]
    return body_complaints(operation, answer.json())


def body_complaints(operation: Operation, body: Any) -> list[str]:
    """The same of the JSON alone. Without a documented example any JSON object will do."""
    if operation.answer is None:
        return [] if isinstance(body, dict) else [f"not an object: {body!r}"]
    documented, found = operation.answer, []
    for field in NULL.get(operation.key, {}):
        documented = {key: value for key, value in documented.items() if key != field}
        found += [] if field in body and body[field] is None else [f"{field}: not returned as null"]
    return found + differences(documented, body, FREE.get(operation.key, {}))
