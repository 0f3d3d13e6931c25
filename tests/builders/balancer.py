"""A load balancer of a few lines: learns from the API who is ready, and asks one of them after another.

    Client.follow_endpoints ──▶ who may be asked now ──▶ every 50 ms a request of its own connection ──▶ Asked

It is a client like any other: it reads no table of the daemon, repeats nothing and takes no failure back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from itertools import count
from typing import NamedTuple, Self

from tests.builders.daemon import until

from volant.client import AsyncClient
from volant.model.views import ReplicaView

EVERY_S = 0.05
PATIENCE_S = 60.0
"""A guest that is emulated beside others which boot takes its time, and may: slow is not refused."""
AT_ONCE = 8
"""Requests that wait for an answer at one time: who asks more of a slow host only makes it slower."""


class Asked(NamedTuple):
    """One request: when it was sent, to whom, the version that has answered, and else what went wrong."""

    at: float
    vm: str
    version: str
    failure: str = ""


class Balancer(threading.Thread):
    """Asks for `path` from the time that somebody is ready until the end of the block.

    One that is `late_s` acts so much later on what it is told: as a proxy does whose configuration is written anew.
    """

    def __init__(
        self, url: str, deployment: str, path: str = "/users", *, every_s: float = EVERY_S, late_s: float = 0.0
    ) -> None:
        super().__init__(name="balancer")
        self._url, self._deployment, self._path = url, deployment, path
        self._every_s, self._late_s = every_s, late_s
        self._replicas: tuple[ReplicaView, ...] = ()
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self.asked: list[Asked] = []
        self.ended: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        until("the client was answered", lambda: len(self.asked) > 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self.join(PATIENCE_S + 10)
        assert not self.is_alive()
        assert self.ended is None, self.ended

    @property
    def failures(self) -> list[Asked]:
        """The requests that were not answered as they should be."""
        return [one for one in self.asked if one.failure]

    def versions(self) -> list[str]:
        """Which versions have answered, each once, by when the first request that it answered was sent."""
        return list(dict.fromkeys(one.version for one in sorted(self.asked) if not one.failure))

    def run(self) -> None:
        """Its thread."""
        self._main = self._loop.create_task(self._balance())
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)
        except BaseException as error:
            self.ended = error
        finally:
            self._loop.close()

    def _end(self) -> None:
        assert self._main is not None
        self._main.cancel()

    async def _balance(self) -> None:
        async with AsyncClient(self._url) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(client))
            while not self._replicas:
                await asyncio.sleep(EVERY_S)
            sent: set[asyncio.Task[None]] = set()
            try:
                for number in count(1):
                    task = self._loop.create_task(self._ask(number))
                    sent.add(task)
                    task.add_done_callback(sent.discard)
                    await asyncio.sleep(self._every_s)
                    while len(sent) >= AT_ONCE:
                        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Whoever was asked has to answer, even though nobody else is asked any more.
                await asyncio.gather(*sent)

    async def _follow(self, client: AsyncClient) -> None:
        async for found in client.follow_endpoints(self._deployment):
            if self._replicas:
                await asyncio.sleep(self._late_s)
            self._replicas = found.endpoints

    async def _ask(self, number: int) -> None:
        at, replicas = time.monotonic(), self._replicas
        if not replicas:
            self.asked.append(Asked(at, "", "", "there is nobody to ask"))
            return
        replica = replicas[number % len(replicas)]
        try:
            async with asyncio.timeout(PATIENCE_S):
                version = await self._version(replica)
        except (OSError, EOFError, ValueError) as error:
            self.asked.append(Asked(at, replica.vm, "", f"{type(error).__name__}: {error}"))
        else:
            self.asked.append(Asked(at, replica.vm, version))

    async def _version(self, replica: ReplicaView) -> str:
        """The version that the answer says. ValueError when it is not 200 or not whole."""
        at = replica.ports[0]
        reader, writer = await asyncio.open_connection(at.address, at.port)
        try:
            writer.write(f"GET {self._path} HTTP/1.1\r\nHost: {at.address}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not first.startswith("HTTP/1.1 200 ") or len(body) != int(headers["content-length"]):
            raise ValueError(f"{first!r} with {len(body)} bytes")
        return headers["server"].removeprefix("user-api/").strip()
