"""How the guests of a forecast behave: as those of their plugin have been seen to, and as they do themselves by now.

    timings of running VMs, stops in the event log ──medians──▶ Pace of a plugin ──▶ Behaviour of each guest

A guest that crashes again and again goes on doing so as long as it is booted with the same config, and so do new
replicas of a template of which no replica is ready and some crash. What has another config, or is of another template,
is taken to be well: a forecast that knew better would have to run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Uid
from volant.drivers import Boot
from volant.drivers.simulated import Behaviour
from volant.model.health import HealthCheck
from volant.model.plugin import Plugin
from volant.model.timeline import PluginPace
from volant.model.timings import Timings, seconds
from volant.model.vm import VM, VMConfig, is_ready
from volant.store import Fork, Store

BOOTS: Final = 20
"""The median of so many of the last boots tells how long the next one takes."""
CRASHES: Final = 3
"""A guest that has crashed so often lately crashes again, though it runs just now."""
LIFE_S: Final = 1.0
"""How long a guest that crashes lives once it runs."""


class Pace(Struct, frozen=True, kw_only=True):
    """How long the guests of a plugin take: medians of what was observed, or what is assumed where nothing was.

    `boots` and `stops` are how many observations each is the median of; 0: nothing was observed.
    """

    launch_s: float = 0.1
    boot_s: float = 5.0
    ready_s: float = 0.0
    stop_s: float = 2.0
    boots: int = 0
    stops: int = 0


class Paces:
    """The pace of each plugin, as observed."""

    def __init__(self, vms: list[VM], plugins: list[Plugin], fork: Fork) -> None:
        self._checks = {one.meta.name: one.spec.manifest.health_check for one in plugins}
        self._of = {one.meta.name: _observed(one.meta.name, vms, fork) for one in plugins}

    def behaviour(self, plugin: str) -> Behaviour:
        """How a guest of the plugin behaves that is well."""
        found = self._of.get(plugin, Pace())
        return Behaviour(
            launch_s=found.launch_s,
            boot_s=found.boot_s,
            stop_s=found.stop_s,
            answers_after_s=_answers_after_s(found.ready_s, self._checks.get(plugin)),
        )

    def said(self, plugins: set[str]) -> tuple[PluginPace, ...]:
        """What was assumed of these plugins, by name."""
        return tuple(_said(name, self._of.get(name, Pace())) for name in sorted(plugins))


class Guests:
    """What each guest does, given its boot."""

    def __init__(self, vms: list[VM], paces: Paces, store: Callable[[], Store]) -> None:
        self._paces = paces
        self._store = store
        self._known = {vm.meta.uid for vm in vms}
        self._failing = {vm.meta.uid: vm for vm in vms if is_failing(vm)}
        ready = {vm.spec.template for vm in vms if is_ready(vm)}
        self._broken = {vm.spec.template: vm for vm in self._failing.values() if vm.spec.template not in ready}

    def script(self, boot: Boot, _: int) -> Behaviour:
        """The behaviour of a guest that is launched now."""
        vm = self._store().find_uid(boot.uid)
        return self.of(vm, boot.booted.config) if isinstance(vm, VM) else Behaviour()

    def of(self, vm: VM, config: VMConfig) -> Behaviour:
        """The behaviour of a guest of that VM with that config."""
        well = self._paces.behaviour(vm.spec.plugin)
        before = self._before(vm.meta.uid, vm.spec.template)
        if before is None or before.spec.config != config:
            return well
        end = before.status.exit
        if end is not None and end.reason == "launch_failed":
            return replace(well, launch="dies")
        how = "guest_panic" if end is None or end.reason in ("asked", "unhealthy") else end.reason
        return replace(well, ends_after_s=well.boot_s + LIFE_S, ends_how=how)

    def _before(self, uid: Uid, template: str | None) -> VM | None:
        """The VM that tells that this one crashes, itself or another of its template; None when it does not."""
        if uid in self._known:
            return self._failing.get(uid)
        return self._broken.get(template) if template is not None else None


def is_failing(vm: VM) -> bool:
    """Whether its guest crashes again and again."""
    failures = vm.status.failures
    return vm.spec.power == "running" and (failures >= CRASHES or (failures > 0 and vm.status.pid is None))


def _observed(plugin: str, vms: list[VM], fork: Fork) -> Pace:
    of_it = [vm for vm in vms if vm.spec.plugin == plugin and vm.status.timings is not None]
    last = sorted(of_it, key=lambda vm: vm.status.started_at or 0.0, reverse=True)[:BOOTS]
    timings = [vm.status.timings for vm in last if vm.status.timings is not None]
    stops = [one.stop_s for one in timings if one.stop_s is not None]
    return pace(timings, [*stops, *fork.stops.get(plugin, [])])


def _said(plugin: str, found: Pace) -> PluginPace:
    boot_s = seconds(found.launch_s + found.boot_s + found.ready_s)
    return PluginPace(plugin=plugin, boot_s=boot_s, boots=found.boots, stop_s=found.stop_s, stops=found.stops)


def _answers_after_s(ready_s: float, check: HealthCheck | None) -> float:
    """When a guest has to begin to answer so that it is ready after `ready_s`: its probes come on a grid."""
    probe = None if check is None else check.probe("startup") or check.probe("readiness")
    if probe is None:
        return 0.0
    return max(ready_s - probe.period_s * (probe.success_threshold - 0.5), 0.0)


def pace(boots: Iterable[Timings], stops: Iterable[float]) -> Pace:
    """The pace of guests whose boots and stops took so long. A boot that was not seen as a whole says nothing."""
    whole = [
        (one.launch_s, one.boot_s, one.ready_s)
        for one in boots
        if one.launch_s is not None and one.boot_s is not None and one.ready_s is not None
    ]
    ended = list(stops)
    said = Pace()
    if whole:
        launch_s, boot_s, ready_s = (seconds(median(spans)) for spans in zip(*whole, strict=True))
        said = Pace(launch_s=launch_s, boot_s=boot_s, ready_s=ready_s, boots=len(whole))
    if not ended:
        return said
    return Pace(
        launch_s=said.launch_s,
        boot_s=said.boot_s,
        ready_s=said.ready_s,
        boots=said.boots,
        stop_s=seconds(median(ended)),
        stops=len(ended),
    )
