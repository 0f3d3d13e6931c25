"""A host with a bridge, guests on it and a world around it, all in the namespace that `in_a_namespace` gives.

    guest ── eth0 ══ tap of its own ◀─ relayed frames ─▶ tap of the VM ── volbr0 ── host ── veth ── world

A guest is a Linux of its own (a network namespace) behind the VM's tap: what it sends passes our tap as frames of a VMM
would. `Guest.put` sends frames that no kernel would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from volant.clock import SystemClock, Uid
from volant.drivers import Attachment, tap
from volant.drivers.bridge import BridgeNetwork, bridge_network
from volant.model.vm import NetworkConfig

BRIDGE = "volbr0"
POOL = "10.127.0.0/22"
GATEWAY = "10.127.0.1"
PUBLIC = "9.9.9.9"
PRIVATE = "192.168.77.2"
VNET_HEADER = bytes(10)
PAGE = "a page"

_ALL_FRAMES = 3


def sh(command: str, *, check: bool = True) -> str:
    """What the command says on both outputs."""
    done = subprocess.run(["sh", "-c", command], stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def a_network(tmp_path: Path, **settings: object) -> BridgeNetwork:
    """The driver of a daemon whose data directory is that."""
    given = {"bridge": BRIDGE, "pool": POOL, "data_dir": tmp_path, "clock": SystemClock()} | settings
    return bridge_network(**given)  # type: ignore[arg-type]


async def attached(network: BridgeNetwork, name: str, address: str | None, **asked: object) -> Attachment:
    """A VM that is on the network."""
    uid = Uid(name)
    attachment = network.attachment(uid, address, (80,), NetworkConfig(**asked))  # type: ignore[arg-type]
    await network.ensure(uid, attachment)
    assert await network.is_attached(uid, attachment)
    return attachment


async def repaired(network: BridgeNetwork, watch: AsyncIterator[Uid | None], attachment: Attachment, uid: str) -> float:
    """Do what the network controller does until the attachment stands again; the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while not await network.is_attached(Uid(uid), attachment):
            told = await anext(watch)
            if told is not None:
                await network.ensure(told, attachment)
    return time.monotonic() - began


class Linux:
    """A network stack: that of a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._server: subprocess.Popen[bytes] | None = None

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a command inside."""
        return sh(f"nsenter --net=/proc/{self.pid}/ns/net sh -c '{command}'", check=check)

    async def reaches(self, address: str, port: int = 80) -> bool:
        """Whether somebody who serves is reached there, soon."""
        return PAGE in await asyncio.to_thread(
            self.sh, f"curl -sg --max-time 0.8 http://{address}:{port}/", check=False
        )

    async def pings(self, address: str) -> bool:
        """Whether an echo comes back, soon."""
        said = await asyncio.to_thread(self.sh, f"busybox ping -c1 -W1 {address}", check=False)
        return "1 packets received" in said

    def serve(self, directory: Path, port: int = 80) -> None:
        """Serve a page to everybody who comes."""
        (directory / "index.html").write_text(PAGE)
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        httpd = ["busybox", "httpd", "-f", "-p", f"[::]:{port}", "-h", str(directory)]
        self._server = subprocess.Popen([*enter, *httpd])
        until = time.monotonic() + 10
        while f":{port:04X} " not in self.sh("cat /proc/net/tcp6"):
            assert time.monotonic() < until
            time.sleep(0.01)

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()


class Namespace(Linux):
    """A network namespace beside ours."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        ours = Path("/proc/self/ns/net").readlink()
        until = time.monotonic() + 10
        while Path(f"/proc/{self._holder.pid}/ns/net").readlink() == ours:
            assert time.monotonic() < until
            time.sleep(0.005)
        super().__init__(self._holder.pid)
        self.sh("ip link set lo up")

    def close(self) -> None:
        """End it."""
        super().close()
        self._holder.kill()
        self._holder.wait()


class Guest(Namespace):
    """A Linux behind the tap of a VM, with the address that the VM was given."""

    def __init__(self, attachment: Attachment) -> None:
        super().__init__()
        self.attachment = attachment
        self.mac = attachment.mac or ""
        self.address = attachment.address or ""
        self._outer = tap.open_tap(attachment.tap or "")
        name = f"g{self.pid}"
        self._inner = tap.new_tap(name)
        sh(f"ip link set {name} netns {self.pid}")
        self.sh(f"ip link set {name} address {self.mac} name eth0 up")
        if attachment.guest_address is not None:
            self.sh(f"ip addr add {attachment.guest_address} dev eth0; ip route add default via {attachment.gateway}")
        if attachment.guest_address6 is not None:
            self.sh(f"ip -6 addr add {attachment.guest_address6} dev eth0 nodad")
            self.sh(f"ip -6 route add default via {attachment.gateway6} dev eth0")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._outer, self._relay, self._outer, self._inner)
        self._loop.add_reader(self._inner, self._relay, self._inner, self._outer)

    def put(self, frame: bytes) -> None:
        """Send a frame as a VMM would."""
        os.write(self._outer, VNET_HEADER + frame)

    def close(self) -> None:
        """Let go of the taps."""
        for descriptor in (self._outer, self._inner):
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        super().close()

    def _relay(self, source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            os.write(target, os.read(source, 1 << 17))


class World(Namespace):
    """What is beyond the host: a public address and a private one. It knows the way to the guests."""

    def __init__(self) -> None:
        super().__init__()
        sh(f"ip link add up0 type veth peer name w0 netns {self.pid}; ip link set up0 up")
        sh("ip addr add 9.9.9.1/24 dev up0; ip addr add 192.168.77.1/24 dev up0")
        self.sh(f"ip addr add {PUBLIC}/24 dev w0; ip addr add {PRIVATE}/24 dev w0; ip link set w0 up")
        self.sh(f"ip route add {POOL} via 9.9.9.1")


class Wire:
    """Everything that comes out of an interface, or goes into it."""

    def __init__(self, interface: str) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_ALL_FRAMES))
        self._socket.bind((interface, 0))

    def frames(self) -> list[bytes]:
        """What has passed since the last time."""
        seen: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(self._socket.recv(1 << 16))
        return seen

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


def mac_bytes(mac: str) -> bytes:
    """`02:..` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(source: str, target: str, kind: int, payload: bytes) -> bytes:
    """A frame."""
    return mac_bytes(target) + mac_bytes(source) + struct.pack("!H", kind) + payload


def arp(*, sender_mac: str, sender: str, target: str, operation: int = 1, source: str | None = None) -> bytes:
    """A frame with an ARP packet; `source` is the frame's own MAC where it differs."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac_bytes(sender_mac) + socket.inet_aton(sender)
    body += bytes(6) + socket.inet_aton(target)
    return ethernet(source or sender_mac, "ff:ff:ff:ff:ff:ff", 0x0806, body)


def udp4(sender: str, target: str, *, source_port: int = 4000, target_port: int = 4001, payload: bytes = b"x") -> bytes:
    """An IPv4 packet."""
    datagram = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0)
    head += socket.inet_aton(sender) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + datagram


def icmp6(sender: str, target: str, kind: int, body: bytes) -> bytes:
    """An IPv6 packet with an ICMPv6 message."""
    source, to = (socket.inet_pton(socket.AF_INET6, address) for address in (sender, target))
    message = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = source + to + struct.pack("!II", len(message), 58)
    message = message[:2] + struct.pack("!H", _sum(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + to + message


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
