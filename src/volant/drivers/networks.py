"""Several networks as one: a VM is on the one that has its mode.

attachment.mode ──▶ user, bridge, dhcp          what is asked of all (observe, watch, close) is asked of each
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from volant.clock import Uid
from volant.drivers import AS_IT_IS, Attachment, Network
from volant.errors import DriverRefused
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, NetworkMode


class Networks:
    """The port `Network`, by others. The mode of a VM that asks for none is that of the first."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._by_mode = {mode: network for network in networks for mode in network.pools}

    @property
    def mode(self) -> NetworkMode:
        """What a VM gets that does not ask for a mode."""
        return self._networks[0].mode

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """Those of all."""
        return {mode: pool for network in self._networks for mode, pool in network.pools.items()}

    @property
    def is_watched(self) -> bool:
        """Whether one of them is."""
        return any(network.is_watched for network in self._networks)

    def check(self, asked: NetworkConfig) -> None:
        """As the one with that mode says. Misfit for a mode that none has."""
        mode = asked.mode or self.mode
        if mode == "none":
            _check_alone(asked)
            return
        network = self._by_mode.get(mode)
        if network is None:
            has = ", ".join(f"'{mode}'" for mode in sorted(self._by_mode))
            start = "--network bridge" + (" --bridge-allow NAME" if mode == "dhcp" else "")
            message = f"this daemon has the network mode {has} (or 'none'); leave it out to get '{self.mode}'"
            raise Misfit("/mode", message if mode == "user" else f"{message}, or start the daemon with {start}")
        network.check(asked)

    def attachment(
        self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig = AS_IT_IS
    ) -> Attachment:
        """As the one with that mode says. Pure."""
        return self._of(asked.mode or self.mode).attachment(uid, address, ports, asked)

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Made by the one with that mode; what another has made for the VM, before it changed its mode, goes."""
        mine = self._of(attachment.mode)
        for network in self._networks:
            if network is not mine:
                await network.ensure_absent(uid)
        await mine.ensure(uid, attachment)

    async def is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        """As the one with that mode says."""
        return await self._of(attachment.mode).is_attached(uid, attachment)

    async def ensure_absent(self, uid: Uid) -> None:
        """Removed by each."""
        for network in self._networks:
            await network.ensure_absent(uid)

    async def observe(self) -> list[Uid]:
        """What each sees."""
        return [uid for network in self._networks for uid in await network.observe()]

    async def watch(self) -> AsyncGenerator[Uid | None, None]:
        """What the one that is watched says; of those that are not there is nothing to hear."""
        watched = next((network for network in self._networks if network.is_watched), self._networks[0])
        async for uid in watched.watch():
            yield uid

    async def close(self) -> None:
        """Each, whatever the others say."""
        async with contextlib.AsyncExitStack() as stack:
            for network in self._networks:
                stack.push_async_callback(network.close)

    def _of(self, mode: NetworkMode) -> Network:
        network = self._by_mode.get(mode)
        if network is None:
            raise DriverRefused(f"cannot attach a VM to a network of mode '{mode}': this daemon has none")
        return network


def _check_alone(asked: NetworkConfig) -> None:
    if asked.publish:
        raise Misfit("/publish", "a VM without a network has nothing to publish")
    if asked.egress not in (None, "deny"):
        raise Misfit("/egress", "a VM without a network reaches nothing")
