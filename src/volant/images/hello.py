"""The demo guest: a small Linux that serves one page with its VM's name and address, and leaves when asked.

Beside the page it serves the OpenAPI document of what it serves, and its manifest says where.

    kernel + busybox + the init of all guests + hello.sh ──build_hello()──▶ out/{vmlinux, initramfs.gz, hello.json}

`hello.json` is a manifest ready to be installed: its artifacts are `file:` URLs of its two neighbours, with their
checksums. The kernel is `vmlinux` where it can be unpacked beforehand, else `vmlinuz`. The same kernel, busybox and
Volant give the same initramfs, so building again changes nothing.

Deliberately absent: a root disk, a login, a shell on the console. The guest runs from memory.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from volant.errors import StartupError
from volant.images import guest
from volant.images.guest import Workload
from volant.images.kernel import Kernel
from volant.images.newc import gzip_bytes, regular
from volant.images.vmlinux import uncompressed

VERSION: Final = "1.0.0"
PORT: Final = 8080
MEMORY_MB: Final = 128
DOCUMENT: Final = "/openapi.json"
"""Where the guest serves the description of itself."""
AGENT_PORT: Final = guest.AGENT_PORT
CMDLINE: Final = guest.CMDLINE
WORKLOAD: Final = Workload(argv=("sh", "/hello.sh"))


@dataclass(frozen=True, slots=True)
class Built:
    """Where the image is, and the manifest that describes it."""

    kernel: Path
    initramfs: Path
    manifest: Path
    content: dict[str, Any]


def build_hello(out_dir: Path, kernel: Kernel, busybox: Path) -> Built:
    """Make the demo guest in `out_dir`; files of an earlier build are replaced one by one.

    Raises StartupError when busybox needs libraries, a module is missing, or the directory cannot be written.
    """
    out = out_dir.absolute()
    try:
        userland = gzip_bytes(hello_initramfs(kernel, guest.static_busybox(busybox)))
        packed = kernel.vmlinuz.read_bytes()
        bare = uncompressed(packed)
        out.mkdir(parents=True, exist_ok=True)
        image = _replace(out / "vmlinux", bare) if bare else _replace(out / "vmlinuz", packed)
        initramfs = _replace(out / "initramfs.gz", userland)
        content = hello_manifest(image, initramfs)
        manifest = _replace(out / "hello.json", (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        raise StartupError(f"cannot build the hello image in {out}: {error.strerror}: {error.filename}") from error
    return Built(image, initramfs, manifest, content)


def hello_manifest(kernel: Path, initramfs: Path) -> dict[str, Any]:
    """The manifest of an image whose two artifacts are these files. Paths are absolute."""
    return {
        "name": "hello",
        "version": VERSION,
        "description": "A page with the VM's name and address, served by busybox from memory",
        "workload": {"type": "http", "port": PORT},
        "openapi": {"path": DOCUMENT},
        "resources": {"vcpu": 1, "memory_mb": MEMORY_MB},
        "kernel": {**_source(kernel), "cmdline": CMDLINE},
        "initramfs": _source(initramfs),
    }


def hello_initramfs(kernel: Kernel, busybox: bytes) -> bytes:
    """The guest's whole userland as an archive, before compression."""
    serve = files("volant.images").joinpath("hello.sh").read_bytes()
    document = json.dumps(hello_document()).encode()
    return guest.initramfs(kernel, busybox, [regular("hello.sh", serve), regular(f"www{DOCUMENT}", document)], WORKLOAD)


def hello_document() -> dict[str, Any]:
    """The OpenAPI document of the guest's two pages."""
    return {
        "openapi": "3.0.3",
        "info": {"title": "hello API", "version": VERSION},
        "paths": {
            "/": {"get": _page("Greet with the VM's name and address", "text/html")},
            DOCUMENT: {"get": _page("Describe this API", "application/json")},
        },
    }


def _page(summary: str, media: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "The page.", "content": {media: {}}}}}


def _replace(path: Path, data: bytes) -> Path:
    """Write beside and rename, so that a guest that starts meanwhile finds the old file or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    return fresh.replace(path)


def _source(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"url": path.as_uri(), "checksum": f"sha256:{digest}"}
