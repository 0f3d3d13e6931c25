"""A real daemon that is asked to install what a lying server gives, and what it says of it.

    async with serving(lie) as server:
        told = await shop.told(plugin_of(server.url()))
        assert told.reason == "ArtifactRefused"

The daemon is asked without holding up the loop that the server runs on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.builders.daemon import BOUND_S, RunningDaemon

_NUMBERS = itertools.count(1)


class Told(NamedTuple):
    """What the condition of a plugin says, and everything else that any reader of the API is told of it."""

    reason: str
    message: str
    everything: str


class Shop:
    """A running daemon with simulated guests, into which plugins are installed one after the other."""

    def __init__(self, running: RunningDaemon) -> None:
        self.running = running

    async def told(self, manifest: dict[str, Any]) -> Told:
        """Install, wait until it is known what becomes of it, remove. The cache is empty afterwards."""
        name = f"lie-{next(_NUMBERS)}"
        await self.post("/plugins", {**manifest, "name": name})
        ready = await self.condition(name)
        everything = [
            await self.text(path) for path in (f"/plugins/{name}", f"/plugins/{name}/why", f"/plugins/{name}/events")
        ]
        await self.empty()  # not at once, because the daemon may be at its next try
        await self.remove(name)
        return Told(ready["reason"], ready.get("message") or "", "\n".join(everything))

    async def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST that succeeds."""
        return await asyncio.to_thread(self.running.post, path, body)

    async def text(self, path: str) -> str:
        """The text of a GET, whatever its status."""
        return (await asyncio.to_thread(self.running.api.get, path)).text

    async def condition(self, name: str) -> dict[str, Any]:
        """`ready` of the plugin, once its artifacts are had or cannot be had."""
        async with asyncio.timeout(BOUND_S):
            while True:
                shown = json.loads(await self.text(f"/plugins/{name}"))
                found = next((c for c in shown.get("conditions", ()) if c["type"] == "ready"), None)
                if found is not None and found["reason"] != "Downloading":
                    return dict(found)
                await asyncio.sleep(0.02)

    async def remove(self, name: str) -> None:
        """Gone, and nothing of it left in the cache."""
        await asyncio.to_thread(self.running.delete, f"/plugins/{name}")
        await self.empty()

    async def empty(self) -> None:
        """Wait until the cache has no file. Fails with those that stay."""
        try:
            async with asyncio.timeout(BOUND_S):
                while self.left():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"files of what was refused: {self.left()}") from None

    def left(self) -> list[Path]:
        """Every file of the artifact cache, whole or not."""
        return sorted(_files(self.running.data_dir / "cache"))


def plugin_of(url: str, checksum: str | None = None, *, role: str = "rootfs", **more: Any) -> dict[str, Any]:
    """A manifest with one artifact from a server; a kernel comes with it when the role is `initramfs`."""
    source = {"url": url, **({"checksum": f"sha256:{checksum}"} if checksum else {})}
    disk = {"rootfs": {"format": "raw", **source}}
    parts = disk if role == "rootfs" else {role: source}
    return {"version": "1", **parts, **more}


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
