"""Guests as a driver sees them, the facts of a host that runs them, and what the VM plan makes of both."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.builders.objects import NOW, a_plugin, a_vm, running_status, uid_of

from volant.controllers.vm.plan import next_step
from volant.controllers.vm.steps import HostFacts, Report, Step
from volant.drivers import Instance, InstanceState
from volant.model.conditions import Condition, condition
from volant.model.plugin import Plugin
from volant.model.vm import READY, VM, Booted, Endpoint, Exit, ExitReason, VMConfig, VMStatus

PID = 4242
LATER = NOW + 100.0
PLUGIN = a_plugin(ready=True)

HOST = HostFacts(
    node="host-1",
    accelerator="simulated",
    isolation="none",
    endpoints=(Endpoint(address="127.88.0.10", port=8080, guest_port=8080),),
)


def an_instance(
    state: InstanceState = "running",
    *,
    name: str = "web-1",
    pid: int | None = PID,
    started_at: float | None = NOW,
    restart_nonce: int = 0,
    config: VMConfig | None = None,
    **fields: Any,
) -> Instance:
    """The guest of the VM that `a_vm(name)` builds; `fields` replace what follows from the rest."""
    said: dict[str, Any] = {
        "booted": Booted(config=config or VMConfig(), restart_nonce=restart_nonce),
        "pid": None if state == "exited" else pid,
        **fields,
    }
    return Instance(uid=uid_of(name), state=state, started_at=started_at, **said)


def an_ended_instance(
    reason: ExitReason = "guest_panic", *, ran_s: float = 5.0, started_at: float = NOW, **fields: Any
) -> Instance:
    """A guest that ended `ran_s` after its start, and of which the record is still there."""
    end = Exit(reason=reason, at=started_at + ran_s, of=started_at)
    return an_instance("exited", started_at=started_at, exit=end, **fields)


def step_of(vm: VM, seen: Instance | None = None, *, plugin: Plugin | None = PLUGIN, now: float = LATER) -> Step | None:
    """What is next."""
    return next_step(vm, plugin, seen, now, HOST)


def report_of(
    vm: VM, seen: Instance | None = None, *, plugin: Plugin | None = PLUGIN, now: float = LATER
) -> tuple[VM, Report]:
    """The VM as it is after the report that is next, and the report."""
    step = step_of(vm, seen, plugin=plugin, now=now)
    assert isinstance(step, Report), step
    assert step.status != vm.status
    return replace(vm, status=step.status), step


def ready_of(vm: VM) -> Condition:
    """The one condition of a VM."""
    ready = condition(vm.status.conditions, READY)
    assert ready is not None
    return ready


def crashed_status(reason: ExitReason = "guest_panic", **status: Any) -> VMStatus:
    """The status of a VM whose guest ended by itself and was reported."""
    seen = an_ended_instance(reason)
    vm, _ = report_of(a_vm(status=running_status(pid=PID)), seen, now=NOW + 5)
    return replace(vm.status, **status)
