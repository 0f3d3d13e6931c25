"""From a recipe to files that can be installed: the image, its kernel, and the manifest that names them.

    Recipe ──grow──▶ Tree ─┬─ disk ───▶ <name>.qcow2 + <name>.boot.gz ─┐
                           └─ memory ─▶ <name>.initramfs.gz ───────────┴─▶ <name>.json, with URLs and checksums

Every file is written beside its place and renamed, the manifest last: whoever reads a manifest finds what it names. The
same recipe, packages, kernel, busybox and Volant give the same bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from volant.errors import StartupError
from volant.images.build.debian import listed
from volant.images.build.ext4 import Shape, write_disk
from volant.images.build.grow import Grown, grow
from volant.images.build.progress import Progress, silent
from volant.images.build.recipe import Recipe
from volant.images.build.tools import DEBIAN, Tools
from volant.images.guest import CMDLINE, boot_initramfs, guest_entries, initramfs, static_busybox
from volant.images.kernel import Kernel
from volant.images.newc import gzip_bytes
from volant.images.vmlinux import uncompressed

EPOCH: Final = 1_577_836_800
"""Every time in an image unless another is asked for: the first second of 2020. Programs take 0 for no time at all."""


@dataclass(frozen=True, slots=True)
class Host:
    """What of this host a build uses. `packages` is a directory where fetched packages are kept."""

    kernel: Kernel
    busybox: Path
    packages: Path
    tools: Tools = DEBIAN
    epoch: int = EPOCH


@dataclass(frozen=True, slots=True)
class Built:
    """Where the manifest is, what it says, and what people should know."""

    manifest: Path
    content: dict[str, Any]
    notes: tuple[str, ...] = ()


def build(recipe: Recipe, base: Path, out_dir: Path, host: Host, progress: Progress = silent) -> Built:
    """Build the image in `out_dir`; files of an earlier build are replaced one by one. `base`: the recipe's directory.

    Blocks. Raises Invalid, ArtifactRefused, ArtifactUnavailable or StartupError, and leaves what was there before.
    """
    out, name = out_dir.absolute(), str(recipe.manifest["name"])
    try:
        with _scratch(out, name) as scratch:
            grown = grow(recipe, base, scratch, host.packages, host.tools, progress)
            return _Writer(recipe, grown, out, scratch, host, progress).write()
    except OSError as error:
        raise StartupError(f"cannot build {name} in {out}: {error.strerror}: {error.filename}") from error


@dataclass(frozen=True, slots=True)
class _Writer:
    recipe: Recipe
    grown: Grown
    out: Path
    scratch: Path
    host: Host
    progress: Progress
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", str(self.recipe.manifest["name"]))

    def write(self) -> Built:
        busybox = static_busybox(self.host.busybox)
        kernel = {**self._kernel(), "cmdline": f"{CMDLINE} {self.recipe.kernel.cmdline}".strip()}
        artifacts = self._disk(busybox) if self.recipe.image.is_disk else self._memory(busybox)
        if self.grown.packages:
            self._place(f"{self.name}.packages", listed(self.grown.packages).encode())
        content = {**self._offered(), **self.recipe.manifest, "kernel": kernel, **artifacts}
        manifest = self._place(f"{self.name}.json", (json.dumps(content, indent=2) + "\n").encode())
        return Built(manifest, content, self.grown.notes)

    def _offered(self) -> dict[str, Any]:
        """What an OCI image says it offers: its first port, unless the recipe says what is offered."""
        ports = self.grown.ports
        return {"workload": {"type": "tcp", "port": ports[0]}} if ports else {}

    def _kernel(self) -> dict[str, str]:
        self.progress("writing the kernel", 0, None)
        packed = self.host.kernel.vmlinuz.read_bytes()
        bare = uncompressed(packed)
        kind = "vmlinux" if bare else "vmlinuz"
        # Named after its release, because images of other builds beside this one go on naming theirs.
        return _source(self._place(f"{kind}-{self.host.kernel.release}", bare or packed))

    def _memory(self, busybox: bytes) -> dict[str, Any]:
        self.progress("packing the initramfs", 0, None)
        archive = initramfs(self.host.kernel, busybox, self.grown.tree.entries(), self.grown.workload)
        return {"initramfs": _source(self._place(f"{self.name}.initramfs.gz", gzip_bytes(archive)))}

    def _disk(self, busybox: bytes) -> dict[str, Any]:
        image, tree = self.recipe.image, self.grown.tree
        tree.put_entries(guest_entries(self.grown.workload, busybox))
        boot = self._place(f"{self.name}.boot.gz", gzip_bytes(boot_initramfs(self.host.kernel, busybox)))
        self.progress("making the disk", 0, None)
        shape = Shape(self.name, image.size_mb, image.format, self.host.epoch)
        disk = self.scratch / "image"
        write_disk(tree, disk, shape, self.scratch, tools=self.host.tools)
        placed = disk.replace(self.out / f"{self.name}.{'qcow2' if image.format == 'qcow2' else 'img'}")
        return {"initramfs": _source(boot), "rootfs": {**_source(placed), "format": image.format}}

    def _place(self, name: str, data: bytes) -> Path:
        """Write beside and rename, so that a guest that starts meanwhile finds the old file or the new one."""
        fresh = self.scratch / "fresh"
        fresh.write_bytes(data)
        return fresh.replace(self.out / name)


@contextmanager
def _scratch(out: Path, name: str) -> Iterator[Path]:
    """A work directory on the file system of the result. What a build that was killed left there goes first."""
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(f".build-{name}-*"):
        # One that ends meanwhile takes its own away.
        with suppress(FileNotFoundError), _locked(leftover) as is_ours:
            if is_ours:
                shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".build-{name}-", dir=out) as scratch, _locked(Path(scratch)):
        yield Path(scratch)


@contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Hold the lock of a work directory, which goes with the process; False when a build that runs has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _source(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"url": path.as_uri(), "checksum": f"sha256:{digest}"}
