"""Telling nft, asking nft, and knowing whether anything has changed since.

    generation ──same──▶ what was seen last still holds
        └──another──▶ nft -j list table

The kernel counts every commit of rules in its network namespace; asking for the count costs microseconds, listing
thousands of rules a tenth of a second. A change of our own that is the only one since is not listed either: what
comes of it is known. Whatever else happens is found by looking.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import socket
import struct
from typing import Any

from volant.drivers.bridge import table
from volant.drivers.bridge.table import Command, Seen
from volant.errors import DriverUnavailable

NFT = "nft"
PACKAGE = "nftables"
ANSWER_S = 30.0
FAMILIES = ("bridge", "inet")

_ABSENT = "No such file or directory"

_NETLINK_NETFILTER = 12
_GETGEN = 10 << 8 | 16
_REQUEST = 1
_NFTA_GEN_ID = 1
_HEADER = struct.Struct("=IHHII")
_GENMSG = struct.pack("=BBH", 0, 0, 0)


class Rules:
    """Our tables in this network namespace. Not for two callers at once: whoever holds it has a lock around it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen = Seen()
        self._generation: int | None = None
        self._has_news = False

    async def look(self) -> Seen:
        """What there is now."""
        generation = await asyncio.to_thread(_generation)
        if generation != self._generation:
            entries = [entry for family in FAMILIES for entry in await _listed(family, self.name)]
            self._seen = table.parse(entries, self.name)
            self._has_news = True
            # The count of before: a commit that came in between is looked at next time.
            self._generation = generation
        return self._seen

    async def commit(self, commands: list[Command]) -> None:
        """Carry them out, all or none, in one transaction. Raises DriverUnavailable with what nft says."""
        if not commands:
            return
        before = await self.look()
        generation = self._generation
        document = {"nftables": [{"metainfo": {"json_schema_version": 1}}, *commands]}
        try:
            await _run(["-j", "-f", "-"], json.dumps(document).encode())
        except BaseException:
            self._generation = None
            raise
        now = await asyncio.to_thread(_generation)
        is_ours = generation is not None and now == generation + 1
        self._generation = now if is_ours else None
        if is_ours:
            self._seen = table.applied(before, commands)

    async def news(self) -> bool:
        """Whether others have committed anything since this was asked last, whoever has looked in between."""
        await self.look()
        had, self._has_news = self._has_news, False
        return had


async def _listed(family: str, name: str) -> list[dict[str, Any]]:
    """Only our own table: that of a host full of containers can be long."""
    try:
        said = json.loads(await _run(["-j", "list", "table", family, name]))
    except DriverUnavailable as error:
        if _ABSENT in error.message:
            return []
        raise
    entries: list[dict[str, Any]] = said["nftables"]
    return entries


async def _run(arguments: list[str], said: bytes = b"") -> bytes:
    program = shutil.which(NFT)
    if program is None:
        raise DriverUnavailable(f"cannot find {NFT}: install {PACKAGE}")
    # In C, or another locale's nft complains in words that nobody looks for.
    child = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=-1, stdout=-1, stderr=-1, env={"LC_ALL": "C"}
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            out, complaint = await child.communicate(said)
    except TimeoutError as error:
        raise DriverUnavailable(f"cannot change the rules: nft did not end within {ANSWER_S:g} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        first = (complaint.decode(errors="replace").strip().splitlines() or [f"status {child.returncode}"])[0]
        raise DriverUnavailable(f"cannot change the rules: nft says {first!r}")
    return out


def _generation() -> int:
    """How many commits there were (modulo 2^32, never 0). DriverUnavailable where the kernel has no nftables."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asking:
            asking.settimeout(ANSWER_S)
            asking.send(_HEADER.pack(_HEADER.size + len(_GENMSG), _GETGEN, _REQUEST, 1, 0) + _GENMSG)
            return _read_generation(asking.recv(1 << 16))
    except OSError as error:
        needs = "It needs root or CAP_NET_ADMIN" if error.errno == errno.EPERM else "Load nf_tables"
        raise DriverUnavailable(f"cannot ask for the rules: {error.strerror or error}. {needs}") from error


def _read_generation(answer: bytes) -> int:
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == 2:  # NLMSG_ERROR
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    at = _HEADER.size + len(_GENMSG)
    while at + 4 <= len(answer):
        size, name = struct.unpack_from("=HH", answer, at)
        if name == _NFTA_GEN_ID:
            found: int = struct.unpack_from(">I", answer, at + 4)[0]
            return found
        at += max(4, size + 3 & ~3)
    raise OSError(0, "no generation in the answer")
