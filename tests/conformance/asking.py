"""The requests that the reference prints, and how they are sent.

    operation ──plain_request──▶ Asked ──ask──▶ answer

The path is that of the operation's own curl example. What the reference elides (`"sha256:abc123..."`) cannot be sent:
that part of the body is the test's own (`sendable`).
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
from tests.conformance.commands import Asked, paragraphs, requests
from tests.conformance.reference import Example, Operation, Reference
from tests.conformance.world import World

ELIDED = "..."


def printed_requests(operation: Operation) -> list[Asked]:
    """Every curl of its examples, in order."""
    return [asked for example in operation.examples if example.language == "bash" for asked in asked_by(example)]


def asked_by(example: Example) -> list[Asked]:
    """Every curl of a block of bash, in order."""
    return [asked for part in paragraphs(example.code) for asked in requests(part)]


def plain_request(operation: Operation) -> Asked:
    """The request that its printed answer belongs to. Raises LookupError when no example says its path."""
    for asked in printed_requests(operation):
        if operation.matches(asked.method, asked.path):
            return Asked(operation.method, asked.path, "", operation.body)
    raise LookupError(f"cannot ask {operation.key} (line {operation.line}): none of its examples is a curl of it")


def is_elided(value: Any) -> bool:
    """Whether a part of it is left out in print."""
    if isinstance(value, dict):
        return any(is_elided(part) for part in value.values())
    return isinstance(value, str) and value.endswith(ELIDED)


def sendable(world: World, body: Any) -> Any:
    """The body with an artifact that exists where the printed one is elided."""
    if not isinstance(body, dict):
        return body
    return {key: world.rootfs if is_elided(value) else value for key, value in body.items()}


def completed(reference: Reference, asked: Asked) -> Asked:
    """With the documented body, where its own is a file that nobody has printed."""
    return asked if asked.body is not None else asked._replace(body=reference.asked(asked.method, asked.path).body)


def ask(world: World, asked: Asked) -> httpx2.Response:
    """Send it, as it is printed as far as that can be sent."""
    target = f"{asked.path}?{asked.query}" if asked.query else asked.path
    return send(world, asked.method, target, sendable(world, completed(world.reference, asked).body))


def send(world: World, method: str, target: str, body: Any = None) -> httpx2.Response:
    """A request of a whole path, with JSON if there is a body."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"} if content is not None else {}
    url = world.api.base_url.copy_with(raw_path=target.encode())
    return world.api.request(method, url, content=content, headers=headers)
