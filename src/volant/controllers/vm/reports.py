"""The statuses that a VM can be given, each as a whole. Pure.

Every function answers with the `Report` to write, or with None when the store says so already: a controller at rest
writes nothing (L7). Condition messages hold nothing that changes by itself (V10).

`pid` and what belongs to a running guest are set together by `running` and cleared together by every end.
"""

from __future__ import annotations

from msgspec.structs import replace

from volant.clock import Instant
from volant.controllers.vm.restarts import FURTHEST_S, failures_after, failures_before, may_restart, restart_at
from volant.controllers.vm.steps import HostFacts, Report
from volant.drivers import Instance
from volant.model.conditions import Condition, Conditions, Tristate, condition, merge_condition
from volant.model.event import EventType, Happening
from volant.model.plugin import Manifest
from volant.model.vm import ERROR_REASONS, READY, VM, Booted, Exit, ExitReason, Health, VMStatus

ACTOR = "vm"

RUNNING = "Running"
STARTING = "Starting"
UNHEALTHY = "Unhealthy"
NOT_ANSWERING = "NotAnswering"
DRAINING = "Draining"
STOPPING = "Stopping"
STOPPED = "Stopped"
RESTARTING = "Restarting"
CRASHED = "Crashed"
EXITED = "Exited"
PLUGIN_MISSING = "PluginMissing"
PLUGIN_NOT_READY = "PluginNotReady"
PLUGIN_FAILED = "PluginFailed"

VANISHED = "cannot tell how the guest ended: its process and its record are gone"

ENDS: dict[ExitReason, str] = {
    "guest_shutdown": "the guest shut itself down",
    "guest_panic": "the guest's kernel panicked",
    "guest_reset": "the guest reset itself",
    "killed": "the guest's VMM was killed",
    "launch_failed": "the VMM ended before its guest ran",
    "unhealthy": "the guest failed its health check",
    "asked": "the guest was asked to stop",
    "unknown": "cannot tell how the guest ended",
}


def booted_of(vm: VM, seen: Instance | None) -> Booted:
    """What the guest was booted with: as its record says, or as was reported, or, for want of both, as is asked now.

    The last is a guess in favour of the guest: one without a record is left running, not restarted to be sure.
    """
    if seen is not None and seen.booted is not None:
        return seen.booted
    reported = vm.status.booted
    if reported is not None and (seen is None or _is_reported(vm, seen)):
        return reported
    return Booted(config=vm.spec.config, restart_nonce=vm.spec.restart_nonce)


def has_failed(vm: VM) -> bool:
    """Whether the guest that was reported has to go because of its probes."""
    return vm.status.health is not None and vm.status.health.failed is not None


def _is_reported(vm: VM, seen: Instance) -> bool:
    """Whether the status speaks of this very guest. One that has ended has no pid any more, but had the same start."""
    is_same_start = seen.started_at is not None and seen.started_at == vm.status.started_at
    return seen.pid == vm.status.pid or is_same_start


def running(vm: VM, seen: Instance, now: Instant, host: HostFacts, manifest: Manifest | None) -> Report | None:
    """The guest runs. One that was reported before keeps what was said of it: adopting it writes nothing (P10).

    Where the plugin has a health check its verdict is waited for, and whether the guest is ready follows it (P4).
    """
    status, booted = vm.status, booted_of(vm, seen)
    said = replace(status, next_restart_at=None)
    if status.pid == seen.pid and status.booted == booted:
        return _say(vm, said, now, *_readiness(said, manifest))
    # A guest whose end was reported and who turns out to run was never restarted.
    was_here = status.exit is not None and status.exit.of is not None and status.exit.of == seen.started_at
    is_first = status.booted is None or was_here
    said = replace(
        said,
        pid=seen.pid,
        booted=booted,
        started_at=seen.started_at,
        node=host.node,
        accelerator=host.accelerator,
        isolation=host.isolation,
        endpoints=host.endpoints,
        restarts=status.restarts + (0 if is_first else 1),
        failures=failures_before(vm, booted),
        health=Health() if manifest is not None and manifest.health_check is not None else None,
    )
    return _say(vm, said, now, *_readiness(said, manifest), event="vm.started")


def _readiness(said: VMStatus, manifest: Manifest | None) -> tuple[Tristate, str, str]:
    """Status, reason and message of the condition while the guest runs."""
    target = manifest.probe_target() if manifest is not None else None
    if manifest is None or target is None or manifest.health_check is None or not manifest.health_check.gates:
        return "true", RUNNING, ""
    word = said.health.status if said.health is not None else "unknown"
    if word == "healthy":
        return "true", RUNNING, ""
    if word == "unhealthy":
        return "false", UNHEALTHY, "the guest does not pass its health check"
    if all(endpoint.guest_port != target.port for endpoint in said.endpoints):
        mode = said.booted.config.network.mode if said.booted is not None else None
        if mode in ("none", "dhcp"):
            return "true", RUNNING, f"its health check is not asked: a guest of mode '{mode}' has no address known here"
        return "false", STARTING, f"cannot probe the guest: its port {target.port} is not published"
    return "false", STARTING, "the guest has not passed its health check yet"


def starting(vm: VM, seen: Instance, now: Instant) -> Report | None:
    """The VMM is up and its guest does not run yet."""
    pid = vm.status.pid if vm.status.pid == seen.pid else None
    return _say(vm, replace(vm.status, pid=pid, next_restart_at=None), now, "false", STARTING)


def not_answering(vm: VM, now: Instant) -> Report | None:
    """A guest that was running may be so still: nobody can tell (P12)."""
    return _say(vm, vm.status, now, "unknown", NOT_ANSWERING, "the VMM does not answer; the guest may be running")


def draining(vm: VM, now: Instant) -> Report | None:
    """The VM is no endpoint any more. Its guest serves on until a time that is fixed now, and is then asked to stop."""
    message = "it takes nothing new; its guest serves on for a while and is then asked to stop"
    return _say(vm, replace(vm.status, drain_deadline=now + vm.spec.drain_s), now, "false", DRAINING, message)


def stopping(vm: VM, now: Instant) -> Report | None:
    """The end of the grace period, fixed before the guest is asked, so that it never starts again (P7)."""
    grace_s = 0.0 if vm.spec.force else max(vm.spec.grace_s, 0.0)
    message = ENDS["unhealthy"] if has_failed(vm) else ""
    return _say(vm, replace(vm.status, stop_deadline=now + grace_s), now, "false", STOPPING, message)


def stopped(vm: VM, end: Exit | None, now: Instant) -> Report | None:
    """No guest is there, as asked. `end` is how the last one ended, where that is news.

    `booted` goes with a stop, and stays over a restart: the next boot is then one more of the same.
    """
    status = vm.status
    is_restart = vm.spec.power == "running"
    said = replace(
        _without_guest(status),
        booted=status.booted if is_restart else None,
        failures=0,
        next_restart_at=None,
        exit=end or status.exit,
    )
    reason = RESTARTING if is_restart else STOPPED
    ready = condition(status.conditions, READY)
    is_news = end is not None or ready is None or ready.reason != reason
    return _say(vm, said, now, "false", reason, event="vm.stopped" if is_news else "vm.updated")


def crashed(vm: VM, end: Exit, booted: Booted, now: Instant) -> Report | None:
    """The guest ended and nobody had asked it to. Says when the next one may start, if one may (P1, P2, P8)."""
    failures = failures_after(vm, booted, end)
    runs_again = may_restart(vm.spec.restart_policy, end.reason)
    said = replace(
        _without_guest(vm.status),
        booted=booted,
        failures=failures,
        next_restart_at=restart_at(vm, failures, now) if runs_again else None,
        exit=end,
    )
    event: EventType = "vm.stopped" if end.reason == "guest_shutdown" else "vm.error"
    reason = _pausing(end.reason) if runs_again else EXITED
    return _say(vm, said, now, "false", reason, ENDS[end.reason], event=event, detail=end.message)


def unhealthy(vm: VM, now: Instant) -> Report | None:
    """The guest was ended because a probe had failed: no different from one that ended by itself (P4)."""
    failed = vm.status.health.failed if vm.status.health is not None else None
    message = f"its {failed} probe failed"
    end = Exit(reason="unhealthy", at=now, of=vm.status.started_at, message=message)
    return crashed(vm, end, booted_of(vm, None), now)


def waiting(vm: VM, now: Instant) -> Report | None:
    """The next guest may not start yet. A time further away than any delay is brought near again."""
    status = vm.status
    at = status.next_restart_at
    if at is not None and at > now + FURTHEST_S:
        at = restart_at(vm, status.failures, now)
    end = _last_end(status)
    return _say(vm, replace(status, next_restart_at=at), now, "false", _pausing(end), ENDS[end])


def held(vm: VM, now: Instant) -> Report | None:
    """The restart policy keeps the VM down (P8)."""
    said = replace(vm.status, next_restart_at=None)
    return _say(vm, said, now, "false", EXITED, ENDS[_last_end(vm.status)])


def not_ready(vm: VM, reason: str, message: str, now: Instant) -> Report | None:
    """The VM cannot be started as things are."""
    said = replace(vm.status, next_restart_at=None)
    event: EventType = "vm.error" if reason in ERROR_REASONS else "vm.updated"
    return _say(vm, said, now, "false", reason, message, event=event)


def failed(vm: VM, reason: str, message: str, now: Instant) -> Report | None:
    """The host said no. The same reason is reported once for a generation: messages of a driver may vary (V10)."""
    ready = condition(vm.status.conditions, READY)
    if ready is not None and ready.reason == reason and ready.observed_generation == vm.meta.generation:
        return None
    return _say(vm, replace(vm.status, next_restart_at=None), now, "false", reason, message, event="vm.error")


def _without_guest(status: VMStatus) -> VMStatus:
    return replace(
        status,
        pid=None,
        started_at=None,
        stop_deadline=None,
        endpoints=(),
        accelerator=None,
        isolation=None,
        health=None,
    )


def _pausing(end: ExitReason) -> str:
    """The reason while the next start is waited for."""
    return {"guest_shutdown": RESTARTING, "unhealthy": UNHEALTHY}.get(end, CRASHED)


def _last_end(status: VMStatus) -> ExitReason:
    return status.exit.reason if status.exit is not None else "unknown"


def _say(  # noqa: PLR0913 -- because a status is said in one sentence
    vm: VM,
    said: VMStatus,
    now: Instant,
    ready: Tristate,
    reason: str,
    message: str = "",
    *,
    event: EventType = "vm.updated",
    detail: str = "",
) -> Report | None:
    generation = vm.meta.generation
    conditions: Conditions = merge_condition(
        said.conditions,
        Condition(type=READY, status=ready, reason=reason, message=message, observed_generation=generation),
        now,
    )
    said = replace(said, observed_generation=generation, conditions=conditions)
    if said == vm.status:
        return None
    return Report(said, Happening(type=event, actor=ACTOR, reason=reason, message=detail or message or None))
