"""Which addresses artifacts may be fetched from.

Manifests come from users, and the daemon sees networks that users do not: its own loopback, the host's neighbours, a
cloud's metadata service. So only public addresses are asked, unless the operator allows more. What is judged is the
address that will be connected to, never a name: a name may answer differently the second time.

Deliberately absent: caching of answers, and reading odd spellings of addresses (`127.1`, `0x7f.1`): the resolver turns
every spelling into an address, and the address is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from volant.errors import ArtifactRefused, ArtifactUnavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port -> addresses as text, in the order to try. Raises OSError."""

# Written out, because what `ipaddress` calls global moves with its version (site-local and IPv4-compatible IPv6
# addresses pass there). From the IANA special-purpose registries.
_NOT_PUBLIC_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
# 2001::/23 has Teredo in it, 2002::/16 is 6to4: both carry an IPv4 address that somebody else would connect to.
_NOT_PUBLIC_V6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


async def resolve(host: str, port: int) -> list[str]:
    """The system's resolver, in a thread of its own.

    A look-up may hang for longer than anybody wants to wait, and a thread of the loop's pool would be waited for at the
    end of the daemon, and be missing to everybody else until then.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str] | None, error: OSError | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def look_up() -> None:
        found, failure = None, None
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = OSError("not a host name")
        with contextlib.suppress(RuntimeError):  # because the loop may be closed by now
            loop.call_soon_threadsafe(tell, found, failure)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    return await answer


def parse(text: str) -> Address:
    """The address itself: an IPv4 address in IPv6 clothes (`::ffff:127.0.0.1`) is the IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_public(address: Address) -> bool:
    """Whether it is one of the addresses that anybody on the internet reaches alike."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def is_allowed(host: str, address: Address, allow: Sequence[str]) -> bool:
    """Whether the operator's list has the host by name, or the address by itself or by its network."""
    for entry in allow:
        if entry.rstrip(".").lower() == host.rstrip(".").lower():
            return True
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue  # the name of another host
        if address.version == network.version and address in network:
            return True
    return False


async def vet(host: str, port: int, allow: Sequence[str], resolver: Resolver) -> list[str]:
    """The addresses of `host`, in the order to try; connect to one of them and to no other.

    Raises ArtifactRefused when any of them may not be asked: a name that answers with a public address and a private
    one is an attempt, not an oversight. Raises ArtifactUnavailable when there is none.
    """
    try:
        found = await resolver(host, port)
        addresses = [parse(text) for text in found]
    except (OSError, ValueError):  # ValueError: a name that cannot be encoded for the resolver
        found, addresses = [], []
    if not found:
        raise ArtifactUnavailable(f"cannot find the address of {host}")
    if not all(is_public(address) or is_allowed(host, address, allow) for address in addresses):
        raise ArtifactRefused(
            f"cannot fetch from {host}: it is not a public address. The operator may allow it (--artifact-allow)."
        )
    return found
