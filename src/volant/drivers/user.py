"""The user network: every VM on a loopback address of its own, nothing on the host changed, no right needed.

    curl http://127.88.0.10:8080 ──▶ listening socket of that VM's QEMU ──▶ guest 10.0.2.15:8080

QEMU does the forwarding (its user network, restricted: the guest reaches nothing but its own clients), so there is
nothing to make and nothing to remove, and what was published vanishes with the process. What is left for this driver
is arithmetic, and to say before a start that a port is taken, and by whom.

Each guest port is published under its own number. Numbers below the host's unprivileged ones cannot be bound by the
QEMU of an ordinary user: they are published 8000 higher (80 becomes 8080, 443 becomes 8443), and if that number is
in use by the same VM, at the next free one.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from volant.clock import Clock, SystemClock, Uid
from volant.drivers import AS_IT_IS, BEAT_S, Attachment, Forward, processes
from volant.errors import DriverUnavailable
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, NetworkMode

POOL = "127.88.0.0/16"
GUEST_ADDRESS = "10.0.2.15/24"
GATEWAY = "10.0.2.2"
LIFT = 8000
"""What is added to a port that only the privileged may bind."""

_MAX_PORT = 65535
_FIRST_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def first_unprivileged_port() -> int:
    """The lowest port that anybody may bind on this host."""
    return int(_FIRST_UNPRIVILEGED.read_text())


def mac_of(uid: Uid) -> str:
    """A stable address in QEMU's range, 52:54:00. Each guest is alone on its network, so a clash harms nobody."""
    tail = hashlib.sha256(uid.encode()).digest()[:3]
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, 0x00, *tail))


def published(ports: tuple[int, ...], first_free: int) -> dict[int, int]:
    """Guest port -> host port, by the rule above. Ports that keep their number are settled before those that move."""
    wanted = dict.fromkeys(ports)
    taken = {port for port in wanted if port >= first_free}
    places: dict[int, int] = {}
    for port in wanted:
        place = port
        if port < first_free:
            place = next(p for p in range(max(port + LIFT, first_free), _MAX_PORT + 1) if p not in taken)
            taken.add(place)
        places[port] = place
    return places


class UserNetwork:
    """The port `Network`, by QEMU's user network. `first_unprivileged` is the host's own when left out."""

    def __init__(self, *, pool: str = POOL, first_unprivileged: int | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._pool = ipaddress.IPv4Network(pool)
        self._first_unprivileged = first_unprivileged_port() if first_unprivileged is None else first_unprivileged

    @property
    def mode(self) -> NetworkMode:
        """`user`."""
        return "user"

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """The loopback addresses that VMs get."""
        return {"user": str(self._pool)}

    @property
    def is_watched(self) -> bool:
        """Nothing is made."""
        return False

    def check(self, asked: NetworkConfig) -> None:
        """Nothing but the guest's own clients can be had here: Misfit for any other egress.

        The name of a bridge is kept for the day that the mode is another, and means nothing here.
        """
        if asked.egress not in (None, "deny"):
            raise Misfit("/egress", "the user network can only 'deny': opened, it leads to the host's own services")
        for at, said in enumerate(asked.publish):
            if said.host_port < self._first_unprivileged:
                message = f"expected {self._first_unprivileged} or more: lower ports are for the privileged"
                raise Misfit(f"/publish/{at}/host_port", message)

    def attachment(
        self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig = AS_IT_IS
    ) -> Attachment:
        """Guest 10.0.2.15 behind `address`; without an address only what is asked for is published. Pure."""
        forwards: tuple[Forward, ...] = ()
        if address is not None:
            places = published(ports, self._first_unprivileged).items()
            forwards = tuple(Forward(host_address=address, host_port=to, guest_port=port) for port, to in places)
        forwards += tuple(
            Forward(host_address=said.host_ip, host_port=said.host_port, guest_port=said.guest_port)
            for said in asked.publish
        )
        return Attachment(
            mode="user",
            address=address,
            guest_address=GUEST_ADDRESS,
            gateway=GATEWAY,
            mac=mac_of(uid),
            forwards=forwards,
        )

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Raise DriverUnavailable if a port is held by anybody but the VM's own VMM. Makes nothing."""
        for forward in attachment.forwards:
            obstacle = _obstacle(forward.host_address, forward.host_port)
            if obstacle is not None:
                await asyncio.to_thread(_refuse, uid, forward, obstacle)

    async def is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        """Always: nothing is made beside the VMM that could be taken away."""
        return True

    async def watch(self) -> AsyncGenerator[Uid | None, None]:
        """Signs of life only: there is nothing that anybody could change."""
        while True:
            yield None
            await self._clock.sleep(BEAT_S)

    async def ensure_absent(self, uid: Uid) -> None:
        """Nothing was made: the ports are the VMM's own and go with it."""

    async def observe(self) -> list[Uid]:
        """Nothing is ever made for anybody."""
        return []

    async def close(self) -> None:
        """Nothing is held."""


def _obstacle(address: str, port: int) -> OSError | None:
    """What would keep QEMU from listening there now. Asked as QEMU asks: TIME_WAIT is no obstacle."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # Two sockets that both allow reuse may be bound to one port: only listening tells.
            probe.listen(1)
        except OSError as error:
            return error
    return None


def _refuse(uid: Uid, forward: Forward, obstacle: OSError) -> None:
    where = f"{forward.host_address}:{forward.host_port}"
    if obstacle.errno != errno.EADDRINUSE:
        raise DriverUnavailable(f"cannot publish {where}: {obstacle.strerror}")
    held_by = processes.listener(forward.host_address, forward.host_port)
    if held_by is not None and processes.carries(held_by[0], f"-{uid}"):
        return
    who = f" by {held_by[1]} (pid {held_by[0]})" if held_by else ""
    raise DriverUnavailable(f"cannot publish {where}: the port is taken{who}")
