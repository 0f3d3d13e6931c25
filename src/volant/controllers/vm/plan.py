"""What a VM needs next, decided from what is asked, what is reported and what is seen. Pure and total.

                      │ nothing seen                     │ exited            │ starting, running, unknown
    ──────────────────┼──────────────────────────────────┼───────────────────┼─────────────────────────────
    deleting, drained │ Finalize                         │ Forget            │ Report drain, Wait
    deleting          │ the same                         │ the same          │ Report deadline, RequestStop
    a stop has begun  │ Report stopped                   │ Forget            │ ... until the deadline, Kill
    power is off      │ Report stopped                   │ Report, Forget    │ the same
    restart asked     │ Launch                           │ Report, Forget    │ the same
    to be running     │ Report crash, Wait, Launch       │ Report, Forget    │ Report what is seen

An end is asked for when the stop deadline is in the store or the VM is being deleted; any other is the guest's own and
counts against it. A stop that has begun is finished even if the VM is to run again by then: what was asked to shut
down cannot be talked out of it, and its end is no crash.

A VM that is drained is being deleted, so it is no endpoint any more, and its guest goes on serving those who have not
heard of it yet. Only a guest that is as asked is worth that: a stop that has begun goes on.

A guest whose startup or liveness probe has failed is brought down like one that is to be restarted, and its end counts
against it like a crash, unless somebody has asked for another by then. The failure is in the store, with the guest it
is about: the report of the end takes it out again, so it costs one guest, whatever dies in between.

The order of report and effect is fixed for each field (V13): `drain_deadline` and `stop_deadline` before the request,
`exit` of a crash before its record is forgotten, everything else after the fact.
"""

from __future__ import annotations

from msgspec.structs import replace

from volant.clock import Instant
from volant.controllers.vm import reports
from volant.controllers.vm.restarts import is_held, is_restart_asked
from volant.controllers.vm.steps import Finalize, Forget, HostFacts, Kill, Launch, RequestStop, Step, Wait
from volant.drivers import Instance
from volant.model import plugin as plugins
from volant.model.conditions import condition
from volant.model.event import Happening
from volant.model.plugin import Plugin, is_complete
from volant.model.vm import ERROR_REASONS, VM, Exit

ASK_AGAIN_S = 5.0
"""Between two requests to shut down. A guest that is still booting does not hear the first."""
LOOK_AGAIN_S = 2.0
"""Between two looks at a guest that is on its way up or does not answer. The driver's watch is faster when it can."""
ANSWERS_S = 5.0
"""A VMM that has been there for so long and does not answer is late, even if its guest was never seen to run; before
that it is on its way up."""
CLOCK_SLACK_S = 1.0
"""A deadline may seem this much too far away: clocks are corrected by small steps all the time."""


def next_step(vm: VM, plugin: Plugin | None, seen: Instance | None, now: Instant, host: HostFacts) -> Step | None:
    """The next step towards `vm.spec`, or None when there is nothing to do.

    One step, not a list: the world is looked at again before every step. Total: there is an answer for every
    combination, including those that only a crash between two steps leaves behind.
    """
    if seen is None:
        return _nothing_there(vm, plugin, now)
    if seen.state == "exited":
        return _ended(vm, seen, now)
    if wants_down(vm, seen):
        return _bring_down(vm, now)
    return _keep_up(vm, plugin, seen, now, host)


def wants_down(vm: VM, seen: Instance) -> bool:
    """Whether the guest that is there has to go."""
    if vm.meta.is_deleting or vm.spec.power == "stopped" or vm.status.stop_deadline is not None:
        return True
    if vm.status.pid == seen.pid and reports.has_failed(vm):
        return True
    return reports.booted_of(vm, seen).restart_nonce < vm.spec.restart_nonce


def _nothing_there(vm: VM, plugin: Plugin | None, now: Instant) -> Step | None:
    status = vm.status
    if vm.meta.is_deleting:
        return Finalize(Happening(type="vm.deleted", actor=reports.ACTOR))
    if status.stop_deadline is not None:
        if reports.has_failed(vm) and vm.spec.power == "running" and not is_restart_asked(vm):
            return reports.unhealthy(vm, now)
        return reports.stopped(vm, Exit(reason="asked", at=now, of=status.started_at), now)
    end = Exit(reason="unknown", at=now, of=status.started_at, message=reports.VANISHED)
    if vm.spec.power == "stopped":
        return reports.stopped(vm, end if status.pid is not None else None, now)
    if status.pid is not None:
        return reports.crashed(vm, end, reports.booted_of(vm, None), now)
    return _bring_up(vm, plugin, now)


def _bring_up(vm: VM, plugin: Plugin | None, now: Instant) -> Step | None:
    if is_held(vm):
        return reports.held(vm, now)
    at = vm.status.next_restart_at
    if at is not None and at > now and not is_restart_asked(vm):
        return reports.waiting(vm, now) or Wait(at - now)
    name = vm.spec.plugin
    if plugin is None:
        message = f"cannot start: there is no plugin {name}"
        return reports.not_ready(vm, reports.PLUGIN_MISSING, message, now)
    if is_complete(plugin):
        return Launch(plugin)
    if _has_failed(plugin):
        message = f"cannot start: the artifacts of plugin {name} cannot be had; its own conditions say why"
        return reports.not_ready(vm, reports.PLUGIN_FAILED, message, now)
    return reports.not_ready(vm, reports.PLUGIN_NOT_READY, f"plugin {name} does not have its artifacts yet", now)


def _has_failed(plugin: Plugin) -> bool:
    ready = condition(plugin.status.conditions, plugins.READY)
    return ready is not None and ready.status == "false" and ready.reason in ERROR_REASONS


def _ended(vm: VM, seen: Instance, now: Instant) -> Step | None:
    end = _end_of(seen, now)
    if vm.meta.is_deleting or vm.status.stop_deadline is not None or end is None or _is_reported(vm, end):
        return Forget()
    if vm.spec.power == "stopped":
        return reports.stopped(vm, end, now)
    return reports.crashed(vm, end, reports.booted_of(vm, seen), now)


def _end_of(seen: Instance, now: Instant) -> Exit | None:
    """How it ended. None when neither its start nor its end is known: what is left of a launch that never came to be.

    `of` has to tell one end from the next. Where the start is not known, the time of the end does.
    """
    if seen.exit is not None:
        return replace(seen.exit, of=seen.exit.at if seen.started_at is None else seen.started_at)
    if seen.started_at is None:
        return None
    return Exit(reason="unknown", at=now, of=seen.started_at, message=reports.ENDS["unknown"])


def _is_reported(vm: VM, end: Exit) -> bool:
    """Whether the store knows of this end. A pid in it means that the guest was seen to run after whatever it knows."""
    return vm.status.pid is None and vm.status.exit is not None and vm.status.exit.of == end.of


def _bring_down(vm: VM, now: Instant) -> Step | None:
    deadline = vm.status.stop_deadline
    if deadline is None and _drains(vm):
        until = vm.status.drain_deadline
        if until is None or until > now + vm.spec.drain_s + CLOCK_SLACK_S:
            return reports.draining(vm, now)
        if now < until:
            return Wait(until - now)
    if deadline is None or deadline > now + max(vm.spec.grace_s, 0.0) + CLOCK_SLACK_S:
        return reports.stopping(vm, now)
    if vm.spec.force:
        return Kill("Forced")
    if now >= deadline:
        return Kill("GraceExpired")
    return RequestStop(min(ASK_AGAIN_S, deadline - now))


def _drains(vm: VM) -> bool:
    """Whether its guest goes on serving on its way out, for whoever has not heard yet that it is no endpoint."""
    is_as_asked = vm.spec.power == "running" and not is_restart_asked(vm) and not reports.has_failed(vm)
    return vm.meta.is_deleting and vm.spec.drain_s > 0 and not vm.spec.force and is_as_asked


def _keep_up(vm: VM, plugin: Plugin | None, seen: Instance, now: Instant, host: HostFacts) -> Step | None:
    if seen.state == "running":
        return reports.running(vm, seen, now, host, plugin.spec.manifest if plugin is not None else None)
    if seen.state == "starting":
        return reports.starting(vm, seen, now) or Wait(LOOK_AGAIN_S)
    was_running = vm.status.pid is not None and vm.status.pid == seen.pid
    # One that was found after the death of its daemon may never answer: whoever waits for its VM has to hear why.
    is_late = seen.started_at is None or abs(now - seen.started_at) > ANSWERS_S
    said = reports.not_answering(vm, now) if was_running or is_late else reports.starting(vm, seen, now)
    return said or Wait(LOOK_AGAIN_S)
