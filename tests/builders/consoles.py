"""Consoles as the API has them, without guests: what is said is put there by the test, what is typed is looked at."""

from __future__ import annotations

import asyncio

from volant.errors import ConsoleUnavailable
from volant.model.vm import VM


class FakeTranscript:
    """Pieces, as they come."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.is_closed = False
        self.reads = 0
        self.fault: str | None = None

    async def read(self) -> bytes:
        """The next piece."""
        self.reads += 1
        if self.fault is not None:
            raise ConsoleUnavailable(self.fault)
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        """It is."""
        self.is_closed = True


class FakeLine:
    """A guest that says what it is told to."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[bytes] = asyncio.Queue()
        self.typed = b""
        self.takes = asyncio.Event()
        self.takes.set()
        self.is_closed = False
        self.reads = 0

    async def read(self) -> bytes:
        """What it says next."""
        self.reads += 1
        return await self.says.get()

    async def write(self, data: bytes) -> None:
        """It is typed, once the guest takes it."""
        await self.takes.wait()
        self.typed += data

    def close(self) -> None:
        """It is."""
        self.is_closed = True


class FakeConsoles:
    """One transcript and one line at a time."""

    def __init__(self) -> None:
        self.transcript: FakeTranscript | None = None
        self.line: FakeLine | None = None
        self.asked: list[dict[str, object]] = []

    async def log(self, vm: VM, *, tail: int | None, follows: bool, previous: bool) -> FakeTranscript | None:
        """What there is."""
        self.asked.append({"name": vm.meta.name, "tail": tail, "follows": follows, "previous": previous})
        return self.transcript

    async def attach(self, vm: VM) -> FakeLine:
        """Who is there."""
        if self.line is None:
            raise ConsoleUnavailable(f"cannot attach to the console of VM {vm.meta.name}: the VM is stopped")
        self.line.is_closed = False
        return self.line
