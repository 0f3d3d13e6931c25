"""Real QEMU processes with guests of a few bytes: launched, found again, ended, forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.builders import qemu_guests as guests
from tests.builders.qemu_guests import a_boot, a_driver, a_running_driver, ended, kernel

from volant.clock import Uid, random_uid
from volant.drivers import Boot, processes
from volant.drivers.qemu import QemuHypervisor
from volant.drivers.qemu.handover import connect
from volant.drivers.qemu.rundir import RunDir
from volant.drivers.user import UserNetwork
from volant.errors import DriverRefused, DriverUnavailable

ADDRESS = "127.88.255.243"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
async def driver(run: Path) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(run) as made:
        yield made


@pytest.fixture
def uid() -> Uid:
    return random_uid()


@pytest.fixture
def idle(tmp_path: Path, uid: Uid) -> Boot:
    return a_boot(uid, kernel(tmp_path, guests.IDLES))


async def the_pid(driver: QemuHypervisor, uid: Uid) -> int:
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.pid is not None
    return seen.pid


# Launching


async def test_a_launched_vm_runs_as_it_was_booted(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    await driver.launch(uid, idle)
    seen = await driver.inspect(uid)
    assert seen is not None
    assert (seen.state, seen.booted, seen.exit) == ("running", idle.booted, None)
    assert await driver.observe() == [seen]


async def test_launching_again_changes_nothing(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    """R1"""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.launch(uid, idle)
    assert await the_pid(driver, uid) == pid


async def test_two_launches_at_once_start_one_process(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    await asyncio.gather(driver.launch(uid, idle), driver.launch(uid, idle))
    assert len(await driver.observe()) == 1
    assert len(processes.marks(f"volant-{RunDir(run).owner}-", owners={os.geteuid(), 65534})) == 1


async def test_a_vm_is_starting_until_it_runs(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    """Nobody takes a half-made directory for a VM that ended."""
    launching = asyncio.ensure_future(driver.launch(uid, idle))
    seen = set()
    while not launching.done():
        found = await driver.inspect(uid)
        seen.add(found.state if found else None)
        await asyncio.sleep(0)
    await launching
    assert seen <= {None, "starting", "running"}


async def test_a_launch_that_is_cancelled_loses_no_process(
    driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot
) -> None:
    """Q12: at whatever point it is cut off, the process is known, or there is none."""
    for delay_s in (0.0, 0.001, 0.004, 0.01, 0.02):
        launching = asyncio.ensure_future(driver.launch(uid, idle))
        await asyncio.sleep(delay_s)
        launching.cancel()
        await asyncio.wait({launching})
        known = {one.pid for one in await driver.observe() if one.pid is not None}
        marked = processes.marks(f"volant-{RunDir(run).owner}-", owners={os.geteuid(), 65534})
        assert known == set(marked.values())
        await driver.kill(uid)
        await driver.forget(uid)


async def test_a_missing_kernel_is_worth_another_try(driver: QemuHypervisor, uid: Uid, run: Path) -> None:
    with pytest.raises(DriverUnavailable, match="/nowhere/kernel: No such file"):
        await driver.launch(uid, a_boot(uid, Path("/nowhere/kernel")))
    assert await driver.inspect(uid) is None
    assert list(run.iterdir()) == []


async def test_a_boot_that_can_never_work_leaves_nothing(driver: QemuHypervisor, uid: Uid, run: Path) -> None:
    with pytest.raises(DriverRefused):
        await driver.launch(uid, a_boot(uid, None))
    assert list(run.iterdir()) == []


async def test_a_missing_qemu_is_refused_with_what_to_install(run: Path, uid: Uid, idle: Boot) -> None:
    async with a_running_driver(run, qemu="qemu-system-none") as driver:
        with pytest.raises(DriverRefused) as refused:
            await driver.launch(uid, idle)
    assert refused.value.message == "cannot find qemu-system-none: install qemu-system-x86"


async def test_a_symbolic_link_in_the_way_is_refused(
    driver: QemuHypervisor, uid: Uid, idle: Boot, run: Path, tmp_path: Path
) -> None:
    """A16"""
    (tmp_path / "target").mkdir()
    (run / uid).symlink_to(tmp_path / "target")
    with pytest.raises(DriverRefused, match="in the way"):
        await driver.launch(uid, idle)
    assert list((tmp_path / "target").iterdir()) == []


async def test_a_run_directory_may_have_a_long_path(tmp_path: Path, uid: Uid, idle: Boot) -> None:
    """Longer than a socket address could hold."""
    async with a_running_driver(tmp_path / ("d" * 110) / "run") as driver:
        await driver.launch(uid, idle)
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "running"


async def test_a_run_directory_may_have_an_odd_name(tmp_path: Path, uid: Uid, idle: Boot) -> None:
    """B3"""
    async with a_running_driver(tmp_path / "a,b=c d" / "run") as driver:
        await driver.launch(uid, idle)
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "running"


async def test_an_odd_kernel_path_is_opened_as_it_is(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """B3"""
    odd = tmp_path / "a,file=b c"
    odd.mkdir()
    await driver.launch(uid, a_boot(uid, kernel(odd, guests.SHUTS_DOWN)))
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason == "guest_shutdown"


# Ends


@pytest.mark.parametrize(
    ("program", "reason", "code"),
    [
        (guests.SHUTS_DOWN, "guest_shutdown", 0),
        (guests.REBOOTS, "guest_reset", 0),
        (guests.PANICS, "guest_panic", None),
    ],
)
async def test_an_end_has_the_reason_of_the_guest(
    driver: QemuHypervisor, tmp_path: Path, uid: Uid, program: bytes, reason: str, code: int | None
) -> None:
    """P8"""
    boot = a_boot(uid, kernel(tmp_path, program))
    await driver.launch(uid, boot)
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason == reason
    assert code is None or seen.exit.code == code
    assert seen.exit.of == seen.started_at
    assert seen.booted == boot.booted
    assert seen.pid is None


async def test_the_power_button_reaches_the_guest(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """P7"""
    await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.OBEYS_THE_BUTTON)))
    hints = driver.watch()
    end = asyncio.ensure_future(anext(hints))
    while not end.done():  # The guest may not have come to look at its button yet.
        await driver.request_stop(uid)
        await asyncio.wait({end}, timeout=0.2)
    await hints.aclose()
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason == "guest_shutdown"


async def test_a_killed_vm_is_gone_when_kill_returns(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.kill(uid)
    assert processes.stat(pid) is None
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.exit is not None
    assert (seen.state, seen.exit.reason, seen.exit.code) == ("exited", "killed", -signal.SIGKILL)


async def test_an_end_from_outside_is_reported_at_once(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    """L6"""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    hints = driver.watch()
    hint = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(hint, 10) == uid
    await hints.aclose()
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.exit is not None
    assert seen.exit.message == "QEMU was ended by SIGKILL"


async def test_a_qemu_that_was_told_to_end_says_so(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    await driver.launch(uid, idle)
    os.kill(await the_pid(driver, uid), signal.SIGTERM)
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert (seen.exit.reason, seen.exit.message) == ("killed", "QEMU was asked to end (host-signal)")


async def test_a_taken_port_is_a_failed_launch_that_names_it(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        attachment = UserNetwork(first_unprivileged=1024).attachment(uid, ADDRESS, (port,))
        await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.IDLES), attachment=attachment))
        seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.exit is not None
    assert (seen.state, seen.exit.reason, seen.exit.code) == ("exited", "launch_failed", 1)
    assert seen.exit.message == f"cannot publish {ADDRESS}:{port}: the port is taken"


async def test_a_vm_that_holds_its_own_port_is_not_in_its_own_way(
    driver: QemuHypervisor, tmp_path: Path, uid: Uid
) -> None:
    network = UserNetwork(first_unprivileged=1024)
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]
    attachment = network.attachment(uid, ADDRESS, (port,))
    await network.ensure(uid, attachment)
    await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.IDLES), attachment=attachment))
    await network.ensure(uid, attachment)
    with pytest.raises(DriverUnavailable, match="taken"):
        await network.ensure(random_uid(), attachment)


async def test_an_ended_vm_is_told_the_same_way_at_every_look(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    """L7"""
    await driver.launch(uid, idle)
    await driver.kill(uid)
    first = await driver.inspect(uid)
    assert first == await driver.inspect(uid)
    assert [first] == await driver.observe()


async def test_an_ended_vm_may_be_launched_again(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.kill(uid)
    await driver.launch(uid, idle)
    seen = await driver.inspect(uid)
    assert seen is not None
    assert (seen.state, seen.exit) == ("running", None)
    assert seen.pid != pid


async def test_asking_or_killing_the_dead_or_unknown_is_harmless(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    for _ in range(2):
        await driver.request_stop(uid)
        await driver.kill(uid)
        await driver.forget(uid)
    await driver.launch(uid, idle)
    for _ in range(2):
        await driver.kill(uid)
        await driver.request_stop(uid)


async def test_a_living_vm_is_not_forgotten(driver: QemuHypervisor, uid: Uid, idle: Boot, run: Path) -> None:
    await driver.launch(uid, idle)
    with pytest.raises(DriverUnavailable, match="lives as process"):
        await driver.forget(uid)
    await driver.kill(uid)
    await driver.forget(uid)
    assert await driver.inspect(uid) is None
    assert list(run.iterdir()) == []


async def test_a_halted_vm_may_be_running_one_cannot_tell(driver: QemuHypervisor, uid: Uid, idle: Boot) -> None:
    """P12"""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    os.kill(pid, signal.SIGSTOP)
    while not (seen := processes.stat(pid)) or not seen.is_stopped:
        await asyncio.sleep(0)
    found = await driver.inspect(uid)
    assert found is not None
    assert (found.state, found.pid) == ("unknown", pid)
    assert [one.state for one in await driver.observe()] == ["unknown"]
    os.kill(pid, signal.SIGCONT)
    while (found := await driver.inspect(uid)) is None or found.state != "running":
        await asyncio.sleep(0)
    assert found.pid == pid
    os.kill(pid, signal.SIGSTOP)
    await driver.kill(uid)


async def test_a_paused_guest_is_not_running(driver: QemuHypervisor, uid: Uid, idle: Boot, run: Path) -> None:
    """People have a monitor of their own; what they do there is seen."""
    await driver.launch(uid, idle)
    person = connect(run / uid / "monitor.sock")
    assert person is not None
    with person:
        for word, state in (("stop", "unknown"), ("cont", "running")):
            person.sendall(f"{word}\n".encode())
            while (found := await driver.inspect(uid)) is None or found.state != state:
                await asyncio.sleep(0)


# Found again


async def test_another_driver_adopts_the_same_process(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    """P10"""
    await driver.launch(uid, idle)
    before = await driver.inspect(uid)
    await driver.close()
    successor = a_driver(run)
    try:
        assert await successor.observe() == [before]
        await successor.launch(uid, idle)
        assert await successor.inspect(uid) == before
        hints = successor.watch()
        hint = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0)
        os.kill(await the_pid(successor, uid), signal.SIGKILL)
        assert await asyncio.wait_for(hint, 10) == uid
        await hints.aclose()
    finally:
        await successor.close()


async def test_an_adopted_vm_still_tells_why_it_ended(
    tmp_path: Path, driver: QemuHypervisor, run: Path, uid: Uid
) -> None:
    await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.OBEYS_THE_BUTTON)))
    await driver.close()
    successor = a_driver(run)
    await successor.observe()
    while (seen := await successor.inspect(uid)) is not None and seen.state != "exited":
        await successor.request_stop(uid)
        await asyncio.sleep(0.1)
    await successor.close()
    assert seen is not None
    assert seen.exit is not None
    assert seen.exit.reason == "guest_shutdown"


async def test_an_end_while_nobody_looked_is_unknown(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    """P10"""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.close()
    with_handle = os.pidfd_open(pid)
    processes.end(with_handle)
    os.close(with_handle)
    successor = a_driver(run)
    [seen] = await successor.observe()
    assert seen.exit is not None
    assert (seen.state, seen.exit.reason, seen.exit.message) == ("exited", "unknown", "the daemon was down")
    assert seen.booted == idle.booted
    assert [seen] == await successor.observe()
    await successor.close()


async def test_an_end_by_a_restart_of_the_host_says_so(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    """A pid and start time of another boot mean nothing, even if a process has them now."""
    await driver.launch(uid, idle)
    record = run / uid / "instance.json"
    kept = json.loads(record.read_text())
    await driver.kill(uid)
    await driver.forget(uid)
    (run / uid).mkdir()
    kept["identity"]["boot_id"] = "another"
    record.write_text(json.dumps(kept))
    [seen] = await driver.observe()
    assert seen.exit is not None
    assert seen.exit.message == "the host was restarted"


@pytest.mark.parametrize("lost", [["instance.json"], ["instance.json", "boot.json"], ["."]])
async def test_a_process_without_its_record_is_found_by_its_mark(
    driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot, lost: list[str]
) -> None:
    """P11: the daemon died between start and record, or somebody removed the directory."""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.close()
    for name in lost:
        if name == ".":
            (run / uid).rename(run.parent / "elsewhere")
        else:
            (run / uid / name).unlink()
    successor = a_driver(run)
    [seen] = await successor.observe()
    assert (seen.uid, seen.pid) == (uid, pid)
    assert seen.state == ("unknown" if lost == ["."] else "running")
    assert seen.booted == (idle.booted if lost == ["instance.json"] else None)
    assert [seen.started_at] == [one.started_at for one in await successor.observe()]
    await successor.kill(uid)
    assert processes.stat(pid) is None
    await successor.forget(uid)
    assert await successor.observe() == []
    await successor.close()


async def test_one_look_at_a_single_vm_finds_it_too(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    """A driver that has not looked around yet launches no second one."""
    await driver.launch(uid, idle)
    pid = await the_pid(driver, uid)
    await driver.close()
    (run / uid).rename(run.parent / "elsewhere")
    successor = a_driver(run)
    assert await the_pid(successor, uid) == pid
    await successor.launch(uid, idle)
    assert await the_pid(successor, uid) == pid
    await successor.close()


async def test_a_recycled_pid_is_never_touched(driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot) -> None:
    """P9, A18"""
    await driver.launch(uid, idle)
    await driver.kill(uid)
    record = run / uid / "instance.json"
    (run / uid / "exit.json").unlink()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        now = processes.identity(bystander.pid)
        assert now is not None
        kept = json.loads(record.read_text())
        kept["identity"] = {"pid": now.pid, "start_ticks": now.start_ticks, "boot_id": now.boot_id}
        record.write_text(json.dumps(kept))
        successor = a_driver(run)
        [seen] = await successor.observe()
        assert seen.state == "exited"
        await successor.request_stop(uid)
        await successor.kill(uid)
        await successor.forget(uid)
        await successor.close()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_drivers_with_other_run_directories_do_not_see_each_other(
    driver: QemuHypervisor, tmp_path: Path, uid: Uid, idle: Boot
) -> None:
    """P11"""
    await driver.launch(uid, idle)
    other = a_driver(tmp_path / "other")
    assert await other.observe() == []
    await other.kill(uid)
    await other.close()
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.state == "running"


async def test_a_directory_without_a_process_is_no_end_of_a_guest(
    driver: QemuHypervisor, run: Path, uid: Uid, idle: Boot
) -> None:
    """P10: the daemon died after writing boot.json, before it started anything: that is no crash."""
    await driver.launch(uid, idle)
    kept = (run / uid / "boot.json").read_bytes()
    await driver.kill(uid)
    await driver.forget(uid)
    (run / uid).mkdir()
    (run / uid / "boot.json").write_bytes(kept)
    [seen] = await driver.observe()
    assert (seen.state, seen.exit, seen.started_at, seen.booted) == ("exited", None, None, idle.booted)
    await driver.launch(uid, idle)
    assert [one.state for one in await driver.observe()] == ["running"]


async def test_watching_ends_when_the_driver_closes(driver: QemuHypervisor) -> None:
    hints = driver.watch()
    waiting = asyncio.ensure_future(anext(hints, None))
    await asyncio.sleep(0)
    await driver.close()
    assert await asyncio.wait_for(waiting, 10) is None


# Bounds


async def test_a_guest_that_floods_its_console_fills_no_disk(
    driver: QemuHypervisor, tmp_path: Path, run: Path, uid: Uid
) -> None:
    """A15: the file size limit holds without us, QEMU lives through it, and a look makes room again."""
    await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.FLOODS)))
    log = run / uid / "console.log"
    limit = 4 << 20
    async with asyncio.timeout(60):
        while log.stat().st_size < limit:
            await asyncio.sleep(0.05)
    await driver.observe()
    assert (run / uid / "console.log.1").stat().st_size == limit
    assert log.stat().st_size < limit
    async with asyncio.timeout(60):
        while log.stat().st_size == 0:
            await asyncio.sleep(0.05)
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.state == "running"


async def test_starts_are_limited(run: Path, tmp_path: Path) -> None:
    """Many at once come up, and none is lost."""
    image = kernel(tmp_path, guests.IDLES)
    async with a_running_driver(run) as driver:
        uids = [random_uid() for _ in range(6)]
        await asyncio.gather(*(driver.launch(uid, a_boot(uid, image)) for uid in uids))
        assert {one.uid for one in await driver.observe()} == set(uids)
        assert {one.state for one in await driver.observe()} == {"running"}
