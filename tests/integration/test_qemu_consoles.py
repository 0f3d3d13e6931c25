"""Consoles of real QEMU processes: read while they are written, moved and removed; typed at, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.builders import qemu_guests as guests
from tests.builders.qemu_guests import a_boot, a_driver, a_running_driver, ended, kernel, says

from volant.clock import Uid, random_uid
from volant.drivers import Boot, Line, Transcript
from volant.drivers.qemu import QemuConsoles, QemuHypervisor
from volant.errors import DriverUnavailable

GREETS = says(b"one\r\ntwo\r\nthree\r\n")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
async def driver(run: Path) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(run) as made:
        yield made


@pytest.fixture
def consoles(run: Path) -> QemuConsoles:
    return QemuConsoles(run)


@pytest.fixture
def uid() -> Uid:
    return random_uid()


@pytest.fixture
def boot(tmp_path: Path, uid: Uid) -> Callable[[bytes], Boot]:
    return lambda program: a_boot(uid, kernel(tmp_path, program))


async def heard(source: Transcript | Line, text: bytes) -> bytes:
    """Everything up to where it has `text`."""
    found = b""
    async with asyncio.timeout(20):
        while text not in found:
            data = await source.read()
            found += data
            if not data:
                await asyncio.sleep(0.01)
    return found


async def the_log(consoles: QemuConsoles, uid: Uid, text: bytes) -> bytes:
    """The whole log, once it has `text`."""
    async with asyncio.timeout(20):
        while True:
            log = await consoles.log(uid)
            if log is not None:
                data = await log.read()
                log.close()
                if text in data:
                    return data
            await asyncio.sleep(0.01)


async def test_what_a_guest_says_is_read(
    driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    assert await consoles.log(uid) is None
    await driver.launch(uid, boot(GREETS + guests.HALT))
    assert await the_log(consoles, uid, b"three\r\n") == b"one\r\ntwo\r\nthree\r\n"
    last = await consoles.log(uid, tail=2)
    assert last is not None
    assert await last.read() == b"two\r\nthree\r\n"
    assert await last.read() == b""
    last.close()


async def test_what_is_typed_arrives_and_what_is_said_comes_back(
    driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(guests.ECHOES))
    line = await consoles.attach(uid)
    await line.write(b"hello\r")
    assert await heard(line, b"\r") == b"hello\r"
    line.close()
    assert await the_log(consoles, uid, b"\r") == b"hello\r"


async def test_the_next_daemon_attaches_where_the_last_one_was(
    run: Path, driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(guests.ECHOES))
    first = await consoles.attach(uid)
    await first.write(b"1")
    await heard(first, b"1")
    # A process that dies leaves no word: its socket is closed, whatever was on it.
    first.close()
    second = await QemuConsoles(run).attach(uid)
    await second.write(b"2")
    assert await heard(second, b"2") == b"2"
    second.close()


async def test_an_ended_guest_ends_the_line_and_can_still_be_read(
    driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(GREETS + guests.HALT))
    await the_log(consoles, uid, b"three\r\n")
    line = await consoles.attach(uid)
    await driver.kill(uid)
    assert await line.read() == b""
    line.close()
    assert await the_log(consoles, uid, b"three") == b"one\r\ntwo\r\nthree\r\n"
    with pytest.raises(DriverUnavailable, match="no QEMU listens"):
        await consoles.attach(uid)


async def test_the_end_of_a_forgotten_guest_is_kept_until_its_vm_goes(
    run: Path, driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(GREETS + guests.PANICS))
    await ended(driver, uid)
    await driver.forget(uid, keeps_console=True)
    assert await consoles.log(uid, previous=True) is None  # There is no guest for it to be the one before.
    assert await the_log(consoles, uid, b"three\r\n") == b"one\r\ntwo\r\nthree\r\n"
    assert await driver.observe() == []
    await driver.launch(uid, boot(says(b"again\r\n") + guests.HALT))
    assert await the_log(consoles, uid, b"again\r\n") == b"again\r\n"
    before = await consoles.log(uid, previous=True, tail=1)
    assert before is not None
    assert await before.read() == b"three\r\n"
    before.close()
    await driver.kill(uid)
    await driver.forget(uid)
    assert await consoles.log(uid) is None
    assert list(run.iterdir()) == []


async def test_who_follows_hears_the_next_guest_as_well(
    driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(GREETS + guests.PANICS))
    log = await consoles.log(uid, follows=True)
    assert log is not None
    await ended(driver, uid)
    await driver.forget(uid)
    await driver.launch(uid, boot(says(b"again\r\n") + guests.HALT))
    assert await heard(log, b"again\r\n") == b"one\r\ntwo\r\nthree\r\nagain\r\n"
    log.close()


async def test_who_follows_a_flood_is_told_what_is_missing_and_goes_on(
    run: Path, driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(guests.FLOODS))
    log = await consoles.log(uid, follows=True)
    assert log is not None
    await heard(log, b"A")
    moved = run / uid / "console.log.1"
    async with asyncio.timeout(60):
        for _ in range(2):
            while not moved.exists():
                await asyncio.sleep(0.05)
                await driver.observe()
            before = moved.stat().st_mtime_ns
            while moved.stat().st_mtime_ns == before:
                await asyncio.sleep(0.05)
                await driver.observe()
    assert b"text of the console is lost here" in await heard(log, b"lost here]\n")
    assert set(await heard(log, b"A")) == set(b"A")
    log.close()


async def test_a_guest_is_not_held_up_by_whoever_does_not_attach(
    run: Path, driver: QemuHypervisor, consoles: QemuConsoles, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    """With nobody attached, QEMU drops what it cannot send and writes the log all the same."""
    await driver.launch(uid, boot(guests.FLOODS))
    line = await consoles.attach(uid)
    await heard(line, b"A")
    line.close()
    size = (run / uid / "console.log").stat().st_size
    async with asyncio.timeout(20):
        while (run / uid / "console.log").stat().st_size <= size + (1 << 18):
            await asyncio.sleep(0.01)


async def test_another_driver_finds_the_consoles_of_what_it_did_not_start(
    run: Path, driver: QemuHypervisor, boot: Callable[[bytes], Boot], uid: Uid
) -> None:
    await driver.launch(uid, boot(guests.ECHOES))
    await driver.close()
    other = a_driver(run)
    assert [seen.uid for seen in await other.observe()] == [uid]
    line = await QemuConsoles(run).attach(uid)
    await line.write(b"x")
    assert await heard(line, b"x") == b"x"
    line.close()
    await other.close()
