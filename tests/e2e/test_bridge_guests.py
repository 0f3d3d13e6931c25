"""Real guests on a real bridge, in a namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.bridge_world import GATEWAY, PRIVATE, PUBLIC, Linux, World, a_network, attached, sh
from tests.builders.netns import in_a_namespace
from tests.builders.qemu_guests import HELLO, a_hello_boot, a_running_driver

from volant.clock import Uid
from volant.drivers import Attachment
from volant.drivers.qemu import QemuHypervisor
from volant.model.vm import Publish

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(180)]

PORT = 80
BOOT_S = 60.0
REPAIRED_S = 1.0


async def a_page(address: str, port: int = PORT, within_s: float = BOOT_S) -> str:
    """What the guest serves, as soon as it does."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.5):
                    page = await _get(address, port)
                if page:
                    return page
            await asyncio.sleep(0.02)


async def _get(address: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def a_guest(driver: QemuHypervisor, tmp_path: Path, attachment: Attachment, name: str) -> AsyncIterator[int]:
    """The demo's guest; its pid."""
    await driver.launch(Uid(name), a_hello_boot(Uid(name), attachment, name=name))
    seen = await driver.inspect(Uid(name))
    assert seen is not None
    assert seen.pid is not None, (tmp_path / "run" / name / "vmm.log").read_text()
    yield seen.pid


ASKS = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 "${QUERY_STRING%:*}" "${QUERY_STRING##*:}" || echo nothing
"""


def an_asking_initramfs(directory: Path) -> Path:
    """The demo's, with a page that fetches another page from inside the guest: /cgi-bin/ask?HOST:PORT."""
    script = directory / "tree" / "www" / "cgi-bin" / "ask"
    script.parent.mkdir(parents=True)
    script.write_text(ASKS)
    script.chmod(0o755)
    more = sh(f"cd {directory}/tree && find www | busybox cpio -o -H newc > ../more 2>/dev/null; echo ok")
    assert more == "ok\n"
    first = (HELLO / "initramfs.gz").read_bytes()
    path = directory / "asking.cpio"
    path.write_bytes(first + bytes(-len(first) % 4) + (directory / "more").read_bytes())
    path.chmod(0o644)
    return path


async def seen_from(guest: str, place: str) -> bool:
    """Whether the guest gets a page from there."""
    answer = await asyncio.to_thread(sh, f"curl -sg --max-time 5 'http://{guest}/cgi-bin/ask?{place}'")
    assert answer, "the guest itself does not answer"
    return "200 OK" in answer


@in_a_namespace
async def test_from_inside_a_guest_its_policy_is_what_it_says(tmp_path: Path) -> None:
    """F1, F2, from real guests: the world, a LAN, the host, each other."""
    tmp_path.chmod(0o755)
    network, world, host = a_network(tmp_path), World(), Linux(os.getpid())
    initramfs = an_asking_initramfs(tmp_path)
    world.serve(tmp_path)
    host.serve(tmp_path, 81)
    policies = {"deny": "10.127.0.5", "public": "10.127.0.6", "all": "10.127.0.7"}
    try:
        async with a_running_driver(tmp_path / "run") as driver:
            for egress, address in policies.items():
                attachment = await attached(network, egress, address, egress=egress)
                boot = a_hello_boot(Uid(egress), attachment, name=egress)
                await driver.launch(Uid(egress), replace(boot, initramfs=initramfs))
            for egress, address in policies.items():
                assert egress in await a_page(address)
            places = {
                "world": f"{PUBLIC}:80",
                "lan": f"{PRIVATE}:80",
                "host": f"{GATEWAY}:81",
                "host's": "9.9.9.1:81",
                "peer": "10.127.0.5:80",
            }
            seen = {
                egress: [name for name, place in places.items() if await seen_from(address, place)]
                for egress, address in policies.items()
            }
            assert seen == {"deny": ["peer"], "public": ["world"], "all": ["world", "lan", "peer"]}, seen
    finally:
        for one in (world, host):
            one.close()
        await network.close()


@in_a_namespace
async def test_a_guest_is_reached_and_keeps_running_when_its_tap_is_deleted(tmp_path: Path) -> None:
    """By its address and by its published port; after the repair the same process answers at the same address."""
    network = a_network(tmp_path)
    async with a_running_driver(tmp_path / "run") as driver:
        publish = (Publish(guest_port=PORT, host_port=9090),)
        attachment = await attached(network, "web-1", "10.127.0.5", publish=publish)
        async with a_guest(driver, tmp_path, attachment, "web-1") as pid:
            assert "web-1" in await a_page("10.127.0.5")
            assert "web-1" in await a_page("127.0.0.1", 9090)
            await driver.reattach(Uid("web-1"), attachment)
            for what in (f"ip link del {attachment.tap}", "ip link del volbr0", "nft flush ruleset"):
                sh(what)
                began = time.monotonic()
                assert not await network.is_attached(Uid("web-1"), attachment)
                await network.ensure(Uid("web-1"), attachment)
                await driver.reattach(Uid("web-1"), attachment)
                assert "web-1" in await a_page("10.127.0.5", within_s=10)
                print(what, f"{time.monotonic() - began:.3f} s")
            seen = await driver.inspect(Uid("web-1"))
            assert seen is not None
            assert (seen.state, seen.pid) == ("running", pid)
            assert "web-1" in await a_page("127.0.0.1", 9090)
    await network.ensure_absent(Uid("web-1"))
    await network.close()


LEASES = """start 192.168.9.50
end 192.168.9.50
interface br9
option subnet 255.255.255.0
option router 192.168.9.1
lease_file {directory}/leases
pidfile {directory}/udhcpd.pid
"""


@in_a_namespace
async def test_on_a_bridge_of_another_a_guest_gets_its_address_from_there(tmp_path: Path) -> None:
    """Mode dhcp: the LAN's server gives it one, and its page is at it. The bridge itself stays as it was."""
    tmp_path.chmod(0o755)
    sh("ip link add br9 type bridge; ip addr add 192.168.9.1/24 dev br9; ip link set br9 up")
    (tmp_path / "leases").touch()
    (tmp_path / "udhcpd.conf").write_text(LEASES.format(directory=tmp_path))
    server = subprocess.Popen(
        ["busybox", "udhcpd", "-f", str(tmp_path / "udhcpd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    network = a_network(tmp_path, allow=("br9",))
    try:
        async with a_running_driver(tmp_path / "run") as driver:
            attachment = await attached(network, "lan-1", None, mode="dhcp")
            await driver.launch(Uid("lan-1"), a_hello_boot(Uid("lan-1"), attachment, name="lan-1"))
            assert "lan-1" in await a_page("192.168.9.50", 8080)
    finally:
        server.kill()
        server.wait()
        await network.close()
    assert "192.168.9.1/24" in sh("ip -br addr show br9")
