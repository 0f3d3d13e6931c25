"""Every documented query parameter does what it says. One that is documented and not here fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.builders.daemon import until
from tests.conformance.asking import ask, plain_request
from tests.conformance.commands import Asked
from tests.conformance.presumed import presume
from tests.conformance.reference import Operation, Parameter, reference
from tests.conformance.world import World

REFERENCE = reference()
DOCUMENTED = [(op, parameter) for op in REFERENCE.operations for parameter in op.parameters]


def _by_plugin(world: World, operation: Operation, _: Parameter) -> None:
    whole = ask(world, plain_request(operation)).json()
    plugins = {vm["plugin"] for vm in whole}
    assert len(plugins) > 1
    for plugin in (*plugins, "none-is-made-of-it"):
        shown = ask(world, Asked("GET", operation.path, f"plugin={plugin}")).json()
        # By their uids, because the time of the last health check goes on between two answers.
        assert [vm["uid"] for vm in shown] == [vm["uid"] for vm in whole if vm["plugin"] == plugin]


def _by_status(world: World, operation: Operation, parameter: Parameter) -> None:
    """Each documented word finds the VM that has it, and no other."""
    world.vm("ran")
    world.stopped("rests")
    world.broken_plugin("broken")
    world.vm_of("broken", "waits")
    words = {name: lambda name=name: world.get(f"/vms/{name}")["status"] for name in ("ran", "rests", "waits")}
    until("a VM without artifacts is no longer starting", lambda: words["waits"]() != "starting")
    for word in parameter.choices:
        shown = ask(world, Asked("GET", operation.path, f"status={word}")).json()
        assert [vm["name"] for vm in shown] == [vm["name"] for vm in world.get("/vms") if vm["status"] == word]
    names = {vm["status"]: vm["name"] for vm in world.get("/vms") if vm["name"] in words}
    assert (names["running"], names["stopped"]) == ("ran", "rests")
    assert ask(world, Asked("GET", operation.path, "status=asleep")).status_code == 400
    for name in words:
        world.no_vm(name)
    world.no_plugin("broken")


def _by_force(world: World, operation: Operation, parameter: Parameter) -> None:
    """Without, with the default, and with its opposite: the answer is the documented one."""
    assert parameter.default == "false"
    asked = plain_request(operation)
    for query in ("", "force=false", "force=true"):
        presume(world, asked)
        assert ask(world, Asked(asked.method, asked.path, query)).status_code == operation.status
    presume(world, asked)
    assert ask(world, Asked(asked.method, asked.path, "force=perhaps")).status_code == 400


CHECKED: Mapping[tuple[str, str], Callable[[World, Operation, Parameter], Any]] = {
    ("GET /api/v1/vms", "plugin"): _by_plugin,
    ("GET /api/v1/vms", "status"): _by_status,
    ("POST /api/v1/vms/{name}/stop", "force"): _by_force,
    ("DELETE /api/v1/vms/{name}", "force"): _by_force,
}


@pytest.mark.parametrize(
    ("operation", "parameter"),
    DOCUMENTED,
    ids=[f"{operation.key} {parameter.name}" for operation, parameter in DOCUMENTED],
)
def test_a_documented_parameter_does_what_it_says(world: World, operation: Operation, parameter: Parameter) -> None:
    check = CHECKED.get((operation.key, parameter.name))
    assert check is not None, f"cannot test ?{parameter.name}= of {operation.key}: say in `CHECKED` how"
    presume(world, plain_request(operation))
    check(world, operation, parameter)


def test_every_parameter_may_be_left_out_or_the_others_would_not_work(world: World) -> None:
    assert all(parameter.is_optional for _, parameter in DOCUMENTED)


@pytest.mark.parametrize("operation", [op for op in REFERENCE.operations if not op.is_stream], ids=lambda op: op.key)
def test_a_parameter_that_no_operation_has_is_refused(world: World, operation: Operation) -> None:
    """A misspelt filter that is ignored shows everything."""
    asked = plain_request(operation)
    presume(world, asked)
    assert ask(world, asked._replace(query="no_such_parameter=1")).status_code == 400
