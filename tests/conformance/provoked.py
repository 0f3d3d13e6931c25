"""How each documented error is brought about. One that is documented and not here fails its test.

    (operation, status) ──provoke──▶ answers, each of which must be that error

Whoever is named in a path can be missing: that 404 needs no line of its own. The missing one is called as in the
reference's own example of an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import httpx2
from tests.conformance.asking import ask, is_elided, plain_request, send, sendable
from tests.conformance.commands import Asked
from tests.conformance.presumed import presume
from tests.conformance.reference import DocumentedError, Operation
from tests.conformance.world import World

Provocation = Callable[[World, Operation], list[httpx2.Response]]


def provoke(world: World, operation: Operation, error: DocumentedError) -> list[httpx2.Response]:
    """The answers that must be that error. Raises LookupError when nobody knows how to get it."""
    found = [absent(world, operation)] if error.status == 404 and "{" in operation.path else []
    provocation = PROVOKED.get((operation.key, error.status))
    if provocation is not None:
        found += provocation(world, operation)
    if not found:
        raise LookupError(f"cannot provoke {error.status} of {operation.key}: say in `PROVOKED` how")
    return found


def absent(world: World, operation: Operation) -> httpx2.Response:
    """The answer to the operation on something that does not exist."""
    path = re.sub(r"\{\w+\}", world.reference.error["details"]["name"], operation.path)
    return ask(world, Asked(operation.method, path, "", operation.body))


def _twice(world: World, operation: Operation) -> list[httpx2.Response]:
    """As documented, and once more."""
    asked = plain_request(operation)
    presume(world, asked)
    first = ask(world, asked)
    assert first.status_code == operation.status, first.text
    return [ask(world, asked)]


def _no_such_plugin(world: World, operation: Operation) -> list[httpx2.Response]:
    """Made of a plugin that is not installed."""
    asked = plain_request(operation)
    presume(world, asked)
    return [send(world, asked.method, asked.path, {**asked.body, "plugin": world.reference.error["details"]["name"]})]


def _bad_bodies(world: World, operation: Operation) -> list[httpx2.Response]:
    """Each documented field left out, of another type, and one field too many: each must be refused."""
    asked = plain_request(operation)
    presume(world, asked)
    # Sendable, so that each is refused for what is wrong with it and not for what is elided in print.
    body = sendable(world, asked.body)
    bad = [body | {"no_such_field": 1}, *({**body, key: [[]]} for key in body), [], "text", None]
    if operation.method == "POST":
        bad += [
            {other: value for other, value in body.items() if other != key} for key in ("name", "plugin", "version")
        ]
    bad = [one for one in bad if one != body]
    return [send(world, asked.method, asked.path, one) for one in bad]


def _bad_counts(world: World, operation: Operation) -> list[httpx2.Response]:
    asked = plain_request(operation)
    presume(world, asked)
    counts = (-1, 1.5, "5", None, 10**9, True)
    return [send(world, asked.method, asked.path, {"replicas": count}) for count in counts]


def _bad_manifests(world: World, operation: Operation) -> list[httpx2.Response]:
    """The printed one among them: its checksum is elided, and what is left is no checksum."""
    assert is_elided(operation.body)
    asked = plain_request(operation)
    return [send(world, asked.method, asked.path, operation.body), *_bad_bodies(world, operation)]


def _in_use(world: World, operation: Operation) -> list[httpx2.Response]:
    """Used by a VM that runs."""
    asked = plain_request(operation)
    world.plugin(asked.name)
    world.vm_of(asked.name, "user-of-it")
    answer = ask(world, asked)
    world.no_vm("user-of-it")
    return [answer]


def _no_document(world: World, operation: Operation) -> list[httpx2.Response]:
    """Of a VM whose plugin says nothing of an API."""
    asked = plain_request(operation)
    plugin = next(name for name in world.plugin_names if "openapi" not in world.manifest(name))
    world.vm_of(plugin, asked.name)
    return [ask(world, asked)]


PROVOKED: Mapping[tuple[str, int], Provocation] = {
    ("POST /api/v1/vms/{name}/start", 409): _twice,
    ("POST /api/v1/vms/{name}/stop", 409): _twice,
    ("GET /api/v1/vms/{name}/openapi", 404): _no_document,
    ("POST /api/v1/deployments", 400): lambda world, operation: [
        *_bad_bodies(world, operation),
        *_bad_counts(world, operation),
    ],
    ("POST /api/v1/deployments", 404): _no_such_plugin,
    ("POST /api/v1/deployments", 409): _twice,
    ("PATCH /api/v1/deployments/{name}", 400): lambda world, operation: [
        *_bad_bodies(world, operation),
        *_bad_counts(world, operation),
    ],
    ("POST /api/v1/plugins", 400): _bad_manifests,
    ("POST /api/v1/plugins", 409): _twice,
    ("DELETE /api/v1/plugins/{plugin}", 409): _in_use,
    # Not in a list of errors, but in the table of statuses: bad input, and a name that is taken.
    ("POST /api/v1/vms", 400): _bad_bodies,
    ("POST /api/v1/vms", 404): _no_such_plugin,
    ("POST /api/v1/vms", 409): _twice,
    ("PATCH /api/v1/vms/{name}/config", 400): _bad_bodies,
    ("POST /api/v1/plugins/{plugin}/enabled", 400): _bad_bodies,
}
