"""The consoles of guests as the API sees them: drivers' words put into its own.

api ──VM──▶ Consoles ──uid──▶ drivers.Consoles ──DriverError──▶ ConsoleUnavailable
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from volant import drivers
from volant.errors import ConsoleUnavailable, DriverError
from volant.model.vm import VM, status_word


class Consoles:
    """Consoles by VM."""

    def __init__(self, consoles: drivers.Consoles) -> None:
        self._consoles = consoles

    async def log(self, vm: VM, *, tail: int | None, follows: bool, previous: bool) -> Transcript | None:
        """What the guest says, or said; None when nothing of it is kept."""
        with _told(vm, "read"):
            found = await self._consoles.log(vm.meta.uid, tail=tail, follows=follows, previous=previous)
        return Transcript(vm, found) if found is not None else None

    async def attach(self, vm: VM) -> Line:
        """Be on the console of the guest that runs."""
        with _told(vm, "attach to"):
            return Line(vm, await self._consoles.attach(vm.meta.uid))


class Transcript:
    """What a guest says."""

    def __init__(self, vm: VM, transcript: drivers.Transcript) -> None:
        self._vm = vm
        self._transcript = transcript

    async def read(self) -> bytes:
        """What comes next."""
        with _told(self._vm, "read"):
            return await self._transcript.read()

    def close(self) -> None:
        """Let go of it."""
        self._transcript.close()


class Line:
    """Somebody on the console."""

    def __init__(self, vm: VM, line: drivers.Line) -> None:
        self._vm = vm
        self._line = line

    async def read(self) -> bytes:
        """What the guest says next; empty once nobody is there any more."""
        with contextlib.suppress(DriverError):
            return await self._line.read()
        return b""

    async def write(self, data: bytes) -> None:
        """Type it."""
        with _told(self._vm, "type at"):
            await self._line.write(data)

    def close(self) -> None:
        """Leave."""
        self._line.close()


@contextlib.contextmanager
def _told(vm: VM, what: str) -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        word = status_word(vm)
        why = f"the VM is {word}" if word != "running" else error.message
        raise ConsoleUnavailable(
            f"cannot {what} the console of VM {vm.meta.name}: {why}", details={"name": vm.meta.name, "status": word}
        ) from error
