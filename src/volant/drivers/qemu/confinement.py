"""What keeps VMMs apart from the host and from each other: a user each, a control group each.

    take ──▶ the lowest uid that nobody has ──▶ confined.json ──▶ a leaf with its limits
    release ──▶ the leaf is gone, and with the directory the uid is free again

A uid is a VM's for as long as its directory is there: files of its launch belong to it. One that is in use by any
process of the host is not given to another, so a second daemon with the same range comes to no harm. Uids are not
kept over a stop: nothing that outlives the directory may be open to one.

Without root a VMM runs as the daemon does, and shares that user with all others: `words` says so.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from volant.clock import Uid
from volant.drivers import Accelerator, Boot, processes
from volant.drivers.qemu.cgroup import Cgroups
from volant.drivers.qemu.command import mark
from volant.drivers.qemu.limits import shares
from volant.drivers.qemu.rundir import Confined, RunDir
from volant.errors import DriverRefused, DriverUnavailable, StartupError

NOBODY = 65534

_MAPS = (Path("/proc/self/uid_map"), Path("/proc/self/gid_map"))


class Policy(Struct, frozen=True, kw_only=True):
    """What the operator decided.

    `uids` are for VMMs when the daemon is root: one each, or all the same if it is only one. `cgroups` is what `find`
    gave. With `require_kvm` nothing is started where guests would be emulated.
    """

    uids: range = range(NOBODY, NOBODY + 1)
    cgroups: Cgroups | str = "none: not asked for"
    require_kvm: bool = False


POLICY = Policy()


class Owners:
    """The users that a process of ours may run as."""

    def __init__(self, uids: range) -> None:
        self._uids = uids if os.geteuid() == 0 else range(0)

    def __contains__(self, uid: object) -> bool:
        return uid == os.geteuid() or uid in self._uids


class Taken(NamedTuple):
    """What a VM was given, to be used by its process. `entry` is the file that it puts itself into its leaf by."""

    vmm_uid: int
    is_own_user: bool
    entry: Path | None


class Confinement:
    """Hands out users and control groups to the VMs of one run directory. Thread-safe."""

    def __init__(self, rundir: RunDir, policy: Policy, accelerator: Accelerator) -> None:
        self._rundir = rundir
        self._policy = policy
        self._accelerator = accelerator
        self._one_at_a_time = threading.Lock()
        self.owners = Owners(policy.uids)

    @property
    def has_own_users(self) -> bool:
        """Whether no two VMMs run as the same user."""
        return os.geteuid() == 0 and len(self._policy.uids) > 1

    def check(self) -> None:
        """Raise StartupError if no process could become one of the users."""
        if os.geteuid() == 0 and not _is_mapped(self._policy.uids):
            first, last = self._policy.uids[0], self._policy.uids[-1]
            raise StartupError(
                f"cannot run QEMU as uid {first} to {last}: this user namespace has no such users. "
                f"Use --vmm-uids with a part of what {_MAPS[0]} shows"
            )

    def admit(self, name: str) -> None:
        """Raise DriverRefused for what the operator does not want to be started here."""
        if self._policy.require_kvm and self._accelerator != "kvm":
            raise DriverRefused(
                f"cannot start {name}: this host emulates, which isolates nothing, and 'require_kvm' is set. "
                "Use a host with KVM, or take the setting back"
            )

    def take(self, boot: Boot) -> Taken:
        """A user, recorded in the VM's directory, and a leaf with its limits. Raises OSError, DriverUnavailable."""
        with self._one_at_a_time:
            confined = Confined(vmm_uid=self._lowest())
            self._rundir.write_confined(boot.uid, confined)
        cgroups = self._policy.cgroups
        if not isinstance(cgroups, Cgroups):
            return Taken(confined.vmm_uid, self.has_own_users, None)
        leaf = cgroups.make(mark(self._rundir.owner, boot.uid), shares(boot, self._accelerator))
        return Taken(confined.vmm_uid, self.has_own_users, leaf / "cgroup.procs")

    def release(self, uid: Uid) -> None:
        """Remove the VM's leaf. Its user goes with the directory. Harmless when repeated; raises OSError."""
        if isinstance(self._policy.cgroups, Cgroups):
            self._policy.cgroups.remove(mark(self._rundir.owner, uid))

    def words(self) -> dict[str, str]:
        """How a VMM of this driver is confined, for people."""
        return {"user": self._user(), "cgroup": str(self._policy.cgroups), "seccomp": "on"}

    def _user(self) -> str:
        uids = self._policy.uids
        if os.geteuid() != 0:
            return f"uid {os.geteuid()}, the daemon's own: it is not root"
        if not self.has_own_users:
            return f"uid {uids[0]}, shared by all VMs"
        return f"one of its own for each VM, from {uids[0]} to {uids[-1]}"

    def _lowest(self) -> int:
        if os.geteuid() != 0:
            return os.geteuid()
        if not self.has_own_users:
            return self._policy.uids[0]
        records = (self._rundir.read_confined(uid) for uid in self._rundir.uids())
        taken = {one.vmm_uid for one in records if one is not None} | processes.users()
        found = next((uid for uid in self._policy.uids if uid not in taken), None)
        if found is None:
            first, last = self._policy.uids[0], self._policy.uids[-1]
            raise DriverUnavailable(
                f"cannot start another VM: all uids from {first} to {last} are in use. Use a wider --vmm-uids"
            )
        return found


def _is_mapped(uids: range) -> bool:
    return all(any(uids[0] in part and uids[-1] in part for part in _parts(file)) for file in _MAPS)


def _parts(file: Path) -> list[range]:
    lines = [[int(word) for word in line.split()] for line in file.read_text().splitlines()]
    return [range(first, first + count) for first, _, count in lines]
