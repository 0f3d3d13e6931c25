"""What this host can do, looked at as the daemon would at its start, and what to do about what it cannot.

    settings ──▶ examine ──▶ Finding, Finding, ...   one a matter, in the order in which a daemon needs them

Changes nothing: what the daemon would make (its directory, its control group, its bridge) is only asked about, and the
probe of KVM leaves its verdict in a directory of its own that is removed again. Whatever fails is a finding, never an
exception.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from volant.config import Settings
from volant.daemon.server import bind
from volant.drivers.qemu import check_host, choose
from volant.errors import VolantError
from volant.images.kernel import find_kernel

State = Literal["ok", "warning", "failed"]

GIB = 1 << 30
LITTLE_ROOM = 2 * GIB
"""Less than this soon fills with the first few images."""
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "pids")


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One matter. `failed`: a daemon with these settings does not start, or starts no guest. `fix`: what to do."""

    name: str
    state: State
    says: str
    fix: str = ""


async def examine(settings: Settings, *, kernels: Path, busybox: str = "/bin/busybox") -> AsyncIterator[Finding]:
    """Everything, one after the other. `kernels` is where `volant image kernel` keeps them."""
    qemu = settings.hypervisor == "qemu"
    if qemu:
        async for finding in _guests(settings):
            yield finding
        yield _kernel(kernels)
        yield _busybox(busybox)
    yield _network(settings)
    yield _user()
    yield _cgroups()
    yield _room(settings.data_dir)
    yield _port(settings)


async def _guests(settings: Settings) -> AsyncIterator[Finding]:
    """QEMU, and how it runs guests."""
    try:
        host = await check_host(settings.qemu)
    except VolantError as error:
        yield Finding(name="qemu", state="failed", says=error.message, fix="apt-get install qemu-system-x86")
        return
    yield Finding(name="qemu", state="ok", says=f"{host.qemu}, version {host.version}, runs in its sandbox")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            choice = await choose(settings.accelerator, host, vmm_uid=settings.uids[0], cache_dir=Path(scratch))
        except VolantError as error:
            yield Finding(name="kvm", state="failed", says=error.message, fix="Say --accelerator auto or tcg.")
            return
    if choice.accelerator == "kvm":
        yield Finding(name="kvm", state="ok", says=choice.detail)
        return
    fix = "Switch virtualization on in the firmware (or nested, on a VM), modprobe kvm, and be in the group kvm."
    state: State = "failed" if settings.require_kvm else "warning"
    yield Finding(name="kvm", state=state, says=choice.detail, fix=fix)


def _kernel(kernels: Path) -> Finding:
    try:
        found = find_kernel(kernels)
    except (VolantError, OSError) as error:
        return Finding(name="kernel", state="warning", says=f"cannot look below {kernels}: {error}")
    if found is None:
        says = f"no guest kernel below {kernels}: `volant image build` fetches one first"
        return Finding(name="kernel", state="warning", says=says, fix="volant image kernel")
    return Finding(name="kernel", state="ok", says=f"{found.release}, {found.vmlinuz}")


def _busybox(path: str) -> Finding:
    """Images are built around one that needs no libraries."""
    fix = "apt-get install busybox-static"
    try:
        head = Path(path).read_bytes()
    except OSError as error:
        return Finding(name="busybox", state="warning", says=f"cannot read {path}: {error.strerror}", fix=fix)
    if not head.startswith(b"\x7fELF") or b"/ld-linux" in head or b"/ld-musl" in head:
        return Finding(name="busybox", state="warning", says=f"{path} is not statically linked", fix=fix)
    return Finding(name="busybox", state="ok", says=f"{path}, statically linked")


def _network(settings: Settings) -> Finding:
    """nft, CAP_NET_ADMIN and taps, which only the bridge network needs."""
    from volant.drivers.bridge.host import require_host  # noqa: PLC0415  it takes a fifth of a second to load

    try:
        require_host()
    except VolantError as error:
        if settings.network == "bridge":
            return Finding(name="bridge", state="failed", says=error.message)
        return Finding(name="bridge", state="warning", says=f"{error.message}. The user network works without")
    return Finding(name="bridge", state="ok", says="nft, CAP_NET_ADMIN and taps are there: --network bridge works")


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding(name="user", state="ok", says="root: each QEMU becomes a user of its own")
    says = f"uid {os.geteuid()}: every QEMU runs as the daemon does, so one that is taken over reaches the others"
    return Finding(name="user", state="warning", says=says, fix="Start the daemon as root where that matters.")


def _cgroups() -> Finding:
    """Limits of VMs beyond those of their processes. What the daemon would make of it is its own affair."""
    for root in (CGROUPS, CGROUPS / "unified"):
        try:
            words = (root / "cgroup.controllers").read_text().split()
        except OSError:
            continue
        missing = [name for name in CONTROLLERS if name not in words]
        if missing:
            says = f"{root} lacks {', '.join(missing)}: they are in use by cgroup v1 or switched off"
            return Finding(
                name="cgroups", state="warning", says=says, fix="Boot with systemd.unified_cgroup_hierarchy=1."
            )
        if not os.access(root, os.W_OK):
            says = f"{root} cannot be written by uid {os.geteuid()}"
            fix = "Delegate a group to the daemon (systemd: Delegate=yes), or start it as root."
            return Finding(name="cgroups", state="warning", says=says, fix=fix)
        return Finding(name="cgroups", state="ok", says=f"{root} has {', '.join(CONTROLLERS)}")
    fix = "Mount it: mount -t cgroup2 none /sys/fs/cgroup"
    return Finding(
        name="cgroups", state="warning", says="no cgroup v2 is mounted: VMs have limits of processes only", fix=fix
    )


def _room(data_dir: Path) -> Finding:
    """Of the data directory, or of what it would be made in."""
    there = next(place for place in (data_dir, *data_dir.parents) if place.is_dir())
    if not os.access(there, os.W_OK):
        fix = "Name another one with --data-dir, or give it to this user."
        return Finding(name="data", state="failed", says=f"{there} cannot be written by uid {os.geteuid()}", fix=fix)
    free = shutil.disk_usage(there).free
    says = f"{data_dir}: {free / GIB:.1f} GiB free"
    if free < LITTLE_ROOM:
        return Finding(name="data", state="warning", says=says, fix="Make room, or name another one with --data-dir.")
    return Finding(name="data", state="ok", says=says)


def _port(settings: Settings) -> Finding:
    """Whether it is free, or ours already."""
    host, port = settings.address
    try:
        bind(host, port).close()
    except VolantError as error:
        if _announced(settings.data_dir) == port and _answers(host, port):
            return Finding(
                name="port", state="ok", says=f"the daemon of {settings.data_dir} listens on {settings.listen}"
            )
        return Finding(name="port", state="failed", says=error.message, fix="Name another one with --listen.")
    return Finding(name="port", state="ok", says=f"{settings.listen} is free")


def _announced(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "api.url").read_text().strip().rpartition(":")[2])
    except (OSError, ValueError):
        return None


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False
