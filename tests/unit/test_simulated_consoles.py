"""Consoles of simulated guests keep the promises of their port."""

from __future__ import annotations

import random

import pytest
from tests.builders.objects import uid_of
from tests.builders.virtual_time import VirtualClock, virtual

from volant.drivers import Attachment, Boot, Consoles
from volant.drivers.simulated import Behaviour, SimulatedConsoles, SimulatedHost, SimulatedHypervisor
from volant.drivers.simulated.guest import CONSOLE_KEEP
from volant.errors import DriverUnavailable
from volant.model.vm import Booted, VMConfig

UID = uid_of("web-1")
BOOT = Boot(
    uid=UID, name="web-1", booted=Booted(config=VMConfig(), restart_nonce=0), attachment=Attachment(mode="none")
)
RUNS = b"simulated guest starts\r\nsimulated guest runs\r\n"
ENDS = b"simulated guest ends: guest_panic\r\n"


async def a_guest(clock: VirtualClock) -> tuple[SimulatedHost, SimulatedHypervisor, Consoles]:
    """A guest that runs."""
    host = SimulatedHost(clock, random.Random(1), behaviour=Behaviour(boot_s=1.0))
    driver = SimulatedHypervisor(host, clock)
    await driver.launch(UID, BOOT)
    await clock.sleep(1.0)
    return host, driver, SimulatedConsoles(host, clock)


async def said(consoles: Consoles, *, tail: int | None = None, previous: bool = False) -> bytes | None:
    log = await consoles.log(UID, tail=tail, previous=previous)
    return None if log is None else await log.read()


@virtual
async def test_a_guest_says_how_it_is(clock: VirtualClock) -> None:
    host, driver, consoles = await a_guest(clock)
    assert await said(consoles) == RUNS
    assert await said(consoles, tail=1) == b"simulated guest runs\r\n"
    assert await said(consoles, tail=0) == b""
    host.crash(UID)
    assert await said(consoles) == RUNS + ENDS
    await driver.forget(UID, keeps_console=True)
    assert await said(consoles) == RUNS + ENDS
    assert await said(consoles, previous=True) is None
    await driver.launch(UID, BOOT)
    assert await said(consoles) == b"simulated guest starts\r\n"
    assert await said(consoles, previous=True) == RUNS + ENDS
    await driver.kill(UID)
    await driver.forget(UID)
    assert await said(consoles) is None
    assert host.last_words == {}


@virtual
async def test_a_follower_hears_one_guest_after_another(clock: VirtualClock) -> None:
    host, driver, consoles = await a_guest(clock)
    log = await consoles.log(UID, tail=0, follows=True)
    assert log is not None
    assert await log.read() == b""
    host.crash(UID)
    assert await log.read() == ENDS
    await driver.forget(UID)
    assert await log.read() == b""
    await driver.launch(UID, BOOT)
    assert await log.read() == b"simulated guest starts\r\n"
    log.close()


@virtual
async def test_what_is_typed_is_echoed_until_the_guest_ends(clock: VirtualClock) -> None:
    host, _, consoles = await a_guest(clock)
    line = await consoles.attach(UID)
    await line.write(b"hello")
    assert await line.read() == b"hello"
    await line.write(b"x" * 2 * CONSOLE_KEEP)
    assert await line.read() == b"x" * CONSOLE_KEEP
    host.crash(UID)
    assert await line.read() == ENDS
    assert await line.read() == b""
    line.close()
    with pytest.raises(DriverUnavailable, match="the guest has ended"):
        await line.write(b"too late")
    with pytest.raises(DriverUnavailable, match="does not run"):
        await consoles.attach(UID)
