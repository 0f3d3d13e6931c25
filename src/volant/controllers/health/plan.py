"""When a guest is probed, and what is written of it. Pure.

    first due: start + initial delay, and not before it is first seen, + a share of the period that hangs on the uid
    then:      every period, on that grid, whatever holds a probe up

A probe that is held up for long is left out, once: after a pause a thousand guests would otherwise be asked in one
breath. Waiting for the guest's other probe does not count, or a slow one would keep the other from being sent. Times
are monotonic seconds, because the wall clock may jump.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Instant, Uid
from volant.model.event import Happening
from volant.model.health import (
    KINDS,
    HealthCheck,
    Outcomes,
    ProbeKind,
    ProbeOutcome,
    Target,
    active,
    health,
    observe,
    resume,
)
from volant.model.vm import VM, Endpoint, Health, HealthWord, VMStatus, is_as_asked, running_address

ACTOR = "health"
HELD_UP_S = 1.0
"""How late a probe may be sent, if its period is not shorter."""
EARLY_S = 0.001
"""A probe may be so early: a timer that rings a breath too soon would otherwise be set again and again."""

_REASONS: dict[HealthWord, str] = {"healthy": "Healthy", "unhealthy": "Unhealthy", "unknown": "Unknown"}


class Watch(Struct, frozen=True, kw_only=True):
    """What is remembered of one guest between two turns; another pid, or another start, is another guest.

    `free_at` is when its last probe was over. `has_left_out` a probe since: the next is sent however late it is.
    """

    uid: Uid
    pid: int | None
    started_at: Instant | None
    outcomes: Outcomes
    due: dict[ProbeKind, float]
    free_at: float
    has_left_out: bool = False


class Due(NamedTuple):
    """The next probe of a guest. `at` is monotonic."""

    kind: ProbeKind
    at: float


class Probed(NamedTuple):
    """A probe that is over. Times are monotonic."""

    kind: ProbeKind
    outcome: ProbeOutcome
    began: float
    ended: float


class Report(Struct, frozen=True):
    """A status that differs from the one in the store, and the event of its write."""

    status: VMStatus
    happening: Happening


def is_probed(vm: VM) -> bool:
    """Whether there is a guest that is to stay: one on its way down is left in peace."""
    status = vm.status
    if status.pid is None or vm.meta.is_deleting or vm.spec.power == "stopped" or status.stop_deadline is not None:
        return False
    has_failed = status.health is not None and status.health.failed is not None
    return is_as_asked(vm) and not has_failed


def is_of(watch: Watch, vm: VM) -> bool:
    """Whether the watch is of the guest that the VM has now."""
    return (watch.uid, watch.pid, watch.started_at) == (vm.meta.uid, vm.status.pid, vm.status.started_at)


def begin(vm: VM, check: HealthCheck, now: Instant, monotonic: float) -> Watch:
    """A watch on the VM's guest, which is seen for the first time, or for the first time by this daemon."""
    status, uid = vm.status, vm.meta.uid
    ran_s = max(now - status.started_at, 0.0) if status.started_at is not None else 0.0
    due: dict[ProbeKind, float] = {}
    for kind in KINDS:
        probe = check.probe(kind)
        if probe is not None:
            wait_s = max(probe.initial_delay_s - ran_s, 0.0)
            due[kind] = monotonic + wait_s + share(uid, kind) * probe.period_s
    outcomes = resume(check, status.health)
    return Watch(uid=uid, pid=status.pid, started_at=status.started_at, outcomes=outcomes, due=due, free_at=monotonic)


def share(uid: Uid, kind: ProbeKind) -> float:
    """A number in [0, 1), spread evenly over uids, and another for each probe. A hash: whoever asks gets the same."""
    digest = hashlib.blake2b(f"{uid}:{kind}".encode(), digest_size=8).digest()
    # Of 53 bits, because more do not fit into a float and would be rounded up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def caught_up(watch: Watch, check: HealthCheck, monotonic: float) -> Watch:
    """The watch without what was held up for too long: that is due when its next turn on the grid comes."""
    if watch.has_left_out:
        return watch
    moved: dict[ProbeKind, float] = {}
    for kind in active(check, watch.outcomes):
        probe, at = check.probe(kind), watch.due.get(kind, monotonic)
        if probe is not None and monotonic - max(at, watch.free_at) >= min(probe.period_s, HELD_UP_S):
            moved[kind] = _on_grid(at, probe.period_s, monotonic)
    return replace(watch, due=watch.due | moved, has_left_out=True) if moved else watch


def next_probe(watch: Watch, check: HealthCheck) -> Due | None:
    """Which probe is next, and when. None when there is none to run."""
    due = [Due(kind, watch.due[kind]) for kind in active(check, watch.outcomes) if kind in watch.due]
    return min(due, key=lambda one: one.at, default=None)


def after(watch: Watch, check: HealthCheck, probed: Probed, now: Instant) -> Watch:
    """The watch after a probe that is over at `now`."""
    probe = check.probe(probed.kind)
    outcomes = observe(check, watch.outcomes, probed.kind, probed.outcome, now)
    due = dict(watch.due)
    if probe is not None:
        at = due.get(probed.kind, probed.began)
        due[probed.kind] = _on_grid(at, probe.period_s, probed.began + EARLY_S)
    if probed.kind == "startup" and outcomes.startup.verdict:
        # What was held back is due at once, and not whenever its own turn would have been.
        due |= {other: max(at, probed.began) for other, at in due.items() if other != "startup"}
    return replace(watch, outcomes=outcomes, due=due, free_at=probed.ended, has_left_out=False)


def _on_grid(at: float, period_s: float, after: float) -> float:
    """The first time after `after` that is a whole number of periods away from `at`."""
    return at + period_s * (math.floor(max(after - at, 0.0) / period_s) + 1)


def where(vm: VM, target: Target) -> Endpoint | None:
    """Where the target is reached: on the running guest's own address, or nowhere.

    Its spec may have the next guest's by then: a change of the network mode waits for a restart.
    """
    address = running_address(vm)
    for endpoint in vm.status.endpoints:
        if endpoint.guest_port == target.port and endpoint.address == address:
            return endpoint
    return None


def report(vm: VM, check: HealthCheck, outcomes: Outcomes) -> Report | None:
    """What has to be written, or None when the store says so already. The time of a check alone is no news (L7)."""
    old = vm.status.health or Health()
    new = health(check, outcomes)
    if replace(new, last_check=old.last_check) == old:
        return None
    happening = Happening(
        type="vm.health_changed" if new.status != old.status else "vm.updated",
        actor=ACTOR,
        reason=_REASONS[new.status],
        message=_message(check, outcomes, new),
    )
    return Report(replace(vm.status, health=new), happening)


def _message(check: HealthCheck, outcomes: Outcomes, said: Health) -> str:
    kind: ProbeKind = said.failed or "readiness"
    if said.status != "unhealthy":
        return "its startup probe succeeded" if said.status == "unknown" else "it passes its health check"
    probe = check.probe(kind)
    times = probe.failure_threshold if probe is not None else outcomes.streak(kind).length
    return f"its {kind} probe failed {times} times in a row" if times > 1 else f"its {kind} probe failed"
