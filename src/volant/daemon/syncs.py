"""The syncs of the settings: where each reads, and the way to the API, which is everybody's.

    settings ──configured──▶ Configured ──▶ controllers.sync ──calls──▶ InProcess ──ASGI──▶ the application itself

In process rather than over the socket, because the daemon then needs no address of its own, and a listener that is slow
or closing does not stand between it and itself. What guards the API guards it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from volant.client import AsyncClient, NoAnswer
from volant.client.call import Call
from volant.config import SyncSettings
from volant.controllers.sync import Configured
from volant.errors import StartupError
from volant.gitops import Aim, Directory, Mirror, Render, Repository, Source, WrongSource, address, within
from volant.gitops.git import Address
from volant.gitops.render import Known
from volant.model.sync import SyncSpec

T = TypeVar("T")

MIRRORS = "syncs"
"""Below the data directory: what git fetches."""


class InProcess:
    """Carries calls to an application that is made later than who sends them."""

    def __init__(self) -> None:
        self._client: AsyncClient | None = None

    def reach(self, app: Any) -> None:
        """From now on there is somebody."""
        self._client = AsyncClient("http://127.0.0.1", app=app)

    async def send(self, call: Call[T]) -> T:
        """The outcome of a call. Raises ApiError, NoAnswer."""
        if self._client is None:
            raise NoAnswer(f"cannot send {call.method} {call.path}: there is no API yet")
        return await self._client.send(call)

    async def close(self) -> None:
        """Let go."""
        if self._client is not None:
            await self._client.close()


class Visited:
    """A repository whose mirror is held only while it is read, so that an attempt given up keeps out no later one."""

    def __init__(self, mirror: Mirror, inner: str, known: Known) -> None:
        self._mirror, self._inner, self._known = mirror, inner, known

    def render(self) -> Render:
        """Fetches. Raises SyncFailed."""
        with self._mirror as mirror:
            return Repository(mirror, self._inner, self._known).render()

    def end(self) -> None:
        """End git."""
        self._mirror.end()


def configured(syncs: Sequence[SyncSettings], data_dir: Path, environ: Mapping[str, str]) -> list[Configured]:
    """What to keep. Raises StartupError with one sentence for what cannot be followed."""
    try:
        return [_configured(one, data_dir / MIRRORS / one.set, environ) for one in syncs]
    except WrongSource as error:
        raise StartupError(error.message) from None


def _configured(said: SyncSettings, home: Path, environ: Mapping[str, str]) -> Configured:
    inner = within(said.path)
    found = address(said.git) if said.git else None
    aim = Aim(said.set, prune=said.prune, force=said.force, confirm=said.confirm_delete, deadline_s=said.deadline_s)
    spec = SyncSpec(
        dir=said.dir or None,
        git=None if found is None else found.shown,
        branch=said.branch,
        path=inner,
        interval_s=said.interval_s,
        prune=said.prune,
        force=said.force,
        confirm_delete=said.confirm_delete,
        atomic_deadline_s=said.deadline_s,
    )
    if found is None:
        directory = Directory(Path(said.dir, inner))
        return Configured(spec, aim, lambda: directory)
    Mirror(found, said.branch, home, environ)  # What no branch can be called is said now.
    return Configured(spec, aim, partial(_visited, found, said.branch, home, environ, inner, Known()))


def _visited(
    found: Address, branch: str | None, home: Path, environ: Mapping[str, str], inner: str, known: Known
) -> Source:
    return Visited(Mirror(found, branch, home, environ), inner, known)
