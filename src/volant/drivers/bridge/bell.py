"""It rings when somebody changes links, addresses or rules in this network namespace.

    kernel ──netlink groups──▶ two sockets ──readable──▶ Bell ──▶ names of links; `rules` for a commit; or everything

What rang says where to look and nothing more: messages are not read beyond the name of a link. When more came than the
kernel could keep for us, everything has to be looked at. No task and no thread, only readers of the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator

from volant.errors import DriverUnavailable

RULES = "rules"
EVERYTHING = "everything"
"""Neither is the name of a link: those have no more than 15 characters and ours begin with `vt`."""

_GROUPS = ((0, (1, 5, 9)), (12, (7,)))
"""Protocol and groups: rtnetlink with LINK, IPV4_IFADDR, IPV6_IFADDR; netfilter with NFTABLES."""
_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
_BUFFER_BYTES = 1 << 20
_MAX_READS = 256

_HEADER = struct.Struct("=IHHII")
_NEWLINK, _DELLINK = 16, 17
_IFINFO_BYTES = 16
_IFLA_IFNAME = 3


class Bell:
    """Rings by `on_ring(where)` from when it is made until `close`. Needs a running loop. Raises DriverUnavailable."""

    def __init__(self, on_ring: Callable[[str], None]) -> None:
        self._on_ring = on_ring
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        try:
            for protocol, groups in _GROUPS:
                self._sockets.append(_listening(protocol, groups))
        except OSError as error:
            self.close()
            raise DriverUnavailable(f"cannot hear of changes to the network: {error.strerror}") from error
        for listening, (protocol, _) in zip(self._sockets, _GROUPS, strict=True):
            self._loop.add_reader(listening, self._hear, listening, protocol)

    def close(self) -> None:
        """Ring no more."""
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _hear(self, listening: socket.socket, protocol: int) -> None:
        where: dict[str, None] = {}
        for _ in range(_MAX_READS):
            try:
                data = listening.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                where[EVERYTHING] = None
                continue
            where.update(dict.fromkeys(_links(data) if protocol == 0 else (RULES,)))
        for one in where:
            self._on_ring(one)


def _listening(protocol: int, groups: tuple[int, ...]) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    made = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        made.bind((0, 0))
        for group in groups:
            made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        made.close()
        raise
    return made


def _links(data: bytes) -> Iterator[str]:
    """The links that a datagram of rtnetlink is about; everything for a message that is about no link."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            return
        body = data[at + _HEADER.size : at + size]
        yield _name(body[_IFINFO_BYTES:]) if kind in (_NEWLINK, _DELLINK) else EVERYTHING
        at += size + 3 & ~3


def _name(attributes: bytes) -> str:
    at = 0
    while at + 4 <= len(attributes):
        size, kind = struct.unpack_from("=HH", attributes, at)
        if kind == _IFLA_IFNAME:
            return attributes[at + 4 : at + size].rstrip(b"\0").decode(errors="replace")
        at += max(4, size + 3 & ~3)
    return EVERYTHING
