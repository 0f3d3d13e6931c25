"""Linux guests on real QEMU: booted, answering, leaving when asked, outliving their daemon."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.builders.qemu_guests import ROOT, a_boot, a_hello_boot, a_running_driver, ended, hello_kernel

from volant.clock import Uid, random_uid
from volant.drivers import Attachment
from volant.drivers.qemu import QemuHypervisor
from volant.drivers.user import UserNetwork

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BOOT_S = 90.0
_HOSTS = itertools.count(os.getpid() % 200)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(tmp_path / "run") as made:
        yield made


def an_attachment(uid: Uid) -> Attachment:
    """An address and port that no other test is using."""
    address = f"127.88.254.{next(_HOSTS) % 250 + 1}"
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    published = UserNetwork(first_unprivileged=1024).attachment(uid, address, (8080,))
    [forward] = published.forwards
    return Attachment(
        mode="user",
        address=address,
        guest_address=published.guest_address,
        gateway=published.gateway,
        mac=published.mac,
        forwards=(type(forward)(host_address=address, host_port=port, guest_port=8080),),
    )


async def a_page(attachment: Attachment) -> str:
    """What the guest serves, as soon as it does."""
    [forward] = attachment.forwards
    async with asyncio.timeout(BOOT_S):
        while True:
            # Short attempts, because QEMU accepts for a guest that is not there yet and repeats its own only slowly.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.5):
                    page = await _get(forward.host_address, forward.host_port)
                if page:
                    return page
            await asyncio.sleep(0.05)


async def _get(address: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_guest_serves_its_page_and_leaves_when_asked(driver: QemuHypervisor, tmp_path: Path) -> None:
    """P7: by the line on its agent port, or its power button; nothing of it is left."""
    uid = random_uid()
    attachment = an_attachment(uid)
    await driver.launch(uid, a_hello_boot(uid, attachment, name="hello-1"))
    page = await a_page(attachment)
    assert "hello-1" in page
    assert str(attachment.address) in page
    await driver.request_stop(uid)
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert (seen.exit.reason, seen.exit.code) == ("guest_shutdown", 0)
    assert "volant: ready" in (tmp_path / "run" / uid / "console.log").read_text()
    await driver.forget(uid)
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_guest_that_is_asked_while_it_boots_leaves_when_it_has_booted(driver: QemuHypervisor) -> None:
    """P7: the line waits on the agent port until somebody reads it."""
    uid = random_uid()
    attachment = an_attachment(uid)
    await driver.launch(uid, a_hello_boot(uid, attachment))
    await driver.request_stop(uid)
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason == "guest_shutdown"


async def test_a_linux_that_panics_is_not_taken_for_one_that_shut_down(driver: QemuHypervisor) -> None:
    """P8: without an initramfs it finds no root file system, long before it could load a driver for pvpanic."""
    uid = random_uid()
    await driver.launch(uid, a_boot(uid, hello_kernel(), cmdline="panic=-1 quiet", memory_mb=128))
    seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason in {"guest_reset", "guest_panic"}


async def test_two_guests_have_two_addresses_with_the_same_port(driver: QemuHypervisor) -> None:
    uids = [random_uid(), random_uid()]
    attachments = [an_attachment(uid) for uid in uids]
    for number, (uid, attachment) in enumerate(zip(uids, attachments, strict=True)):
        await driver.launch(uid, a_hello_boot(uid, attachment, name=f"hello-{number}"))
    pages = [await a_page(attachment) for attachment in attachments]
    assert ["hello-0" in pages[0], "hello-1" in pages[1]] == [True, True]


DAEMON = """
import asyncio, sys
from pathlib import Path
import msgspec
from tests.builders.qemu_guests import a_driver, a_hello_boot
from volant.clock import Uid
from volant.drivers import Attachment

async def main():
    uid = Uid(sys.argv[2])
    driver = a_driver(Path(sys.argv[1]))
    await driver.launch(uid, a_hello_boot(uid, msgspec.json.decode(sys.argv[3], type=Attachment)))
    print((await driver.inspect(uid)).pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_guest_outlives_its_daemon_and_is_adopted(tmp_path: Path) -> None:
    """A17, P10: the same process, running on; and its end is seen by the daemon that adopted it."""
    uid = random_uid()
    attachment = an_attachment(uid)
    run = tmp_path / "run"
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(run), uid, msgspec.json.encode(attachment).decode()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert daemon.stdout is not None
    try:
        pid = int(await asyncio.to_thread(daemon.stdout.readline))
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
        async with a_running_driver(run) as successor:
            [seen] = await successor.observe()
            assert (seen.uid, seen.pid, seen.state) == (uid, pid, "running")
            assert "web-1" in await a_page(attachment)
            await successor.request_stop(uid)
            seen = await ended(successor, uid)
            assert seen.exit is not None
            assert (seen.exit.reason, seen.exit.code) == ("guest_shutdown", None)
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
