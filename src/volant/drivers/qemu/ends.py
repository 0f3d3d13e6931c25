"""The dead: what is told of VMs whose process is gone, from the records they left.

An end that was seen is written down in the moment it is seen. One that nobody saw is written down when it is found,
as unknown, so that it is told the same way at every look afterwards. A record that cannot be written (a full disk) is
kept in memory for as long as this driver lives; the next one would tell that end as unknown.

A directory without a process, an end or a record of a start is no end: the daemon died before it had started anything,
and a guest that never was must not count as one that crashed.
"""

from __future__ import annotations

import contextlib

from msgspec.structs import replace

from volant.clock import Clock, Uid
from volant.drivers import Instance, processes
from volant.drivers.qemu import transcript
from volant.drivers.qemu.exits import End, exit_of
from volant.drivers.qemu.rundir import Records, RunDir, Started
from volant.drivers.qemu.vmm import Vmm
from volant.model.vm import Exit
from volant.telemetry import logger

_log = logger("volant.drivers.qemu")


class Ends:
    """Writes down and reads back how VMs ended."""

    def __init__(self, rundir: RunDir, clock: Clock) -> None:
        self._rundir = rundir
        self._clock = clock
        self._unwritten: dict[Uid, Exit] = {}

    def bury(self, vmm: Vmm, end: End) -> None:
        """Write down an end that was seen."""
        found = exit_of(
            replace(end, said=self._rundir.said(vmm.uid)),
            at=self._clock.now(),
            of=vmm.started_at,
        )
        _log.info("vm.ended", uid=vmm.uid, pid=vmm.pid, reason=found.reason, message=found.message)
        if self._rundir.exists(vmm.uid):
            self._write(vmm.uid, found)

    def instance(self, uid: Uid, records: Records | None) -> Instance | None:
        """What is left of a VM without a living process; None when nothing is. `records` may be from an older look."""
        if records is None or records.exit is None:
            # Read again: it may have ended, or been forgotten, since the look.
            if not self._rundir.exists(uid):
                return None
            records = self._rundir.read(uid)
        started = records.started
        return Instance(
            uid=uid,
            state="exited",
            started_at=started.started_at if started else None,
            booted=records.boot.booted if records.boot else None,
            exit=records.exit or self._unwritten.get(uid) or (self._unseen(uid, started) if started else None),
        )

    def forget(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """Remove everything that is left of a VM, but for the end of its console if that is to be kept.

        Blocks; raises OSError.
        """
        if keeps_console:
            with contextlib.suppress(OSError):  # because a full disk must not keep a VM from its next start
                transcript.keep(self._rundir.root, uid)
        else:
            transcript.drop(self._rundir.root, uid)
        self._rundir.remove(uid)
        self._unwritten.pop(uid, None)

    def _unseen(self, uid: Uid, started: Started) -> Exit:
        is_old = started.identity.boot_id != processes.boot_id()
        found = exit_of(End(was_host_restarted=is_old), at=self._clock.now(), of=started.started_at)
        self._write(uid, found)
        return found

    def _write(self, uid: Uid, found: Exit) -> None:
        try:
            self._rundir.write_exit(uid, found)
        except OSError as error:
            self._unwritten[uid] = found
            _log.warning("vm.exit_unwritten", uid=uid, error=str(error))
