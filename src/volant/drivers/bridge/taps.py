"""Taps: one a VM, a port of its bridge, isolated from the others.

    new (ours while we hold it) ▸ alias ▸ kept ▸ group ▸ mtu ▸ master ▸ isolated ▸ up

A daemon that dies before the tap is kept leaves none; one that dies later leaves a tap with our mark, that passes
nothing until it has been let in.
"""

from __future__ import annotations

import asyncio
import os

from volant.clock import Uid
from volant.drivers import Attachment, tap
from volant.drivers.bridge import host
from volant.drivers.bridge.links import Link, Links
from volant.drivers.bridge.names import GROUP, Marks, tap_name
from volant.errors import DriverRefused, DriverUnavailable


class Taps:
    """The taps of one owner. Not for two callers at once."""

    def __init__(self, marks: Marks, links: Links) -> None:
        self._marks = marks
        self._links = links

    async def is_there(self, uid: Uid, attachment: Attachment) -> bool:
        """Whether the VM's tap is as it was asked for."""
        found, bridge = await self._links.find(tap_name(uid)), await self._links.find(attachment.bridge or "")
        return (
            found is not None
            and bridge is not None
            and found.alias == self._marks.tap(uid)
            and not _differences(found, bridge, attachment)
            and (found.is_isolated or attachment.mode != "bridge")
        )

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Make it so. DriverRefused for an interface of another that has its name."""
        name = tap_name(uid)
        bridge = await self._links.find(attachment.bridge or "")
        if bridge is None or bridge.kind != "bridge":
            raise DriverUnavailable(f"cannot attach {name}: there is no bridge {attachment.bridge}. Make it")
        found = await self._links.find(name) or await self._made(name, uid)
        if found.alias != self._marks.tap(uid):
            raise DriverRefused(f"cannot use {name}: Volant has not made it. Delete or rename that interface")
        for key, value in _differences(found, bridge, attachment).items():
            await self._links.change(found, **{key: value})
            if key == "master" and attachment.mode == "bridge":
                await self._links.isolate(found)
        if found.master == bridge.index and not found.is_isolated and attachment.mode == "bridge":
            await self._links.isolate(found)

    async def ensure_absent(self, uid: Uid) -> None:
        """Remove the VM's tap. One of that name without our mark is left alone."""
        found = await self._links.find(tap_name(uid))
        if found is not None and found.alias == self._marks.tap(uid):
            await self._links.remove(found)

    async def _made(self, name: str, uid: Uid) -> Link:
        try:
            descriptor = await asyncio.to_thread(tap.new_tap, name)
        except OSError as error:
            raise DriverUnavailable(f"cannot make the tap {name}: {error.strerror}") from error
        try:
            found = await self._links.find(name)
            if found is None:
                raise DriverUnavailable(f"cannot make the tap {name}: somebody deletes it")
            await self._links.change(found, ifalias=self._marks.tap(uid))
            host.silence(name)
            tap.keep(descriptor)
            made = await self._links.find(name)
        except OSError as error:
            raise DriverUnavailable(f"cannot keep the tap {name}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        if made is None:
            raise DriverUnavailable(f"cannot make the tap {name}: somebody deletes it")
        return made


def _differences(found: Link, bridge: Link, attachment: Attachment) -> dict[str, object]:
    """What has to be changed, in that order: it is brought up last, when everything else holds."""
    wanted: dict[str, object] = {}
    if found.group != GROUP:
        wanted["group"] = GROUP
    if attachment.mtu is not None and found.mtu != attachment.mtu:
        wanted["mtu"] = attachment.mtu
    if found.master != bridge.index:
        wanted["master"] = bridge.index
    if not found.is_up:
        wanted["state"] = "up"
    return wanted
