"""Starting one QEMU: its directory, its rights, its record.

    mkdir ▸ boot.json ▸ user, group ▸ open files and sockets ▸ sh ▸ prlimit ▸ setpriv ▸ nice ▸ qemu   instance.json
    ╰──────────────────────── ours ─────────────────────────╯   ╰───── one pid, no way back ──────╯   ╰── ours ──╯

The shell's one line goes into the VM's control group, where there is one; no word of it comes from outside. Rights are
taken away by programs that become the next one, each smaller than the last: a child of Python that changed
its own rights would run Python code between fork and exec, which a process with threads must not. All of it is one
pid from the start, in a session of its own, so that it outlives the daemon and nobody's Ctrl-C reaches it.

Crash windows: before the process, a directory without one is left, which tells of no start and no end: it is cleared
away. Between process and record, the process is found by the mark on its command line.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from volant.clock import Clock
from volant.drivers import Accelerator, Boot, processes
from volant.drivers.qemu.cgroup import ENTER
from volant.drivers.qemu.command import argv
from volant.drivers.qemu.confinement import Confinement, Taken
from volant.drivers.qemu.handover import Handover, handed_files, handed_sockets
from volant.drivers.qemu.host import program
from volant.drivers.qemu.limits import limits, rlimits
from volant.drivers.qemu.rundir import VMM_LOG, RunDir, Started
from volant.errors import DriverError, DriverRefused, DriverUnavailable

KVM = Path("/dev/kvm")

_NICENESS = 10


class Recipe(NamedTuple):
    """What to start a VMM with. `vmm_uid` (and gid) is who it runs as when the daemon is root."""

    qemu: str
    accelerator: Accelerator
    vmm_uid: int

    @property
    def becomes(self) -> int | None:
        """The user that a VMM changes to; None when it stays who we are."""
        return self.vmm_uid if os.geteuid() == 0 else None


class Spawned(NamedTuple):
    """A process just started: a handle (pidfd) that the caller closes, and what was recorded."""

    handle: int
    started: Started


class _Detached(subprocess.Popen[bytes]):
    """A child that is meant to outlive us and is collected through its handle: its object goes without a word."""

    def __del__(self) -> None:
        pass


def unprivileged(recipe: Recipe) -> list[str]:
    """The words before a command that take away every right that a VMM does not need. May raise DriverRefused."""
    words = [program("setpriv", package="util-linux"), "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]
    if recipe.becomes is not None:
        who = str(recipe.becomes)
        words += ["--reuid", who, "--regid", who, *_groups(recipe.accelerator), "--bounding-set=-all"]
    return words


def spawn(rundir: RunDir, boot: Boot, mark: str, recipe: Recipe, confinement: Confinement, clock: Clock) -> Spawned:
    """Start it, in place of what an ended one left. Blocks for some milliseconds.

    Raises DriverRefused or DriverUnavailable with nothing left behind.
    """
    try:
        rundir.remove(boot.uid)
        rundir.make(boot.uid, boot)
    except FileExistsError as error:
        where = rundir.of(boot.uid)
        raise DriverRefused(f"cannot start {boot.name}: {where} is in the way. Remove it") from error
    except OSError as error:
        _clear(rundir, confinement, boot)
        raise _unavailable(boot, error) from error
    try:
        taken = confinement.take(boot)
        pid = _exec(rundir.of(boot.uid), boot, mark, recipe._replace(vmm_uid=taken.vmm_uid), confined(boot, taken))
        return _record(rundir, boot, mark, pid, clock)
    except (OSError, DriverError) as error:
        _clear(rundir, confinement, boot)
        raise error if isinstance(error, DriverError) else _unavailable(boot, error) from error


def confined(boot: Boot, taken: Taken) -> list[str]:
    """The words before a command that bound what it may take. May raise OSError, DriverRefused."""
    words = [program("prlimit", package="util-linux"), *rlimits(limits(boot), is_own_user=taken.is_own_user)]
    if taken.entry is None:
        return words
    return [program("sh", package="dash"), "-c", ENTER, "volant", str(taken.entry), *words]


def _exec(directory: Path, boot: Boot, mark: str, recipe: Recipe, bounds: list[str]) -> int:
    with Handover(recipe.becomes) as over:
        files = handed_files(over, directory, boot)
        sockets = handed_sockets(over, directory, boot)
        command = argv(boot, qemu=recipe.qemu, mark=mark, accelerator=recipe.accelerator, sockets=sockets, files=files)
        said = over.own_log(directory / VMM_LOG)
        child = _Detached(
            [*bounds, *unprivileged(recipe), *_nice(), *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=directory,
            env={},
            start_new_session=True,
            pass_fds=over.handed,
            # Python ignores SIGXFSZ and the VMM is to inherit that: a log at its limit must not be the end of it.
            restore_signals=False,
        )
    return child.pid


def _record(rundir: RunDir, boot: Boot, mark: str, pid: int, clock: Clock) -> Spawned:
    """Take a handle and write the record. A process that cannot be recorded is ended again."""
    handle = os.pidfd_open(pid)  # It cannot be another one's yet: it is our child, and not collected.
    try:
        identity = processes.identity(pid)
        if identity is None:
            raise DriverUnavailable(f"cannot start {boot.name}: /proc does not show its process {pid}")
        started = Started(identity=identity, mark=mark, started_at=clock.now())
        rundir.write_started(boot.uid, started)
    except (OSError, DriverError):
        processes.end(handle)
        os.close(handle)
        raise
    return Spawned(handle, started)


def _nice() -> list[str]:
    return [program("nice", package="coreutils"), "-n", str(_NICENESS)]


def _groups(accelerator: Accelerator) -> list[str]:
    # /dev/kvm is opened by its group on every distribution; that is the one group a VMM may need.
    return ["--groups", str(KVM.stat().st_gid)] if accelerator == "kvm" else ["--clear-groups"]


def _clear(rundir: RunDir, confinement: Confinement, boot: Boot) -> None:
    with contextlib.suppress(OSError):
        rundir.remove(boot.uid)
    with contextlib.suppress(OSError):
        confinement.release(boot.uid)


def _unavailable(boot: Boot, error: OSError) -> DriverUnavailable:
    about = f"{error.filename}: " if error.filename else ""
    return DriverUnavailable(f"cannot start {boot.name}: {about}{error.strerror or error}")
