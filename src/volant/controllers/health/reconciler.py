"""Looks at one VM, sends the probe that is due, and writes what has changed.

    find ──▶ report ──▶ due? ──no──▶ Again(until it is)
               ▲          │ yes
               └── fold ◀─┴ probe            one probe a turn

What was folded and not written yet (the row had moved on, the disk was full) is written at the beginning of the next
turn: the report compares what is remembered with what is stored, and does not know what happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from volant.clock import Clock, Instant
from volant.controllers.health import plan
from volant.controllers.health.plan import Watch
from volant.drivers import Prober
from volant.model.event import Committed
from volant.model.health import HealthCheck, ProbeKind, ProbeOutcome, Target
from volant.model.meta import Key
from volant.model.plugin import Plugin
from volant.model.vm import VM
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store
from volant.telemetry import logger

log = logger("volant.controllers.health")


class Subject(NamedTuple):
    """A guest that is probed, as the store and the memory have it."""

    vm: VM
    check: HealthCheck
    target: Target
    watch: Watch


class HealthReconciler:
    """One turn of one VM at a time. Between turns it keeps a watch of each guest that is probed, and nothing else."""

    gap_s = 0.0
    """There is no news of other kinds to wait for."""

    def __init__(self, *, store: Store, prober: Prober, clock: Clock, effects: Effects | None = None) -> None:
        self._store = store
        self._prober = prober
        self._clock = clock
        self._effects = effects or Effects()
        self._watches: dict[Key, Watch] = {}
        self._is_checked: dict[str, bool] = {}

    def concerns(self, event: Committed) -> Iterable[Key]:
        """The VM to look at after a change to it, if its plugin has a health check."""
        # Asked for every event of every VM, hence kept: most plugins have none, and need no turn to find that out.
        key = event.key
        if key.kind == "Plugin":
            self._is_checked.pop(key.name, None)
        return (key,) if key.kind == "VM" and event.plugin is not None and self._has_check(event.plugin) else ()

    def resync_keys(self) -> Iterable[Key]:
        """Every VM whose plugin has a health check. What is kept of others is forgotten."""
        self._is_checked = {p.meta.name: p.spec.manifest.health_check is not None for p in self._store.plugins()}
        checked = [name for name, is_checked in self._is_checked.items() if is_checked]
        keys = [key for name in checked for key in self._store.keys("VM", plugin=name)]
        known = set(keys)
        self._watches = {key: watch for key, watch in self._watches.items() if key in known}
        return keys

    def last_check(self, vm: VM) -> Instant | None:
        """When a probe of the VM's guest last said something; None when this daemon has not heard of any."""
        watch = self._watches.get(vm.meta.key)
        return watch.outcomes.last_check if watch is not None and plan.is_of(watch, vm) else None

    async def reconcile(self, key: Key) -> Outcome:
        """One turn. Raises Conflict when the row has changed while it was looked at."""
        subject = await self._settle(key)
        due = self._due(subject)
        if subject is not None and due is not None and due.at - self._clock.monotonic() <= plan.EARLY_S:
            await self._probe(subject, due.kind)
            subject = await self._settle(key)
            due = self._due(subject)
        return DONE if due is None else Again(max(due.at - self._clock.monotonic(), 0.0))

    def _due(self, subject: Subject | None) -> plan.Due | None:
        return None if subject is None else plan.next_probe(subject.watch, subject.check)

    async def _settle(self, key: Key) -> Subject | None:
        """The VM as it is now, with what is known of its guest written down; None when there is nothing to probe."""
        subject = self._look(key)
        if subject is None:
            self._watches.pop(key, None)
            return None
        self._watches[key] = subject.watch
        report = plan.report(subject.vm, subject.check, subject.watch.outcomes)
        if report is None:
            return subject
        vm, store = subject.vm, self._store
        written = await self._effects.act(
            "store.update_status", key, lambda: store.update_status(vm, report.status, report.happening)
        )
        log.info("vm.health", vm=key.name, reason=report.happening.reason, message=report.happening.message)
        return subject._replace(vm=written)

    def _look(self, key: Key) -> Subject | None:
        vm = self._store.find(key)
        if not isinstance(vm, VM) or not plan.is_probed(vm):
            return None
        plugin = self._store.find(Key("Plugin", vm.spec.plugin))
        if not isinstance(plugin, Plugin):
            return None
        check, target = plugin.spec.manifest.health_check, plugin.spec.manifest.probe_target()
        if check is None or target is None:
            return None
        watch, now = self._watches.get(key), self._clock.monotonic()
        if watch is None or not plan.is_of(watch, vm):
            watch = plan.begin(vm, check, self._clock.now(), now)
        return Subject(vm, check, target, plan.caught_up(watch, check, now))

    async def _probe(self, subject: Subject, kind: ProbeKind) -> None:
        began = self._clock.monotonic()
        outcome = await self._ask(subject, kind)
        probed = plan.Probed(kind, outcome, began, self._clock.monotonic())
        # The watch is still that of the guest which was asked: a key is with one worker at a time.
        self._watches[subject.vm.meta.key] = plan.after(subject.watch, subject.check, probed, self._clock.now())

    async def _ask(self, subject: Subject, kind: ProbeKind) -> ProbeOutcome:
        """Go to the VM's own endpoint and nowhere else; unknown when it has none."""
        target, probe = subject.target, subject.check.probe(kind)
        endpoint = plan.where(subject.vm, target)
        if endpoint is None or probe is None:
            return "unknown"
        if target.type == "tcp":
            return await self._prober.tcp(endpoint.address, endpoint.port, probe.timeout_s)
        return await self._prober.http(endpoint.address, endpoint.port, target.path, probe.timeout_s)

    def _has_check(self, name: str) -> bool:
        known = self._is_checked.get(name)
        if known is None:
            plugin = self._store.find(Key("Plugin", name))
            known = isinstance(plugin, Plugin) and plugin.spec.manifest.health_check is not None
            if isinstance(plugin, Plugin):
                self._is_checked[name] = known
        return known
