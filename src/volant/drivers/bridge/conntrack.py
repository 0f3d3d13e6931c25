"""Connections of a guest that is gone: forgotten, so that the next one with its address does not inherit them.

The kernel keeps an entry for each connection and lets its packets pass as replies. One message asks it to drop all of
those that begin or end at an address (Linux 5.8 and later). Where that cannot be, they end by themselves: idle ones of
TCP after five days, of UDP after minutes, and the guest that gets the address next does not know them and resets them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

_NETLINK_NETFILTER = 12
_CT_DELETE = 1 << 8 | 2
_REQUEST, _ACK = 1, 4
_NESTED = 0x8000
_ANSWER_S = 5.0

_CTA_TUPLE = {"orig": 1, "reply": 2}
_CTA_TUPLE_IP = 1
_CTA_IP_V4_SRC = 1
_CTA_FILTER = 25
_CTA_FILTER_FLAGS = {"orig": 1, "reply": 2}
_SOURCE = 1 << 0


def forget_connections(address: str) -> None:
    """Drop what began at that IPv4 address, and what was answered from it. Never raises: nothing hangs on it."""
    for direction in ("orig", "reply"):
        with contextlib.suppress(OSError):
            _delete(address, direction)


def _delete(address: str, direction: str) -> None:
    source = _attribute(_CTA_IP_V4_SRC, ipaddress.IPv4Address(address).packed)
    tuple_ = _attribute(_CTA_TUPLE[direction] | _NESTED, _attribute(_CTA_TUPLE_IP | _NESTED, source))
    flags = {"orig": 0, "reply": 0} | {direction: _SOURCE}
    chosen = b"".join(_attribute(_CTA_FILTER_FLAGS[one], struct.pack("=I", flags[one])) for one in flags)
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + tuple_ + _attribute(_CTA_FILTER | _NESTED, chosen)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as telling:
        telling.settimeout(_ANSWER_S)
        telling.send(struct.pack("=IHHII", 16 + len(body), _CT_DELETE, _REQUEST | _ACK, 1, 0) + body)
        telling.recv(1 << 12)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding
