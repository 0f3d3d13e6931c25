"""The simulated hypervisor keeps the promises of its port, and harms guests as it is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest
from tests.builders.objects import uid_of
from tests.builders.virtual_time import VirtualClock, run_virtual, settle, virtual

from volant.clock import Uid
from volant.drivers import BEAT_S, Attachment, Boot, Hypervisor, Instance, Network
from volant.drivers.simulated import FIRST_PID, Behaviour, Faults, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.errors import DriverRefused, DriverUnavailable
from volant.model.vm import Booted, Exit, VMConfig

UID = uid_of("web-1")
MARK = Booted(config=VMConfig(), restart_nonce=2)


def a_boot(uid: Uid = UID, address: str | None = None) -> Boot:
    """What a reconciler asks for."""
    return Boot(uid=uid, name="web-1", booted=MARK, attachment=Attachment(mode="user", address=address))


def a_host(clock: VirtualClock, **more: Any) -> tuple[SimulatedHost, SimulatedHypervisor]:
    """A world and a driver to it."""
    host = SimulatedHost(clock, random.Random(7), **more)
    return host, SimulatedHypervisor(host, clock)


async def look(driver: SimulatedHypervisor, uid: Uid = UID) -> Instance:
    """The instance, which is there."""
    instance = await driver.inspect(uid)
    assert instance is not None
    return instance


@virtual
async def test_it_is_a_hypervisor_and_says_that_nothing_is_real(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    port: Hypervisor = driver
    wire: Network = SimulatedNetwork(host, clock)
    assert (port.info.name, port.info.isolation, wire.mode) == ("simulated", "none", "user")


@virtual
async def test_a_guest_runs_once_it_has_booted(clock: VirtualClock) -> None:
    _, driver = a_host(clock, behaviour=Behaviour(boot_s=3.0))
    assert await driver.inspect(UID) is None
    began = clock.now()
    await driver.launch(UID, a_boot())
    starting = await look(driver)
    assert (starting.state, starting.pid, starting.started_at) == ("starting", FIRST_PID, began)
    assert starting.booted == MARK
    await clock.sleep(3.0)
    assert (await look(driver)).state == "running"


@virtual
async def test_launching_again_starts_nothing(clock: VirtualClock) -> None:
    """R1."""
    host, driver = a_host(clock)
    await driver.launch(UID, a_boot())
    first = await look(driver)
    await driver.launch(UID, a_boot())
    assert await look(driver) == first
    assert host.launches[UID] == 1
    assert list(host.log) == [("launch", UID)] * 2


@virtual
async def test_a_guest_that_is_asked_shuts_itself_down(clock: VirtualClock) -> None:
    _, driver = a_host(clock, behaviour=Behaviour(stop_s=2.0))
    await driver.launch(UID, a_boot())
    began = clock.now()
    for _ in range(3):
        await driver.request_stop(UID)
    assert (await look(driver)).state == "running"
    await clock.sleep(2.0)
    ended = await look(driver)
    assert (ended.state, ended.pid) == ("exited", None)
    assert ended.exit == Exit(reason="guest_shutdown", at=began + 2.0, of=began, code=0)


@virtual
async def test_every_end_is_harmless_when_it_has_come_already(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    for uid in (UID, uid_of("nobody")):
        await driver.request_stop(uid)
        await driver.kill(uid)
        await driver.forget(uid)
    assert await driver.observe() == []
    assert host.guests() == []


@virtual
async def test_a_kill_is_final_and_what_is_left_can_be_forgotten(clock: VirtualClock) -> None:
    _, driver = a_host(clock, behaviour=Behaviour(ignores_stops=True, boot_s=9.0))
    await driver.launch(UID, a_boot())
    await driver.request_stop(UID)
    with pytest.raises(DriverUnavailable):
        await driver.forget(UID)
    await driver.kill(UID)
    ended = await look(driver)
    assert ended.exit is not None
    assert (ended.exit.reason, ended.exit.code) == ("killed", -9)
    await clock.sleep(20.0)
    assert (await look(driver)).state == "exited"
    await driver.forget(UID)
    assert await driver.inspect(UID) is None


@virtual
async def test_launches_fail_as_told(clock: VirtualClock) -> None:
    lives: Iterable[Behaviour] = iter([Behaviour(launch=how) for how in ("refused", "unavailable", "dies")])
    host, driver = a_host(clock, script=lambda boot, nth: next(iter(lives)))
    with pytest.raises(DriverRefused):
        await driver.launch(UID, a_boot())
    with pytest.raises(DriverUnavailable):
        await driver.launch(UID, a_boot())
    assert await driver.inspect(UID) is None
    await driver.launch(UID, a_boot())
    ended = await look(driver)
    assert ended.exit is not None
    assert (ended.state, ended.exit.reason) == ("exited", "launch_failed")
    assert host.launches[UID] == 3


@virtual
async def test_a_guest_ends_by_itself_when_its_time_comes(clock: VirtualClock) -> None:
    _, driver = a_host(clock, behaviour=Behaviour(ends_after_s=60.0, ends_how="guest_reset"))
    await driver.launch(UID, a_boot())
    await clock.sleep(59.0)
    assert (await look(driver)).state == "running"
    await clock.sleep(1.0)
    ended = await look(driver)
    assert ended.exit is not None
    assert ended.exit.reason == "guest_reset"


@virtual
async def test_a_mute_vmm_leaves_everybody_guessing(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    await driver.launch(UID, a_boot())
    host.mute(UID)
    unknown = await look(driver)
    assert (unknown.state, unknown.pid) == ("unknown", FIRST_PID)
    with pytest.raises(DriverUnavailable):
        await driver.request_stop(UID)
    host.mute(UID, is_mute=False)
    assert (await look(driver)).state == "running"


@virtual
async def test_what_was_booted_can_be_lost(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    await driver.launch(UID, a_boot())
    host.lose_record(UID)
    assert (await look(driver)).booted is None


@virtual
async def test_a_lie_is_told_once(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    host.lie(UID, Instance(uid=UID, state="running", pid=3))
    assert (await look(driver)).pid == 3
    assert await driver.inspect(UID) is None


@virtual
async def test_a_stale_look_shows_what_was_seen_before(clock: VirtualClock) -> None:
    host, driver = a_host(clock, faults=Faults(stale=1.0), behaviour=Behaviour())
    await driver.launch(UID, a_boot())
    running = await look(driver)
    host.crash(UID)
    assert await look(driver) == running
    assert (await look(driver)).state == "exited"


@virtual
async def test_a_vanished_guest_leaves_nothing(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    await driver.launch(UID, a_boot())
    host.vanish(UID)
    assert await driver.inspect(UID) is None
    assert await driver.observe() == []


@virtual
async def test_whoever_watches_hears_of_boots_and_ends_at_once(clock: VirtualClock) -> None:
    """L6: with no look in between."""
    host, driver = a_host(clock, behaviour=Behaviour(boot_s=1.0, ends_after_s=5.0))
    heard: list[tuple[Uid | None, float]] = []

    async def listen() -> None:
        async for uid in driver.watch():
            heard.append((uid, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(listen())
        await driver.launch(UID, a_boot())
        await clock.sleep(2.0)
        host.mute(UID)
        await clock.sleep(10.0)
        watching.cancel()
    assert heard == [(UID, 1.0), (UID, 2.0), (UID, 5.0)]


@virtual
async def test_a_watch_with_nothing_to_see_says_so(clock: VirtualClock) -> None:
    """L8: whoever listens can tell quiet from broken."""
    _, driver = a_host(clock, behaviour=Behaviour(boot_s=15.0))
    hints = driver.watch()
    assert await anext(hints) is None
    assert clock.monotonic() == BEAT_S
    await driver.launch(UID, a_boot())
    assert [await anext(hints), await anext(hints), await anext(hints)] == [None, UID, None]
    assert clock.monotonic() == 35.0


@virtual
async def test_hints_wait_for_their_reader_each_uid_once(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    other = uid_of("web-2")
    for uid in (UID, other):
        await driver.launch(uid, a_boot(uid))
    for _ in range(50):
        host.mute(UID)
    hints = driver.watch()
    assert [await anext(hints), await anext(hints)] == [UID, other]
    waiting = asyncio.ensure_future(anext(hints))
    await settle()
    assert not waiting.done()
    host.crash(other)
    assert await waiting == other


@virtual
async def test_a_driver_finds_what_its_predecessor_left(clock: VirtualClock) -> None:
    """P10."""
    host, old = a_host(clock, behaviour=Behaviour(boot_s=4.0))
    await old.launch(UID, a_boot())
    seen = await look(old)
    await old.close()
    await old.close()
    new = SimulatedHypervisor(host, clock)
    assert await look(new) == seen
    assert await anext(new.watch()) == UID
    assert clock.monotonic() == 4.0
    assert (await look(new)).state == "running"


def test_a_world_outlives_its_loop() -> None:
    worlds: list[SimulatedHost] = []

    async def first(clock: VirtualClock) -> None:
        host, driver = a_host(clock, behaviour=Behaviour(boot_s=0.0))
        await driver.launch(UID, a_boot())
        worlds.append(host)

    async def second(clock: VirtualClock) -> None:
        driver = SimulatedHypervisor(worlds[0], clock)
        assert (await look(driver)).state == "running"
        await driver.kill(UID)
        assert await anext(driver.watch()) == UID

    run_virtual(first)
    run_virtual(second)


@virtual
async def test_two_processes_of_one_uid_are_told(clock: VirtualClock) -> None:
    """Invariant: never two live guests of one VM. Two daemons at once break it, so two daemons are never to be."""
    host, driver = a_host(clock, behaviour=Behaviour(launch_s=1.0))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(driver.launch(UID, a_boot()))
    assert len(host.alive(UID)) == 2
    with pytest.raises(AssertionError, match="share uid"):
        host.check()
    await driver.kill(UID)
    host.check()
    assert host.alive() == []


@virtual
async def test_two_guests_of_one_address_are_told(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    for name in ("web-1", "web-2"):
        uid = uid_of(name)
        await driver.launch(uid, a_boot(uid, "127.88.0.9"))
    with pytest.raises(AssertionError, match=r"share ip 127\.88\.0\.9"):
        host.check()


@virtual
async def test_an_orphan_carries_our_mark_and_nobody_launched_it(clock: VirtualClock) -> None:
    host, driver = a_host(clock)
    host.orphan(UID)
    assert [i.state for i in await driver.observe()] == ["running"]
    assert host.launches[UID] == 0


@virtual
async def test_a_thousand_guests_boot_in_order_without_a_task_each(clock: VirtualClock) -> None:
    _, driver = a_host(clock, faults=Faults(boot_within_s=10.0))
    before = len(asyncio.all_tasks())
    for n in range(1000):
        uid = uid_of(str(n))
        await driver.launch(uid, a_boot(uid))
    assert len(asyncio.all_tasks()) == before
    await clock.sleep(10.0)
    seen = await driver.observe()
    assert {i.state for i in seen} == {"running"}
    assert len({i.pid for i in seen}) == 1000


def test_the_same_seed_gives_the_same_lives() -> None:
    faults = Faults(refused=0.2, unavailable=0.2, dies=0.1, ends=0.5, hangs=0.3, loses_stop=0.3, boot_within_s=3.0)
    lives = [[faults.behaviour(rng) for _ in range(200)] for rng in (random.Random(3), random.Random(3))]
    assert lives[0] == lives[1]
    assert {life.launch for life in lives[0]} == {None, "refused", "unavailable", "dies"}
    assert {life.ignores_stops for life in lives[0]} == {True, False}


def test_one_chance_does_not_shift_the_others() -> None:
    plain = [Faults(ends=0.5).behaviour(random.Random(n)) for n in range(100)]
    more = [Faults(ends=0.5, refused=0.5, hangs=0.5).behaviour(random.Random(n)) for n in range(100)]
    assert [life.ends_after_s for life in plain] == [life.ends_after_s for life in more]
