"""Links and their addresses, by rtnetlink: the only place that knows pyroute2.

A link is asked for by name (less than a millisecond) and found as it is; whoever changes it has compared first. All
methods raise DriverUnavailable, whatever the kernel said.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any

from msgspec import Struct
from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from volant.errors import DriverUnavailable

_UP = 1
_LOWER_UP = 1 << 16


class Link(Struct, frozen=True, kw_only=True):
    """One interface. `kind`: bridge, tun (taps are), ...; `has_carrier`: of a tap, that somebody holds it."""

    index: int
    name: str
    kind: str | None
    alias: str | None
    mac: str
    mtu: int
    group: int
    master: int | None
    is_up: bool
    has_carrier: bool
    is_isolated: bool


class Links:
    """One socket, opened when first needed, for one caller at a time."""

    def __init__(self) -> None:
        self._socket: Any = None

    async def find(self, name: str) -> Link | None:
        """The link of that name."""
        async with self._asking(f"look at {name}") as ipr:
            try:
                found = await ipr.link("get", ifname=name)
            except NetlinkError as error:
                if error.code == errno.ENODEV:
                    return None
                raise
            return _link(found[0])

    async def all(self) -> list[Link]:
        """Every link. Half a millisecond each: not for every turn."""
        async with self._asking("list the interfaces") as ipr:
            return [_link(message) async for message in await ipr.link("dump")]

    async def addresses(self, link: Link) -> list[str]:
        """The addresses of a link, with their prefix lengths."""
        async with self._asking(f"look at the addresses of {link.name}") as ipr:
            # The kernel gives those of all links when it is not strict: hence the comparison.
            return [
                f"{message.get('address')}/{message.get('prefixlen')}"
                async for message in await ipr.addr("dump", index=link.index)
                if message.get("index") == link.index
            ]

    async def every_address(self) -> list[tuple[int, str]]:
        """The addresses of all links, with prefix lengths, each with the index of its link."""
        async with self._asking("list the addresses") as ipr:
            return [
                (message["index"], f"{message.get('address')}/{message.get('prefixlen')}")
                async for message in await ipr.addr("dump")
            ]

    async def add_bridge(self, name: str, mac: str) -> None:
        """Make a bridge, down, with that MAC from its birth on."""
        async with self._asking(f"make the bridge {name}") as ipr:
            await ipr.link("add", ifname=name, kind="bridge", address=mac, br_stp_state=0)

    async def change(self, link: Link, **values: Any) -> None:
        """Set `state`, `mtu`, `master`, `ifalias`, `group`."""
        async with self._asking(f"change {link.name}") as ipr:
            await ipr.link("set", index=link.index, **values)

    async def isolate(self, link: Link) -> None:
        """Let a port of a bridge reach no other isolated port."""
        async with self._asking(f"isolate {link.name}") as ipr:
            await ipr.brport("set", index=link.index, isolated=1)

    async def remove(self, link: Link) -> None:
        """Delete it. Harmless when it is gone."""
        async with self._asking(f"delete {link.name}") as ipr:
            try:
                await ipr.link("del", index=link.index)
            except NetlinkError as error:
                if error.code != errno.ENODEV:
                    raise

    async def add_address(self, link: Link, address: str) -> None:
        """Give a link an address (with prefix length). Harmless when it has it."""
        async with self._asking(f"give {link.name} the address {address}") as ipr:
            try:
                await ipr.addr("add", index=link.index, address=address)
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise

    async def remove_address(self, link: Link, address: str) -> None:
        """Take an address away."""
        async with self._asking(f"take {address} from {link.name}") as ipr:
            await ipr.addr("del", index=link.index, address=address)

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            closing, self._socket = self._socket, None
            await closing.__aexit__(None, None, None)

    @contextlib.asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[Any]:
        try:
            if self._socket is None:
                self._socket = await AsyncIPRoute().__aenter__()
            yield self._socket
        except NetlinkError as error:
            raise DriverUnavailable(f"cannot {what}: {error.args[-1]}") from error
        except OSError as error:
            raise DriverUnavailable(f"cannot {what}: {error.strerror or error}") from error


def _link(message: Any) -> Link:
    flags = message["flags"]
    return Link(
        index=message["index"],
        name=message.get("ifname"),
        kind=message.get(("linkinfo", "kind")),
        alias=message.get("ifalias"),
        mac=message.get("address") or "",
        mtu=message.get("mtu") or 0,
        group=message.get("group") or 0,
        master=message.get("master"),
        is_up=bool(flags & _UP),
        has_carrier=bool(flags & _LOWER_UP),
        is_isolated=bool(message.get(("linkinfo", "slave_data", "isolated"))),
    )
