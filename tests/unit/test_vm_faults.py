"""VMs under a running controller, on a host that fails by a seed, with users and daemons that come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_vm, uid_of
from tests.builders.vm_world import VMWorld, play

from volant.controllers.vm.plan import wants_down
from volant.drivers.simulated import Faults
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.vm import VM, Resources, VMConfig
from volant.reconcile import Controller
from volant.reconcile.effects import Moment

NAMES = [f"web-{n}" for n in range(6)]
HARSH = Faults(
    refused=0.05,
    unavailable=0.1,
    dies=0.1,
    ends=0.3,
    ends_within_s=200.0,
    hangs=0.2,
    loses_stop=0.3,
    stale=0.05,
    launch_within_s=0.3,
    boot_within_s=8.0,
    stop_within_s=8.0,
)


@asynccontextmanager
async def a_daemon(world: VMWorld, seed: int) -> AsyncIterator[Controller[Key]]:
    """The controller of the moment: fed by the bus, by the driver's watch and by resync."""
    reconciler = world.reconciler
    controller: Controller[Key] = Controller(
        "vm",
        reconciler.reconcile,
        clock=world.clock,
        rng=random.Random(seed),
        resync_keys=reconciler.resync_keys,
        workers=3,
    )

    def hear(batch: Sequence[Committed]) -> None:
        for event in batch:
            for key in reconciler.concerns(event):
                controller.add(key)

    async def watch() -> None:
        async for uid in world.hypervisor.watch():
            found = world.store.find_uid(uid) if uid is not None else None
            if found is not None:
                controller.add(found.meta.key)

    stop_listening = world.bus.listen(hear)
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(controller.run()), tasks.create_task(watch())]
        yield controller
        for run in runs:
            run.cancel()
    stop_listening()


async def act(world: VMWorld, rng: random.Random) -> None:
    """Something that users or the world do."""
    name = rng.choice(NAMES)
    vm = world.store.find(Key("VM", name))
    guest = world.host.guest(uid_of(name))
    if not isinstance(vm, VM):
        await world.create(a_vm(name, grace_s=20.0))
        return
    match rng.randrange(9):
        case 0 | 1:
            await world.stop(name, force=rng.random() < 0.2)
        case 2 | 3 | 4:
            await world.begin(name)
        case 5:
            await world.edit(
                name, lambda old: replace(old, config=VMConfig(resources=Resources(vcpu=rng.randint(1, 4))))
            )
        case 6:
            await world.delete(name)
        case 7 if guest is not None and guest.is_alive:
            world.host.crash(guest.uid)
        case 8 if guest is not None:
            world.host.vanish(guest.uid)


def unjustified(world: VMWorld) -> list[str]:
    """From now on: every attempt to end a guest that the store, as it is at that moment, wants to run.

    A list, because a controller survives what a hook raises.
    """
    found: list[str] = []

    def check(moment: Moment, op: str, target: object) -> None:
        if moment == "before" and op in ("hypervisor.kill", "hypervisor.request_stop"):
            vm = next(v for v in world.store.vms() if v.meta.uid == target)
            guest = world.host.guest(vm.meta.uid)
            if guest is not None and not wants_down(vm, guest.look()):
                found.append(f"{op} of {vm}")

    world.hook = check
    return found


async def campaign(world: VMWorld, seed: int) -> None:
    rng = random.Random(seed)
    found = unjustified(world)
    for name in NAMES:
        await world.create(a_vm(name, grace_s=20.0, restart_policy=rng.choice(["always", "on_failure"])))
    for life in range(4):
        async with a_daemon(world, seed + life):
            for _ in range(15):
                await world.clock.sleep(rng.random() * 12.0)
                await act(world, rng)
                world.host.check()
            if rng.random() < 0.3:
                world.clock.jump(rng.choice([-3600.0, 3600.0]))
        world.restart()
    assert not found
    world.host.faults = Faults()
    for name in NAMES:
        if rng.random() < 0.5 and world.store.find(Key("VM", name)) is not None:
            await world.begin(name)
    async with a_daemon(world, seed):
        await world.clock.sleep(400.0)
        check_end(world)
        revision, log = world.store.revision, len(world.host.log)
        await world.clock.sleep(300.0)
        check_end(world)
        lives = [guest.behaviour.ends_after_s for guest in world.host.guests()]
        if not any(lives):
            assert (world.store.revision, len(world.host.log)) == (revision, log), "no rest"


def check_end(world: VMWorld) -> None:
    """Store and host say the same, and it is what was asked for."""
    vms = {vm.meta.uid: vm for vm in world.store.vms()}
    alive = {guest.uid for guest in world.host.alive()}
    assert alive <= set(vms), "an orphan"
    for uid, vm in vms.items():
        story = f"{vm.meta.name} {world.types(vm.meta.name)[-12:]}"
        assert not vm.meta.is_deleting, story
        assert vm.status.observed_generation == vm.meta.generation, story
        if vm.spec.power == "stopped":
            assert world.word(vm.meta.name) == "stopped", story
            assert uid not in alive, story
        elif world.word(vm.meta.name) == "running":
            assert uid in alive, story
        else:
            held = vm.spec.restart_policy == "on_failure" and vm.status.exit is not None
            assert held or vm.status.next_restart_at is not None, story


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_it_comes_right_and_then_to_rest(seed: int, tmp_path: Path) -> None:
    """L2, L3, L6, L7, P1, P2, P7, P10, V12, D10: of a seed. No kill that the store does not want, no second guest."""

    async def test(world: VMWorld) -> None:
        await campaign(world, seed)

    play(test, tmp_path, faults=HARSH)


def test_a_hundred_vms_are_started_by_their_events_alone(tmp_path: Path) -> None:
    """Two writes a VM, its creation included, and two turns: one that starts it, and one that finds it at rest."""

    async def test(world: VMWorld) -> None:
        async with a_daemon(world, 1) as controller:
            names = [f"api-{n}" for n in range(100)]
            for name in names:
                await world.create(a_vm(name))
            await world.clock.sleep(1.0)
            assert {world.word(name) for name in names} == {"running"}
            assert world.store.revision == 1 + 2 * len(names)
            assert controller.stats().reconciles <= 2 * len(names) + 1
            assert controller.stats().failures == 0

    play(test, tmp_path)
