"""Why a VM is not ready.

    being deleted │ not looked at │ ready │ what its condition says, with the figures that a condition may not hold
                                                └──▶ its plugin, when that is what it waits for

Conditions hold nothing that changes by itself (V10). The figures stand in other fields of the status and in the facts
of the daemon, and are put beside the condition here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from volant.clock import Instant
from volant.model.conditions import Condition, condition, is_true
from volant.model.plugin import Plugin
from volant.model.vm import READY, VM, Exit, is_ready, status_word
from volant.model.why import plugins
from volant.model.why.facts import Facts, Standing
from volant.model.why.link import Link, being_deleted, count, named, not_looked_at, obstacles

UNTOLD = "Unknown"

_OF_PLUGIN = frozenset({"PluginMissing", "PluginNotReady", "PluginFailed"})
_OF_HOST = ("DriverUnavailable", "DriverRefused")


class _Case(NamedTuple):
    vm: VM
    ready: Condition
    own: Standing | None
    now: Instant

    def due(self, at: Instant | None) -> Instant | None:
        """`at`, or when the controller comes round if that is over already."""
        if at is not None and at > self.now:
            return at
        return self.own.next_at if self.own is not None else None


class _Said(NamedTuple):
    """What one reason makes of a VM: the rest of the sentence, and the figures."""

    says: str
    next_try_at: Instant | None = None
    numbers: Mapping[str, int | float] = {}


def is_well(vm: VM) -> bool:
    """Whether it is ready, as of its current generation."""
    if vm.meta.is_deleting or vm.status.observed_generation < vm.meta.generation:
        return False
    return is_true(vm.status.conditions, READY) and is_ready(vm)


def chain(vm: VM, plugin: Plugin | None, facts: Facts, level: int = 0, *, with_plugin: bool = True) -> list[Link]:
    """The links of a VM, ready or not. Total. Without `with_plugin` those of its plugin have been told already."""
    meta, status = vm.meta, vm.status
    if meta.is_deleting:
        return [_deleting(vm, facts, level), *obstacles(meta, facts, level + 1)]
    if status.observed_generation < meta.generation:
        return not_looked_at(meta, status.observed_generation, facts, level)
    well = is_well(vm)
    first = _first(vm, facts, level, well=well)
    if well:
        return [first]
    links = [first]
    if first.reason in _OF_PLUGIN and with_plugin:
        links += _of_plugin(vm, plugin, facts, level + 1)
    return [*links, *obstacles(meta, facts, level + 1, said=first.reason)]


def _of_plugin(vm: VM, plugin: Plugin | None, facts: Facts, level: int) -> list[Link]:
    if plugin is None:
        return [plugins.missing(vm.spec.plugin, level)]
    return plugins.chain(plugin, facts, level)


def _deleting(vm: VM, facts: Facts, level: int) -> Link:
    deadline, grace_s = vm.status.stop_deadline, max(vm.spec.grace_s, 0.0)
    due = _case(vm, facts).due(deadline or vm.status.drain_deadline)
    if deadline is None and vm.status.drain_deadline is not None:
        says = "its guest serves on for those who have not heard of it, and is then asked to shut down"
        return being_deleted(vm.meta, says, level, due, {"drain_s": vm.spec.drain_s, "grace_s": grace_s})
    if deadline is not None:
        says = "its guest is asked to shut down, and killed when its grace period ends"
    elif vm.status.pid is not None:
        says = "its guest is about to be asked to shut down"
    else:
        says = "its guest, if there is one, is ended, and what it leaves on the host is removed"
    return being_deleted(vm.meta, says, level, due, {"grace_s": grace_s})


def _first(vm: VM, facts: Facts, level: int, *, well: bool) -> Link:
    case = _case(vm, facts)
    ready = case.ready
    said = _REASONS.get(ready.reason, _other)(case)
    word = "ready" if well else status_word(vm)
    return Link(
        kind="VM",
        name=vm.meta.name,
        says=f"{named(vm.meta.key)} is {word}: {said.says}" if said.says else f"{named(vm.meta.key)} is {word}",
        reason=ready.reason,
        level=level,
        generation=vm.status.observed_generation,
        since=ready.last_update or None,
        next_try_at=said.next_try_at,
        numbers=said.numbers,
    )


def _case(vm: VM, facts: Facts) -> _Case:
    ready = condition(vm.status.conditions, READY) or Condition(type=READY, status="unknown", reason=UNTOLD)
    return _Case(vm, ready, facts.own(vm.meta.key), facts.now)


def _running(case: _Case) -> _Said:
    return _Said("" if is_well(case.vm) else "its guest runs, and is about to be looked at again")


def _starting(case: _Case) -> _Said:
    return _Said(case.ready.message or "its guest is booting", None, _tries(case.vm))


def _stopping(case: _Case) -> _Said:
    why = f"{case.ready.message}, and is ended" if case.ready.message else "its guest is asked to shut down"
    grace_s = max(case.vm.spec.grace_s, 0.0)
    due = case.due(case.vm.status.stop_deadline)
    return _Said(f"{why}; it is killed when its grace period ends", due, {"grace_s": grace_s})


def _stopped(case: _Case) -> _Said:
    return _Said("as asked; it runs again when somebody starts it")


def _crashed(case: _Case) -> _Said:
    """Ended without having been asked to, in whatever way, and about to run again."""
    vm, status = case.vm, case.vm.status
    end = _ended(status.exit) if status.exit is not None else "its guest ended"
    often = f", {count(status.failures, 'time')} in a row" if status.failures else ""
    if status.pid is not None:
        return _Said(case.ready.message or "its guest runs and is not well", None, _tries(vm))
    return _Said(f"{end}{often}", case.due(status.next_restart_at), _tries(vm))


def _restarting(case: _Case) -> _Said:
    status = case.vm.status
    if status.next_restart_at is None:
        return _Said("a restart was asked for, and the next guest is about to start", None, _tries(case.vm))
    return _crashed(case)


def _exited(case: _Case) -> _Said:
    vm, end = case.vm, case.vm.status.exit
    ended = _ended(end) if end is not None else "its guest ended"
    policy = f"its restart policy '{vm.spec.restart_policy}' starts no other"
    return _Said(f"{ended}, and {policy}: start it, or change the policy", None, _tries(vm))


def _of_host(case: _Case) -> _Said:
    own = case.own
    failures = {"failures": own.failures} if own is not None and own.failures else {}
    return _Said(case.ready.message, own.next_at if own is not None else None, failures)


def _other(case: _Case) -> _Said:
    return _Said(case.ready.message)


def _ended(end: Exit) -> str:
    code = f", exit code {end.code}" if end.code is not None else ""
    message = f": {end.message}" if end.message else ""
    return f"its guest ended ({end.reason}{code}){message}"


def _tries(vm: VM) -> dict[str, Any]:
    """Failures in a row, starts in all, and how the last guest ended, where any of it is so."""
    status = vm.status
    code = status.exit.code if status.exit is not None else None
    found = {"failures": status.failures or None, "restarts": status.restarts or None, "exit_code": code}
    return {name: value for name, value in found.items() if value is not None}


_REASONS: Mapping[str, Callable[[_Case], _Said]] = {
    "Running": _running,
    "Starting": _starting,
    "Stopping": _stopping,
    "Stopped": _stopped,
    "Crashed": _crashed,
    "Unhealthy": _crashed,
    "Restarting": _restarting,
    "Exited": _exited,
    **dict.fromkeys(_OF_HOST, _of_host),
}
