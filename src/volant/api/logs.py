"""`/vms/{name}/logs`: what a guest says on its serial console, as plain text.

    Deps.consoles.log ──bytes──▶ UTF-8, what is none replaced ──64 KiB at a time──▶ reader

Nothing is read ahead: the next piece is read when the one before has been taken, so a reader that is slow or stops
costs a piece and a place in a file. Text that has been moved aside twice by then is gone, and one line says so.

Control sequences are passed on as the guest wrote them: this is a copy of what it said, for files and programs, served
so that no browser takes it for a page. Whoever shows it on a terminal has to see to that (`volant logs` does).

Deliberately absent: times. A console has none, and the daemon reads it too late to know them.
"""

from __future__ import annotations

import asyncio
import codecs
from contextlib import closing

from msgspec import UNSET

from volant.api.call import Call
from volant.api.deps import Transcript
from volant.api.stream import BYE_S, cut_off, limit_send_buffer
from volant.clock import Uid
from volant.errors import ConsoleUnavailable, LogUnavailable, Unavailable
from volant.model.queries import LogsQuery
from volant.model.vm import VM, status_word

LOOK_AGAIN_S = 0.2

_HEAD = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


async def get_vm_logs(call: Call, query: LogsQuery) -> None:
    """`GET /vms/{name}/logs`: What the guest says on its serial console.

    Plain text: bytes that are not UTF-8 are replaced, control sequences are as the guest wrote them. All that is kept,
    which is a few megabytes at most, or its last lines. Of a VM whose guest has ended it is the end of what that one
    said. With `follow` the answer goes on, over restarts of the guest too, until the VM is deleted, the daemon stops or
    the caller hangs up.
    """
    vm = call.store.vm(call.name)
    if call.deps.stopping.is_set():
        raise Unavailable("cannot read a console: the daemon is stopping", code="stopping")
    with call.context.readers:
        tail = None if query.tail is UNSET else query.tail
        found = await call.deps.consoles.log(vm, tail=tail, follows=query.follow, previous=query.previous)
        if found is None and (query.previous or not query.follow):
            raise _nothing_kept(vm, previous=query.previous)
        call.is_answered = True
        headers = [*_HEAD, (b"x-request-id", call.request_id.encode())]
        if found is not None and call.is_head:
            found.close()
        await call.send({"type": "http.response.start", "status": 200, "headers": headers})
        if call.is_head:
            await call.send({"type": "http.response.body", "body": b""})
            return
        await _Copy(call, vm, follows=query.follow).run(found)


def _nothing_kept(vm: VM, *, previous: bool) -> LogUnavailable:
    whose = "the guest before the one that runs" if previous else "its guest"
    return LogUnavailable(
        f"cannot show the console of VM {vm.meta.name}: nothing that {whose} said is kept",
        details={"name": vm.meta.name, "status": status_word(vm)},
    )


class _Copy:
    """The body of one answer."""

    def __init__(self, call: Call, vm: VM, *, follows: bool) -> None:
        self._call = call
        self._vm = vm
        self._uid: Uid = vm.meta.uid
        self._follows = follows
        self._is_gone = False
        self._is_deleted = False
        self._looked_at = -1
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    async def run(self, found: Transcript | None) -> None:
        """All of it. None: there is nothing yet."""
        limit_send_buffer(self._call.send)
        try:
            async with asyncio.timeout(None) as leash, asyncio.TaskGroup() as tasks:
                watchers = (tasks.create_task(self._watch_reader()), tasks.create_task(self._watch_daemon(leash)))
                try:
                    await self._from(found)
                finally:
                    for watcher in watchers:
                        watcher.cancel()
        except TimeoutError:
            await cut_off(self._call.send, self._call.deps.clock)
            return
        await self._send(self._text.decode(b"", final=True), is_last=True)

    async def _from(self, found: Transcript | None) -> None:
        try:
            found = found or await self._first()
            if found is not None:
                with closing(found):
                    await self._copy(found)
        except ConsoleUnavailable as error:
            await self._send(f"\n[volant: {error.message}]\n")

    async def _first(self) -> Transcript | None:
        """What the first guest says, once there is one; None when there never will be."""
        while not self._is_over:
            found = await self._call.deps.consoles.log(self._vm, tail=None, follows=True, previous=False)
            if found is not None:
                return found
            await self._call.deps.clock.sleep(LOOK_AGAIN_S)
        return None

    async def _copy(self, found: Transcript) -> None:
        while not self._is_gone:
            # Looked at before the read: what a VM said is written before it is gone.
            is_over = self._is_over
            data = await found.read()
            if data:
                await self._send(self._text.decode(data))
            elif is_over or not self._follows:
                return
            else:
                await self._call.deps.clock.sleep(LOOK_AGAIN_S)
            if self._call.deps.stopping.is_set():
                return

    async def _send(self, text: str, *, is_last: bool = False) -> None:
        if (text or is_last) and not self._is_gone:
            body = text.encode("utf-8")
            await self._call.send({"type": "http.response.body", "body": body, "more_body": not is_last})

    @property
    def _is_over(self) -> bool:
        revision = self._call.bus.last_revision
        if revision != self._looked_at:  # Nothing is deleted without a commit: most looks cost no question.
            self._looked_at, self._is_deleted = revision, self._call.store.find_uid(self._uid) is None
        return self._is_gone or self._is_deleted or self._call.deps.stopping.is_set()

    async def _watch_reader(self) -> None:
        await self._call.gone()
        self._is_gone = True

    async def _watch_daemon(self, leash: asyncio.Timeout) -> None:
        await self._call.deps.stopping.wait()
        leash.reschedule(asyncio.get_running_loop().time() + BYE_S)
