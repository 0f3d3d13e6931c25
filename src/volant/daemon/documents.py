"""Where the OpenAPI document of a guest's own API is got from, when the manifest does not hold it itself.

    api ──VM, Plugin──▶ file ──▶ images.initramfs    (in a thread; one at a time, the last few are kept)
                   └──▶ path ──▶ drivers.Pages       (the VM's own published endpoint, and nothing else)
                                      └──▶ model.document.rewritten ──▶ bytes

Both are places that strangers write to, so both are bounded in bytes and in time, and what comes out of them is written
anew. Files inside root disks are not read: that takes a file system's code on a stranger's disk.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from volant.drivers import Pages
from volant.errors import ArtifactRefused, ArtifactUnavailable, DriverError, OpenapiNotFound, OpenapiUnavailable
from volant.images.initramfs import read_file
from volant.model.document import MAX_DOCUMENT, rewritten
from volant.model.plugin import Plugin, digests
from volant.model.vm import VM, status_word

GUEST_S = 5.0
"""For the whole of a guest's answer, connecting included."""
AT_ONCE = 16
"""Guests that are asked at a time. A document takes a megabyte, and ten milliseconds of the loop."""
KEPT = 32
"""Files that were read and are kept: the name is a digest, so what is kept stays true."""

_File = tuple[str, str]


class Documents:
    """Documents of guests. Lives on one loop. `path` gives the file of a digest in the artifact cache."""

    def __init__(self, pages: Pages, path: Callable[[str], Path], *, guest_s: float = GUEST_S) -> None:
        self._pages = pages
        self._path = path
        self._guest_s = guest_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._reading = asyncio.Lock()
        self._kept: OrderedDict[_File, bytes | str] = OrderedDict()

    async def of(self, vm: VM, plugin: Plugin) -> bytes:
        """The document as JSON, from a file or from the guest. Raises OpenapiNotFound or OpenapiUnavailable."""
        said = plugin.spec.manifest.openapi
        if said is not None and said.file is not None:
            return await self._from_file(vm, plugin, said.file)
        port = plugin.spec.manifest.openapi_port()
        if said is None or said.path is None or port is None:
            raise OpenapiNotFound(f"cannot show an API of VM {vm.meta.name}: its plugin names no place to ask at")
        return await self._from_guest(vm, port, said.path)

    async def _from_file(self, vm: VM, plugin: Plugin, name: str) -> bytes:
        if plugin.spec.manifest.initramfs is None:
            _not_found(vm, "file", f"{name} would be inside a root disk, and only files of an initramfs can be read")
        digest = digests(plugin).get("initramfs")
        if digest is None:
            _unavailable(vm, "file", "the plugin's initramfs is not in the artifact cache yet")
        # One at a time: whoever asks for the same file meanwhile finds it kept.
        async with self._reading:
            found = self._kept.get((digest, name))
            if found is None:
                found = await self._read(vm, digest, name)
        if isinstance(found, str):
            _not_found(vm, "file", found)
        return found

    async def _read(self, vm: VM, digest: str, name: str) -> bytes | str:
        """The document, or why there is none: either is kept."""
        try:
            path = self._path(digest)
            found: bytes | str = await asyncio.to_thread(_document, path, name)
        except ArtifactUnavailable as error:
            _unavailable(vm, "file", error.message)
        except ArtifactRefused as error:
            found = error.message
        self._kept[digest, name] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    async def _from_guest(self, vm: VM, port: int, path: str) -> bytes:
        word = status_word(vm)
        if word != "running":
            _unavailable(vm, "path", f"the guest is asked for it, and the VM is {word}")
        endpoint = next((e for e in vm.status.endpoints if e.guest_port == port), None)
        if endpoint is None:
            _unavailable(vm, "path", f"port {port} of the guest that runs is not published")
        try:
            async with asyncio.timeout(self._guest_s), self._slots:
                raw = await self._pages.page(
                    endpoint.address, endpoint.port, path, max_bytes=MAX_DOCUMENT, timeout_s=self._guest_s
                )
            return rewritten(raw)
        except TimeoutError:
            _unavailable(vm, "path", f"the guest was not heard in {self._guest_s:g} s")
        except DriverError as error:
            _unavailable(vm, "path", error.message)
        except ValueError as error:
            _unavailable(vm, "path", f"what the guest serves at {path} is no document: {error}")


def _document(path: Path, name: str) -> bytes:
    raw = read_file(path, name, max_file=MAX_DOCUMENT)
    try:
        return rewritten(raw)
    except ValueError as error:
        raise ArtifactRefused(f"{name} in the initramfs is no document: {error}") from None


def _not_found(vm: VM, source: str, why: str) -> NoReturn:
    raise OpenapiNotFound(
        f"cannot show the API of VM {vm.meta.name}: {why}", details={"name": vm.meta.name, "source": source}
    )


def _unavailable(vm: VM, source: str, why: str) -> NoReturn:
    raise OpenapiUnavailable(
        f"cannot show the API of VM {vm.meta.name} now: {why}",
        details={"name": vm.meta.name, "source": source, "status": status_word(vm)},
    )
