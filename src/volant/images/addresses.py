"""Which addresses artifacts may be fetched from.

Manifests come from users, and the daemon sees networks that users do not: its own loopback, the host's neighbours, a
cloud's metadata service. So only public addresses are asked, unless the operator allows more. What is judged is the
address that will be connected to, never a name: a name may answer differently the second time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from volant.errors import ArtifactRefused, ArtifactUnavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port -> addresses as text, in the order to try. Raises OSError."""


async def resolve(host: str, port: int) -> list[str]:
    """The system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach it: what a v4-mapped address says of itself does not count."""
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None:
        return is_public(mapped)
    return address.is_global and not address.is_multicast


def is_allowed(host: str, address: Address, allow: Sequence[str]) -> bool:
    """Whether the operator's list has the host by name, or the address by itself or by its network."""
    for entry in allow:
        if entry.lower() == host.lower():
            return True
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            return True
    return False


async def vet(host: str, port: int, allow: Sequence[str], resolver: Resolver) -> str:
    """One address of `host` to connect to. ArtifactRefused when any of its addresses may not be asked."""
    try:
        found = await resolver(host.rstrip("."), port)
    except OSError:
        raise ArtifactUnavailable(f"cannot find the address of {host}") from None
    if not found:
        raise ArtifactUnavailable(f"cannot find the address of {host}")
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if not is_public(address) and not is_allowed(host, address, allow):
            raise ArtifactRefused(
                f"cannot fetch from {host}: it is not a public address. The operator may allow it (--artifact-allow)."
            )
    return found[0]
