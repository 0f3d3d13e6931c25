"""One look at everything, and what has to hold of it once nothing moves any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from tests.soak.faults import Guest
from tests.soak.guest import PORT
from tests.soak.host import Host, Process
from tests.soak.lives import Lives
from tests.soak.wishes import Name, Value

Json = dict[str, Any]


class Look(NamedTuple):
    """The objects as the API shows them, and the host beside them."""

    vms: list[Json]
    deployments: list[Json]
    plugins: list[Json]
    revision: int
    processes: list[Process]
    directories: set[str]
    consoles: set[str]
    listeners: set[tuple[str, int]]

    def guests(self) -> dict[str, Guest]:
        """The VMs whose process is there, by uid."""
        processes = {process.uid: process for process in self.processes}
        return {
            vm["uid"]: Guest(vm["name"], vm["uid"], processes[vm["uid"]], vm["restarts"], "owner" in vm)
            for vm in self.vms
            if vm["uid"] in processes
        }

    def values(self) -> dict[Name, Value]:
        """What stands there, in the terms of the wishes."""
        seen: dict[Name, Value] = {}
        for vm in self.vms:
            if "owner" not in vm:
                power = "stopped" if vm["status"] == "stopped" else "running"
                seen["vms", vm["name"]] = (power, vm["asked_memory_mb"])
        seen |= {("deployments", one["name"]): one["replicas"] for one in self.deployments}
        return seen | {("plugins", one["name"]): one["enabled"] for one in self.plugins}


def look(lives: Lives, host: Host) -> Look:
    """The API first: what it says of the host is checked against what the host says a moment later."""
    vms, revision = lives.listed("/vms")
    deployments = lives.get("/deployments")
    plugins = lives.get("/plugins?fields=name,enabled,artifacts")["plugins"]
    files = host.directories(), host.consoles()
    return Look(vms, deployments, plugins, revision, host.processes(), *files, host.listeners())


def unrest(seen: Look, cut_off: Collection[str]) -> list[str]:
    """What keeps this from being rest: nothing on its way, and API and host at one about every guest."""
    return [*_on_the_way(seen, cut_off), *_at_odds(seen, cut_off)]


def _on_the_way(seen: Look, cut_off: Collection[str]) -> Iterator[str]:
    for vm in seen.vms:
        is_up = vm["status"] == "running" and _ready(vm)["status"] == "true"
        is_at_rest = is_up or vm["status"] == "stopped" or _is_out_of_reach(vm, cut_off)
        if "deleting_since" in vm or not is_at_rest:
            yield f"{vm['name']} ({vm['uid']}) is {vm['status']}: {vm.get('conditions')}"
    for one in seen.deployments:
        counts = {one["replicas"], one["ready_replicas"], len(one["vms"])}
        if "deleting_since" in one or one["scaling"] or len(counts) != 1 or one["status"]["phase"] != "running":
            yield f"{one['name']} is {one['status']['phase']}: {one['replicas']} {one['ready_replicas']} {one['vms']}"
    for one in seen.plugins:
        if any(artifact["state"] != "ready" for artifact in one["artifacts"].values()):
            yield f"plugin {one['name']}: {one['artifacts']}"


def _ready(vm: Json) -> Json:
    return next((c for c in vm.get("conditions", ()) if c["type"] == "ready"), {"status": "", "reason": ""})


def _is_out_of_reach(vm: Json, cut_off: Collection[str]) -> bool:
    """Whether the VM says of itself that nobody can ask its guest, and that is so."""
    return vm["uid"] in cut_off and _ready(vm)["reason"] == "NotAnswering"


def _at_odds(seen: Look, cut_off: Collection[str]) -> Iterator[str]:
    up = {vm["uid"]: vm for vm in seen.vms if vm["status"] == "running" or _is_out_of_reach(vm, cut_off)}
    counts = Counter(process.uid for process in seen.processes)
    for process in seen.processes:
        if process.uid not in up:
            yield f"orphan: {process} belongs to no VM that runs"
        elif up[process.uid].get("pid") not in (process.pid, *([None] if process.uid in cut_off else [])):
            yield f"{process} is not the pid that {up[process.uid]['name']} shows, {up[process.uid].get('pid')}"
    yield from (f"{n} VMMs of {uid}" for uid, n in counts.items() if n > 1)
    yield from (f"no VMM of {vm['name']}, which runs" for uid, vm in up.items() if uid not in counts)
    yield from (f"run directory of nobody: {uid}" for uid in seen.directories - up.keys())
    yield from (f"no run directory of {uid}" for uid in up.keys() - seen.directories - set(cut_off))
    yield from (f"console of nobody: {uid}" for uid in seen.consoles - {vm["uid"] for vm in seen.vms})
    asked = {(vm["ip"], PORT) for vm in up.values()}
    yield from (f"nobody listens on {place}" for place in asked - seen.listeners)
    yield from (f"a port of nobody's: {place}" for place in seen.listeners - asked)
