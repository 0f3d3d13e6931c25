"""Rest: the world is as users wish, the store says so, and the host holds nothing else.

`unrest` tells one by one what is still in the way, so that a wait that fails says what it waited for, and one that
goes on has looked no further than the first. `portrait` is what two worlds at rest are compared by: names, addresses,
power and counts, and nothing that differs from run to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from volant.clock import Uid
from volant.errors import Unavailable
from volant.model.conditions import is_true
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, template_of
from volant.model.plugin import READY, Plugin, is_complete
from volant.model.plugin import digests as digests_of
from volant.model.rollout import digest_of
from volant.model.vm import VM, StatusWord, is_ready, status_word

if TYPE_CHECKING:
    from tests.builders.wishes import Wish
    from tests.builders.world import World

WORDS: dict[Wish, tuple[StatusWord, ...]] = {
    "running": ("running",),
    "stopped": ("stopped",),
    "held": ("stopped", "error"),
}
"""What users may read of a VM that is as it was wished for."""


class Tables(NamedTuple):
    """The tables of the store, each read once: waiting for rest looks at them more often than anybody."""

    vms: Sequence[VM]
    deployments: Sequence[Deployment]
    plugins: Sequence[Plugin]


def unrest(world: World) -> Iterator[str]:
    """What is not at rest. Raises Unavailable while no daemon runs."""
    store = world.store
    if not store.healthy:
        raise Unavailable("cannot be at rest: the store is in trouble")
    tables = Tables(store.vms(), store.deployments(), store.plugins())
    yield from _plugins(world, tables)
    yield from _deployments(world, tables)
    yield from _vms(world, tables)
    yield from _host(world, tables)


def portrait(world: World) -> dict[str, Any]:
    """What the world looks like at rest."""
    store = world.store
    names = {vm.meta.uid: vm.meta.name for vm in store.vms()}
    return {
        "vms": {vm.meta.name: (status_word(vm), vm.spec.address, is_ready(vm)) for vm in store.vms()},
        "deployments": {d.meta.name: (d.spec.replicas, d.status.ready_replicas) for d in store.deployments()},
        "plugins": {p.meta.name: (p.spec.enabled, is_complete(p)) for p in store.plugins()},
        "guests": sorted(names.get(g.uid, g.uid) for g in world.host.alive()),
        "networks": sorted(names.get(uid, uid) for uid in world.host.networks),
        "disks": {names.get(uid, uid): sorted(disks) for uid, disks in world.host.disks.items()},
        "files": sorted(world.cache.files),
    }


def counts(world: World) -> dict[str, Counter[str]]:
    """What was started and ended on the way, by name: faults of the daemon are no reason for more of it (Sieve)."""
    replay = world.oracles.replay
    counted = ("vm.created", "vm.started", "vm.deleted", "deployment.deleted", "plugin.ready")
    told = {kind: Counter(e.key.name for e in replay.events if e.type == kind) for kind in counted}
    births = Counter(world.oracles.name(uid) for uid, _ in world.host.births)
    return {**told, "births": births}


def _plugins(world: World, tables: Tables) -> Iterable[str]:
    plugins = {p.meta.name: p for p in tables.plugins}
    if plugins.keys() != world.users.plugins.keys():
        yield f"there are plugins {sorted(plugins)}, wished are {sorted(world.users.plugins)}"
    for name, plugin in plugins.items():
        if plugin.spec.enabled != world.users.plugins.get(name):
            yield f"plugin {name} is enabled or disabled otherwise than wished"
        if not (is_complete(plugin) and is_true(plugin.status.conditions, READY)):
            yield f"plugin {name} is not ready: {plugin.status}"
        if plugin.status.observed_generation != plugin.meta.generation:
            yield f"plugin {name} has not been looked at"


def _deployments(world: World, tables: Tables) -> Iterable[str]:
    wishes = world.users.deployments
    deployments = {d.meta.name: d for d in tables.deployments}
    if deployments.keys() != wishes.keys():
        yield f"there are deployments {sorted(deployments)}, wished are {sorted(wishes)}"
    for name in deployments.keys() & wishes.keys():
        meta, status, wish = deployments[name].meta, deployments[name].status, wishes[name]
        if (status.observed_generation, status.replicas, status.ready_replicas) != (meta.generation, wish, wish):
            yield f"deployment {name} reports {status}, wished are {wish}"
        if not (is_true(status.conditions, AVAILABLE) and is_true(status.conditions, PROGRESSING)):
            yield f"deployment {name} is not available or does not progress: {status.conditions}"
        children = [vm.meta.name for vm in tables.vms if _is_child(vm, meta.uid)]
        if len(children) != wish:
            yield f"deployment {name} has {children}, wished are {wish}"
        template = digest_of(template_of(deployments[name].spec))
        made_of = {vm.spec.template for vm in tables.vms if _is_child(vm, meta.uid)} - {None}
        if not made_of <= {template}:
            yield f"deployment {name} has VMs of {made_of}, its template is {template}"


def _is_child(vm: VM, uid: Uid) -> bool:
    return vm.meta.owner is not None and vm.meta.owner.uid == uid and not vm.meta.is_deleting


def _vms(world: World, tables: Tables) -> Iterable[str]:
    wishes, found = world.users.vms, set()
    for vm in tables.vms:
        name = vm.meta.name
        found.add(name)
        wish = wishes.get(name)
        if wish is None and (vm.meta.owner is None or vm.meta.owner.name not in world.users.deployments):
            yield f"{name} is there, and nobody wishes for it"
        yield from (f"{name}: {why}" for why in _vm(world, vm, wish or "running"))
    if missing := wishes.keys() - found:
        yield f"{sorted(missing)} are wished for and not there"


def _vm(world: World, vm: VM, wish: Wish) -> Iterable[str]:
    """The store says what is wished, and the host is what the store says."""
    status, word = vm.status, status_word(vm)
    if vm.meta.is_deleting or status.observed_generation != vm.meta.generation:
        yield "it is on its way out, or has not been looked at"
    if word not in WORDS[wish]:
        yield f"it is {word}, wished is {wish}: {status}"
    alive = world.host.alive(vm.meta.uid)
    if [guest.pid for guest in alive] != ([] if status.pid is None else [status.pid]):
        yield f"its pid is {status.pid}, on the host are {[guest.pid for guest in alive]}"
    if status.stop_deadline is not None or status.next_restart_at is not None:
        yield "it waits for a deadline"
    if status.pid is not None and status.health is not None and status.health.failed is not None:
        yield "it has failed its probes, and somebody is still to hear of that"
    if wish == "running" and not (is_ready(vm) and all(guest.is_running for guest in alive)):
        yield f"it is not ready: {status.conditions}"
    if wish == "running" and vm.meta.uid not in world.host.networks:
        yield "it is not on the network"


def _host(world: World, tables: Tables) -> Iterable[str]:
    """No leak: whatever is on the host has a row that answers for it."""
    known = {vm.meta.uid for vm in tables.vms}
    running = {vm.meta.uid for vm in tables.vms if vm.status.pid is not None}
    for what, guests in (("process or record", world.host.guests()), ("process", world.host.alive())):
        if strangers := [world.oracles.name(guest.uid) for guest in guests if guest.uid not in running]:
            yield f"a {what} of {strangers} is left"
    if strangers := [world.oracles.name(uid) for uid in world.host.networks if uid not in known]:
        yield f"a network of {strangers} is left"
    if strangers := [world.oracles.name(uid) for uid in world.host.disks if uid not in known]:
        yield f"disks of {strangers} are left"
    used = {digest for plugin in tables.plugins for digest in digests_of(plugin).values()}
    if left := world.cache.files - used:
        yield f"files {sorted(left)} are left"
