"""Looking for VMs on the host, in the two places where they show: the run directory and the process table.

    records ──pid, start time, boot──▶ ╮
                                       ├──▶ open_living ──▶ a handle, or: it is not alive
    marks in /proc ──pid─────────────▶ ╯

Either is enough. A record without its process is a VM that ended; a process without its record is one whose daemon
died in the moment between start and record, or whose directory somebody removed. Reads only, and blocks: thousands of
processes take tens of milliseconds, so it runs in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Container
from typing import NamedTuple

from volant.clock import Uid
from volant.drivers import processes
from volant.drivers.qemu.command import mark, mark_prefix
from volant.drivers.qemu.rundir import Records, RunDir

_NOTHING = Records(boot=None, started=None, exit=None)


class Look(NamedTuple):
    """What was seen: the records of each VM that has a directory, and the pid of each process with our mark."""

    records: dict[Uid, Records]
    pids: dict[Uid, int]

    def of(self, uid: Uid) -> Records:
        """The records of one VM; empty ones if it has no directory."""
        return self.records.get(uid, _NOTHING)


class Living(NamedTuple):
    """A living process of a VM: the handle (pidfd, which the taker closes) and its pid."""

    handle: int
    pid: int


class _Anybody:
    def __contains__(self, uid: object) -> bool:
        return True


class Search:
    """Looks for the VMs of one run directory. `owners` are the users that their processes may run as.

    A process that a record names is taken whoever it runs as: the record is ours alone, names that process for ever,
    and is older than the settings that say who `owners` are.
    """

    def __init__(self, rundir: RunDir, owners: Container[int]) -> None:
        self._rundir = rundir
        self._owners = owners

    def everywhere(self, known: Collection[Uid], pids: Collection[int]) -> Look:
        """Everything but the VMs that are `known` and the processes `pids`, which are not looked at again."""
        records = {uid: self._rundir.read(uid) for uid in self._rundir.uids() if uid not in known}
        return Look(records, self._marked(pids))

    def for_one(self, uid: Uid, *, has_looked: bool) -> Look:
        """One VM. The process table is only read where it can tell more than the records do.

        That is when there is a directory but no record of a process, and, unless everything was looked at before,
        when there is no directory: afterwards no process of ours comes to be without one.
        """
        records = self._rundir.read(uid) if self._rundir.exists(uid) else None
        is_told = has_looked if records is None else records.started is not None
        pids = {} if is_told else {found: pid for found, pid in self._marked(()).items() if found == uid}
        return Look({} if records is None else {uid: records}, pids)

    def open_living(self, uid: Uid, look: Look) -> Living | None:
        """Take hold of the VM's process, if it lives and is beyond doubt the VM's."""
        name = mark(self._rundir.owner, uid)
        started = look.of(uid).started
        if started is not None:
            pid = started.identity.pid
            handle = processes.open_ours(pid, name, owners=_Anybody(), expected=started.identity)
            if handle is not None:
                return Living(handle, pid)
        if uid in look.pids:
            pid = look.pids[uid]
            handle = processes.open_ours(pid, name, owners=self._owners)
            if handle is not None:
                return Living(handle, pid)
        return None

    def _marked(self, skip: Collection[int]) -> dict[Uid, int]:
        prefix = mark_prefix(self._rundir.owner)
        found = processes.marks(prefix, owners=self._owners, skip=frozenset(skip) | {os.getpid()})
        return {Uid(name.removeprefix(prefix)): pid for name, pid in found.items()}
