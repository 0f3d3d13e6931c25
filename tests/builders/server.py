"""The API on a real socket, over a real store, with nobody behind it: tests play the controllers.

    async with serving(tmp_path) as api:
        await api.post("/vms", name="web-1", plugin="hello")
        await api.runs("web-1")
        async with api.events("/events/vms") as stream: ...

Streams are read from a bare connection, because an HTTP client would read ahead, and a reader that does not read is
what some tests are about.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx2
from msgspec.structs import replace
from tests.builders.contract import keeps_its_word
from tests.builders.objects import a_plugin, running_status, stopped_status

from volant.api import Check, Deps, HealthReport, SystemFacts, create_app
from volant.api.stream import Streams
from volant.api.waiting import Waits
from volant.bus import Bus
from volant.clock import SystemClock, random_uid
from volant.daemon.guests import check_told
from volant.daemon.server import Server, bind
from volant.drivers.networks import Networks
from volant.drivers.user import UserNetwork
from volant.model import deployment as deployments
from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.event import EventType, Happening
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.vm import VM, VMStatus
from volant.store import Store, StoreSettings

PATIENCE_S = 20.0
"""How long a test waits for what must come. A bound, not a measure."""

FACTS = SystemFacts(
    version="0.1.0",
    commit="abc123",
    build_date="2025-01-15T00:00:00Z",
    python_version="3.11.2",
    platform="linux/amd64",
    cpu_count=8,
    memory_total_mb=16384,
    memory_available_mb=8192,
    hypervisor="simulated",
    hypervisor_version="1",
    accelerator="simulated",
    isolation="none",
    network="user",
)
FINALIZERS = {"VM": vms.FINALIZER, "Deployment": deployments.FINALIZER, "Plugin": plugins.FINALIZER}
ENDS: dict[str, EventType] = {"VM": "vm.deleted", "Deployment": "deployment.deleted", "Plugin": "plugin.removed"}
PATHS = {"VM": "vms", "Deployment": "deployments", "Plugin": "plugins"}


class Frame(NamedTuple):
    """One event of a stream, as a client sees it."""

    id: int | None
    event: str
    data: Any


@dataclass
class Health:
    """What the daemon would report; tests change it."""

    report: HealthReport = field(
        default_factory=lambda: HealthReport(is_live=True, is_ready=True, checks={"vm": Check(ok=True)})
    )

    def __call__(self) -> HealthReport:
        return self.report


class EventReader:
    """One open stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.blocks: list[str] = []

    async def read_head(self) -> Self:
        """Status and headers."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        return self

    async def block(self) -> str | None:
        """The next block of lines, comments included; None when the answer has ended."""
        while b"\n\n" not in self._left:
            chunk = await self._chunk()
            if not chunk:
                return None
            self._left += chunk
        block, _, self._left = self._left.partition(b"\n\n")
        self.blocks.append(block.decode())
        return self.blocks[-1]

    async def next(self) -> Frame | None:
        """The next event, or None when the stream has ended."""
        while (block := await self.block()) is not None:
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            if "data" in fields:
                number = fields.get("id")
                return Frame(int(number) if number else None, fields["event"], json.loads(fields["data"]))
        return None

    async def take(self, count: int) -> list[Frame]:
        """That many events."""
        frames = [await self.next() for _ in range(count)]
        return [frame for frame in frames if frame is not None]

    async def rest(self) -> list[Frame]:
        """Everything until the stream ends."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames

    async def body(self) -> bytes:
        """The whole answer, for one that is no stream."""
        return await asyncio.wait_for(self._reader.readexactly(int(self.headers["content-length"])), PATIENCE_S)

    async def line(self) -> Any:
        """The next line of a stream of JSON lines, or None when it has ended."""
        while b"\n" not in self._left:
            chunk = await self._chunk()
            if not chunk:
                return None
            self._left += chunk
        line, _, self._left = self._left.partition(b"\n")
        return json.loads(line) if line else await self.line()

    async def is_at_end(self) -> bool:
        """Whether the connection was closed by the other side."""
        try:
            return await asyncio.wait_for(self._reader.read(1), PATIENCE_S) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _chunk(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            try:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                data = await self._reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""
        return data[:-2]


@dataclass
class Served:
    """A running API and everything around it."""

    deps: Deps
    streams: Streams
    server: Server
    port: int
    http: httpx2.AsyncClient
    health: Health
    waits: Waits

    @property
    def store(self) -> Store:
        """The store."""
        return self.deps.store

    async def waited_for(self, *keys: Key) -> None:
        """Return when somebody waits for news of each of these."""
        async with asyncio.timeout(PATIENCE_S):
            while not set(keys) <= set(self.waits._waiting):
                await asyncio.sleep(0.002)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """GET below /api/v1."""
        return await self.http.get(path, headers=_headers(headers))

    async def post(self, path: str, **body: Any) -> httpx2.Response:
        """POST below /api/v1; without fields, without a body."""
        return await self.http.post(path, json=body or None)

    async def patch(self, path: str, **body: Any) -> httpx2.Response:
        """PATCH below /api/v1."""
        return await self.http.patch(path, json=body)

    async def delete(self, path: str, **headers: str) -> httpx2.Response:
        """DELETE below /api/v1."""
        return await self.http.delete(path, headers=_headers(headers))

    async def installed(self, name: str = "hello", **plugin: Any) -> None:
        """A plugin, put there without the API."""
        await self.store.create(a_plugin(name, **plugin), Happening(type="plugin.installed", actor="test"))

    async def reports(self, name: str, status: VMStatus, event: EventType = "vm.updated") -> VM:
        """What the VM controller would report of the VM as it is now."""
        vm = self.store.vm(name)
        status = replace(status, observed_generation=vm.meta.generation)
        return await self.store.update_status(vm, status, Happening(type=event, actor="test"))

    async def runs(self, name: str, **status: Any) -> VM:
        """The VM is running, as it was asked to."""
        nonce = self.store.vm(name).spec.restart_nonce
        config = self.store.vm(name).spec.config
        return await self.reports(name, running_status(restart_nonce=nonce, config=config, **status), "vm.started")

    async def stops(self, name: str) -> VM:
        """The VM is stopped."""
        return await self.reports(name, stopped_status(), "vm.stopped")

    async def clears(self, obj: Object) -> None:
        """Everything of the object has been cleaned up; it goes."""
        current = self.store.find(obj.meta.key)
        assert current is not None
        kind = obj.meta.kind
        await self.store.finalize(current, FINALIZERS[kind], Happening(type=ENDS[kind], actor="test"))

    async def asked_to_go(self, key: Key) -> Object:
        """The object, once somebody has asked for its end."""
        async with asyncio.timeout(PATIENCE_S):
            while (obj := self.store.find(key)) is None or not obj.meta.is_deleting:
                await asyncio.sleep(0.002)
        return obj

    async def asked(self, name: str, power: str) -> VM:
        """The VM, once its power is asked to be that."""
        async with asyncio.timeout(PATIENCE_S):
            while (vm := self.store.vm(name)).spec.power != power:
                await asyncio.sleep(0.002)
        return vm

    async def open(self, path: str, *, method: str = "GET", base: str = "/api/v1", **headers: str) -> EventReader:
        """A bare connection with one request on it; underscores in header names are dashes."""
        # Small buffers, so that what is not read is soon not sent.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        lines = [f"{method} {base}{path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in _headers(headers).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return await EventReader(reader, writer).read_head()

    @asynccontextmanager
    async def events(self, path: str = "/events", **headers: str) -> AsyncIterator[EventReader]:
        """An open stream that has said its first word, so that whatever happens next is on it."""
        stream = await self.open(path, **headers)
        try:
            if stream.headers.get("content-type") == "text/event-stream":
                await stream.block()
            yield stream
        finally:
            await stream.close()


@asynccontextmanager
async def serving(
    directory: Path, *, ring_events: int = 8192, settings: StoreSettings | None = None, **deps: Any
) -> AsyncIterator[Served]:
    """The API on a loopback port; `deps` are further fields of Deps."""
    bus, clock, health = Bus(ring_events), SystemClock(), Health()
    store = Store.open(
        directory / "volant.db", bus=bus, clock=clock, uids=random_uid, pool="127.88.0.0/24", settings=settings
    )
    check = Networks([UserNetwork(first_unprivileged=1024)]).check
    known: dict[str, Any] = {
        "info": lambda: FACTS,
        "health": health,
        "check_network": check,
        "check_told": check_told,
        **deps,
    }
    hands = Deps(store=store, bus=bus, clock=clock, stopping=asyncio.Event(), **known)
    app = create_app(hands)
    server, sock = Server(app, hands.stopping), bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    try:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(server.serve(sockets=[sock]))
            while not server.started:
                await asyncio.sleep(0)
            base = f"http://127.0.0.1:{port}/api/v1"
            hooks = {"response": [keeps_its_word]}
            async with httpx2.AsyncClient(
                base_url=base, timeout=PATIENCE_S, trust_env=False, event_hooks=hooks
            ) as http:
                yield Served(hands, app.context.streams, server, port, http, health, app.context.waits)
            server.should_exit = True
            await run
    finally:
        sock.close()
        await store.close()


def _headers(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
