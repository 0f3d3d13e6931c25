"""The Network port to a simulated host: what was made is written down there, and nothing is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from ipaddress import IPv4Address

from volant.clock import Clock, Uid
from volant.drivers import AS_IT_IS, BEAT_S, Attachment, Forward
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverUnavailable
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, NetworkMode

POOL = "127.88.0.0/16"


class SimulatedNetwork:
    """Looks to users as the `user` network does: a loopback address each, the guest's ports published on it."""

    def __init__(self, host: SimulatedHost, clock: Clock, pool: str = POOL, *, is_watched: bool = False) -> None:
        self._is_watched = is_watched
        self._host = host
        self._clock = clock
        self._pool = pool

    @property
    def mode(self) -> NetworkMode:
        """As the network it stands for."""
        return "user"

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """Loopback addresses, which nobody outside this host can reach."""
        return {"user": self._pool}

    @property
    def is_watched(self) -> bool:
        """As asked for."""
        return self._is_watched

    def check(self, asked: NetworkConfig) -> None:
        """As the user network: it denies guests everything."""
        if asked.egress not in (None, "deny"):
            raise Misfit("/egress", "the user network can only 'deny'")

    def attachment(
        self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig = AS_IT_IS
    ) -> Attachment:
        """Every port on the VM's own address, under its own number, and what is asked to be published."""
        if address is None:
            return Attachment(mode="user")
        return Attachment(
            mode="user",
            address=address,
            guest_address="10.0.2.15/24",
            gateway="10.0.2.2",
            mac="52:54:" + IPv4Address(address).packed.hex(":"),
            forwards=(
                *(Forward(host_address=address, host_port=port, guest_port=port) for port in ports),
                *(
                    Forward(host_address=said.host_ip, host_port=said.host_port, guest_port=said.guest_port)
                    for said in asked.publish
                ),
            ),
        )

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Written down. Raises DriverUnavailable while the host has a network fault."""
        self._host.note("network.ensure", uid)
        if self._host.attach_s > 0:
            await self._clock.sleep(self._host.attach_s)
        if self._host.network_fault is not None:
            raise DriverUnavailable(f"cannot attach the guest: {self._host.network_fault}")
        self._host.networks[uid] = attachment

    async def is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        """Whether it is written down so."""
        return self._host.networks.get(uid) == attachment

    async def watch(self) -> AsyncGenerator[Uid | None, None]:
        """Signs of life; what somebody crosses out is found by the next resync."""
        while True:
            yield None
            await self._clock.sleep(BEAT_S)

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
