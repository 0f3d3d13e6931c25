"""Whether a port of the host is free to be published, or who has it.

Published ports are rewritten by rules before any socket is asked: a port that a program of the host listens on, or
that another VM has, would be taken from it without a word. So both are asked first.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from volant.clock import Uid
from volant.drivers import Attachment, Forward, processes
from volant.drivers.bridge.names import tap_name
from volant.drivers.bridge.rules import published_chain, where
from volant.drivers.bridge.site import PUBLISHED, PUBLISHED_ANYWHERE
from volant.drivers.bridge.table import Seen
from volant.errors import DriverUnavailable


async def taken(uid: Uid, attachment: Attachment, seen: Seen) -> dict[Forward, DriverUnavailable]:
    """The ports that are somebody else's, with what to say of each. What is published already stays so."""
    found: dict[Forward, DriverUnavailable] = {}
    own = published_chain(tap_name(uid))
    for forward in attachment.forwards:
        if forward.host_address == attachment.address:
            continue
        holders = _holders(forward, seen)
        if holders - {own}:
            found[forward] = DriverUnavailable(f"cannot publish {_said(forward)}: another VM has published that port")
        elif own not in holders:
            trouble = await asyncio.to_thread(_heard, forward)
            found |= {forward: trouble} if trouble is not None else {}
    return found


def _holders(forward: Forward, seen: Seen) -> set[str]:
    """The chains that the port leads to: on that address, on all, or, for one on all addresses, on any."""
    map_, key = where(forward)
    anywhere = seen.maps.get(PUBLISHED_ANYWHERE, {})
    one = seen.maps.get(PUBLISHED, {})
    if map_ == PUBLISHED_ANYWHERE:
        found = [anywhere.get(key), *(to for (_, port), to in one.items() if port == forward.host_port)]
    else:
        found = [one.get(key), anywhere.get((forward.host_port,))]
    return {to for to in found if to is not None}


def _heard(forward: Forward) -> DriverUnavailable | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((forward.host_address, forward.host_port))
            probe.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return DriverUnavailable(f"cannot publish {_said(forward)}: {error.strerror}")
        else:
            return None
    held_by = processes.listener(forward.host_address, forward.host_port)
    who = f" by {held_by[1]} (pid {held_by[0]})" if held_by else ""
    return DriverUnavailable(f"cannot publish {_said(forward)}: the port is taken{who}")


def _said(forward: Forward) -> str:
    return f"{forward.host_address}:{forward.host_port}"
