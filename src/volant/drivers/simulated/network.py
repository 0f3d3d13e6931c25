"""The Network port to a simulated host: what was made is written down there, and nothing is made."""

from __future__ import annotations

from ipaddress import IPv4Address

from volant.clock import Clock, Uid
from volant.drivers import Attachment, Forward
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverUnavailable
from volant.model.vm import NetworkMode

POOL = "127.88.0.0/16"


class SimulatedNetwork:
    """Looks to users as the `user` network does: a loopback address each, the guest's ports published on it."""

    def __init__(self, host: SimulatedHost, clock: Clock, pool: str = POOL) -> None:
        self._host = host
        self._clock = clock
        self._pool = pool

    @property
    def mode(self) -> NetworkMode:
        """As the network it stands for."""
        return "user"

    @property
    def pool(self) -> str:
        """Loopback addresses, which nobody outside this host can reach."""
        return self._pool

    def attachment(self, uid: Uid, address: str | None, ports: tuple[int, ...]) -> Attachment:
        """Every port on the VM's own address, under its own number."""
        if address is None:
            return Attachment(mode="user")
        return Attachment(
            mode="user",
            address=address,
            guest_address="10.0.2.15/24",
            gateway="10.0.2.2",
            mac="52:54:" + IPv4Address(address).packed.hex(":"),
            forwards=tuple(Forward(host_address=address, host_port=port, guest_port=port) for port in ports),
        )

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Written down. Raises DriverUnavailable while the host has a network fault."""
        self._host.note("network.ensure", uid)
        if self._host.attach_s > 0:
            await self._clock.sleep(self._host.attach_s)
        if self._host.network_fault is not None:
            raise DriverUnavailable(f"cannot attach the guest: {self._host.network_fault}")
        self._host.networks[uid] = attachment

    async def ensure_absent(self, uid: Uid) -> None:
        """Crossed out. Raises DriverUnavailable while the host has a network fault."""
        self._host.note("network.ensure_absent", uid)
        if self._host.network_fault is not None:
            raise DriverUnavailable(f"cannot detach the guest: {self._host.network_fault}")
        self._host.networks.pop(uid, None)

    async def observe(self) -> list[Uid]:
        """Those written down."""
        return list(self._host.networks)

    async def close(self) -> None:
        """Nothing to let go of."""
