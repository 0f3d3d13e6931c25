"""The oracles themselves: each complains when what it guards is broken, and says nothing while it is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.harm import Fault, Harm
from tests.builders.objects import NOW, a_deployment, a_vm, owner_of
from tests.builders.replay import Replay
from tests.builders.rest import unrest
from tests.builders.world import World, play

from volant.clock import Uid
from volant.drivers import Attachment
from volant.drivers.simulated import Behaviour
from volant.model.event import Committed, EventType, Happening, committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.vm import FINALIZER
from volant.store import Transaction

Rogue = Callable[[World], Awaitable[None]]


async def nothing() -> None:
    """What a rogue does to the host here: the complaint comes before."""


async def effect(world: World, op: str, target: object = None) -> None:
    """Do it through the seam, as a controller would."""
    life = await world.up()
    harm = Harm(life, world.record, world.oracles.looked)
    await harm.act(op, world.uid("web") if target is None else target, nothing)


async def kills(world: World) -> None:
    await effect(world, "hypervisor.kill")


async def stops(world: World) -> None:
    await effect(world, "hypervisor.request_stop")


async def forgets(world: World) -> None:
    await effect(world, "hypervisor.forget")


async def detaches(world: World) -> None:
    await effect(world, "network.ensure_absent")


async def kills_a_stranger(world: World) -> None:
    await effect(world, "hypervisor.kill", "9" * 32)


async def launches_what_is_deleted(world: World) -> None:
    world.host.hang(world.uid("web"))
    await world.users.delete("web")
    await effect(world, "hypervisor.launch")


async def launches_nobody(world: World) -> None:
    await effect(world, "hypervisor.launch", "9" * 32)


async def launches_without_a_network(world: World) -> None:
    world.host.networks.clear()
    await effect(world, "hypervisor.launch")


async def launches_without_artifacts(world: World) -> None:
    world.cache.files.clear()
    await effect(world, "hypervisor.launch")


async def kills_before_the_deadline(world: World) -> None:
    world.host.hang(world.uid("web"))
    await world.users.stop("web")
    await world.clock.sleep(0.5)
    await effect(world, "hypervisor.kill")


async def drops_a_file_in_use(world: World) -> None:
    await effect(world, "artifacts.remove", next(iter(world.cache.files)))


async def starts_a_second_guest(world: World) -> None:
    world.host.spawn(world.uid("web"), Behaviour())
    await effect(world, "hypervisor.observe")


async def begins_a_stop_of_its_own(world: World) -> None:
    def job(tx: Transaction) -> None:
        vm = world.vm("web")
        tx.update_status(vm, replace(vm.status, stop_deadline=world.clock.now() + 5.0), Happening(type="vm.updated"))

    await (await world.up()).store.write(job)


async def lets_the_row_go_first(world: World) -> None:
    world.host.hang(world.uid("web"))
    await world.users.delete("web")
    told = Happening(type="vm.deleted")
    await (await world.up()).store.write(lambda tx: tx.finalize(tx.get(Key("VM", "web")), FINALIZER, told))


async def makes_a_network_for_nobody(world: World) -> None:
    world.host.networks[Uid("9" * 32)] = Attachment(mode="user")
    await effect(world, "network.ensure", "9" * 32)


async def replaces_who_is_needed(world: World) -> None:
    await world.users.deploy("api", 1)
    await world.rest()
    told = Happening(type="vm.deleting", reason="Replaced")
    await (await world.up()).store.write(lambda tx: tx.mark_deleting(tx.get(Key("VM", "api-1")), told))


ROGUES = [
    kills,
    stops,
    forgets,
    detaches,
    kills_a_stranger,
    launches_what_is_deleted,
    launches_nobody,
    launches_without_a_network,
    launches_without_artifacts,
    kills_before_the_deadline,
    drops_a_file_in_use,
    starts_a_second_guest,
    begins_a_stop_of_its_own,
    lets_the_row_go_first,
    makes_a_network_for_nobody,
    replaces_who_is_needed,
]


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.__name__)
def test_a_rogue_controller_is_found_out(rogue: Rogue, tmp_path: Path) -> None:
    """V12, P7, P11, D2, D3, D9, U1: by what the store and the host say at that moment."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.rest()
        await rogue(world)
        assert world.oracles.complaints
        world.oracles.complaints.clear()

    play(test, tmp_path)


def events_of(*steps: tuple[EventType, Object]) -> list[Committed]:
    """The events of these writes, in order."""
    return [committed(obj, Happening(type=kind), n, NOW) for n, (kind, obj) in enumerate(steps, 1)]


WEB, DEPLOYMENT = a_vm("web", address="127.88.0.10"), a_deployment("api", replicas=1)
FIRST, SECOND = (a_vm(f"api-{n}", owner=owner_of(DEPLOYMENT), address=f"127.88.0.2{n}") for n in (1, 2))
SOUND = [("vm.created", WEB), ("vm.started", WEB), ("vm.deleting", WEB), ("vm.deleted", WEB)]


@pytest.mark.parametrize(
    "steps",
    [
        [("vm.started", WEB)],
        [("vm.created", WEB), ("vm.created", WEB)],
        [("vm.created", WEB), ("vm.deleted", WEB)],
        [("vm.created", WEB), ("vm.created", a_vm("db", address="127.88.0.10"))],
        [("vm.created", FIRST)],
        [("deployment.created", DEPLOYMENT), ("vm.created", FIRST), ("vm.created", SECOND)],
        [("deployment.created", DEPLOYMENT), ("deployment.deleting", DEPLOYMENT), ("vm.created", FIRST)],
    ],
    ids=["unknown", "twice", "undeleted", "same address", "no owner", "too many", "owner on its way out"],
)
def test_a_log_that_cannot_be_is_found_out(steps: list[tuple[EventType, Object]]) -> None:
    """E3, R1, D2, D5, D10: whoever reads every event can tell."""
    replay = Replay()
    assert [why for event in events_of(*steps) for why in replay.feed(event)]


def test_a_log_with_a_hole_is_found_out() -> None:
    """E3: and one without any is not."""
    sound = events_of(*SOUND)  # type: ignore[arg-type]
    replay = Replay()
    assert [why for event in sound for why in replay.feed(event)] == []
    assert Replay().feed(sound[0]) == []
    holed = Replay()
    assert [why for event in (sound[0], sound[2]) for why in holed.feed(event)]


def test_what_is_left_on_the_host_is_unrest(tmp_path: Path) -> None:
    """P11: a process, a network, a file; and a status that is not true."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.rest()
        assert not list(unrest(world))
        stranger = Uid("9" * 32)
        world.host.networks[stranger] = Attachment(mode="user")
        assert list(unrest(world))
        world.host.networks.pop(stranger)
        world.cache.files.add("0" * 64)
        assert list(unrest(world))
        world.cache.files.discard("0" * 64)
        world.host.orphan(stranger)
        assert list(unrest(world))
        world.host.remove(stranger)
        assert not list(unrest(world))
        world.host.remove(world.uid("web"))
        assert list(unrest(world))

    play(test, tmp_path)


def test_a_plan_that_never_fires_is_void(tmp_path: Path) -> None:
    """What a campaign counts as void is a plan whose position was never reached."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.rest()

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert not play(test, first, plan=Fault(10_000, "error")).record.spoiled
    assert play(test, second, plan=Fault(1, "error")).record.spoiled
