"""The port `Hypervisor`, by QEMU.

    launch ─▶ process.spawn ─▶ Vmm ◀─ search ◀─ observe, inspect
    request_stop, kill ───────▶ Vmm ──end──▶ exit.json, watch

Nothing is remembered that could be wrong: the living are held by handles on their processes, which cannot come to
mean another; the dead are what lies in the run directory. A driver made a moment ago finds both by looking.

Whoever is found is watched: after the first `observe`, the end of any VM is reported by `watch` at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec.structs import replace

from volant.clock import Clock, Uid
from volant.drivers import Attachment, Boot, HypervisorInfo, Instance, processes
from volant.drivers.qemu import console
from volant.drivers.qemu.accelerator import Choice
from volant.drivers.qemu.command import mark
from volant.drivers.qemu.confinement import POLICY, Confinement, Policy
from volant.drivers.qemu.ends import Ends
from volant.drivers.qemu.exits import End
from volant.drivers.qemu.hints import Hints
from volant.drivers.qemu.host import Host, program
from volant.drivers.qemu.process import Recipe, Spawned, spawn
from volant.drivers.qemu.reattach import reattach
from volant.drivers.qemu.rundir import Records, RunDir, Started
from volant.drivers.qemu.search import Look, Search
from volant.drivers.qemu.vmm import PATIENCE, Patience, Vmm
from volant.errors import DriverError, DriverUnavailable, StartupError


class QemuHypervisor:
    """MicroVMs by QEMU, one directory each below `run_dir`.

    `policy` says who VMMs run as and what they may take. At most `starts` VMs are being started at a time; left out:
    as many as there are processors, because more only start more slowly.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        host: Host,
        accelerator: Choice,
        clock: Clock,
        policy: Policy = POLICY,
        starts: int | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self._rundir = RunDir(run_dir)
        self._clock = clock
        self._patience = patience
        self._host = host
        self._choice = accelerator
        self._recipe = Recipe(qemu=host.qemu, accelerator=accelerator.accelerator, vmm_uid=policy.uids[0])
        self._confinement = Confinement(self._rundir, policy, accelerator.accelerator)
        self._search = Search(self._rundir, self._confinement.owners)
        self._starts = asyncio.Semaphore(starts or len(os.sched_getaffinity(0)))
        self._live: dict[Uid, Vmm] = {}
        self._launching: set[Uid] = set()
        self._ends = Ends(self._rundir, clock)
        self._hints = Hints(patience.beat_s, is_trusted=self._is_trusted, on_beat=self._tend)
        self._has_looked = False
        self._confinement.check()
        try:
            self._rundir.prepare()
        except OSError as error:
            raise StartupError(f"cannot use {run_dir} for VMs: {error.strerror or error}") from error

    @property
    def info(self) -> HypervisorInfo:
        """What this is."""
        return HypervisorInfo(
            name="qemu",
            accelerator=self._choice.accelerator,
            isolation="hardware" if self._choice.accelerator == "kvm" else "none",
            version=self._host.version,
            detail=self._choice.detail,
            confinement=self._confinement.words(),
        )

    async def launch(self, uid: Uid, boot: Boot) -> None:
        """Start the guest unless it lives. What an ended one left is removed first."""
        name = mark(self._rundir.owner, uid)
        if uid in self._launching:
            return
        self._launching.add(uid)
        try:
            if uid not in self._live:
                self._adopt(uid, await self._look_at(uid))
            if uid in self._live:
                return
            self._confinement.admit(boot.name)
            program(self._recipe.qemu, package="qemu-system-x86")
            async with self._starts:
                await self._start(replace(boot, uid=uid), name)
        finally:
            self._launching.discard(uid)

    async def observe(self) -> list[Instance]:
        """Every VM on the host. All that live are watched from now on; long console logs are moved aside."""
        known = {*self._live, *self._launching}
        look = await asyncio.to_thread(self._look, known, {vmm.pid for vmm in self._live.values()})
        for uid in {*look.records, *look.pids} - self._launching - self._live.keys():
            self._adopt(uid, look)
        self._has_looked = True
        await self._settle()
        # The known ones again: one that ended since the look is in neither of the other sets.
        uids = {*look.records, *known, *self._live, *self._launching}
        found = [self._instance(uid, look.records.get(uid)) for uid in uids]
        return [instance for instance in found if instance is not None]

    async def inspect(self, uid: Uid) -> Instance | None:
        """One VM, asked: one that does not answer in time is `unknown`."""
        vmm = None if uid in self._launching else await self._find(uid)
        if vmm is None:
            return self._instance(uid, None)
        vmm.listen()
        bound = self._patience.answer_s
        is_answering = await vmm.until_settled(bound) and await vmm.is_answering(bound)
        instance = self._instance(uid, None)
        if instance is not None and instance.state == "running" and not is_answering:
            return replace(instance, state="unknown")
        return instance

    async def request_stop(self, uid: Uid) -> None:
        """Ask the guest through its agent and its power button. Which of them it obeys is the guest's affair."""
        vmm = await self._find(uid)
        if vmm is not None:
            vmm.request_stop()

    async def kill(self, uid: Uid) -> None:
        """SIGKILL, and wait. DriverUnavailable if the process does not go."""
        vmm = await self._find(uid)
        if vmm is None:
            return
        vmm.kill()
        if not await vmm.until_gone(self._patience.kill_s):
            raise DriverUnavailable(f"cannot end {uid}: process {vmm.pid} does not go, though killed")

    async def forget(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """Remove the VM's directory and its control group, and what was kept of its console unless it is to be."""
        vmm = await self._find(uid)
        if vmm is not None or uid in self._launching:
            raise DriverUnavailable(f"cannot forget {uid}: it lives{f' as process {vmm.pid}' if vmm else ''}")
        try:
            await asyncio.to_thread(self._confinement.release, uid)
            await asyncio.to_thread(self._ends.forget, uid, keeps_console=keeps_console)
        except OSError as error:
            where = error.filename or self._rundir.of(uid)
            raise DriverUnavailable(f"cannot remove {where}: {error.strerror}") from error

    async def reattach(self, uid: Uid, attachment: Attachment) -> None:
        """Put the VM's descriptor on its new tap, if the old one was deleted."""
        vmm = await self._find(uid)
        if vmm is not None and attachment.tap is not None:
            await asyncio.to_thread(reattach, vmm.pid, uid, attachment.tap)

    def watch(self) -> AsyncGenerator[Uid | None, None]:
        """Ends, and what QMP reports of guests that stop, go on or come up. Ends with `close`.

        Silent while a process that is watched has ended and nobody was told: then the watch is not to be trusted.
        """
        return self._hints.watch()

    async def close(self) -> None:
        """Let go of every handle and connection. VMs run on, and the next driver finds them."""
        for vmm in self._live.values():
            vmm.close()
        self._live.clear()
        self._hints.tell(None)

    # Starting

    async def _start(self, boot: Boot, name: str) -> None:
        vmm = await self._spawn(boot, name)
        if await vmm.until_settled(self._patience.start_s):
            return
        vmm.kill()
        await vmm.until_gone(self._patience.kill_s)
        for clear in (self._rundir.remove, self._confinement.release):
            with contextlib.suppress(OSError):
                clear(boot.uid)
        raise DriverUnavailable(f"cannot start {boot.name}: QEMU did not answer within {self._patience.start_s:g} s")

    async def _spawn(self, boot: Boot, name: str) -> Vmm:
        arguments = (self._rundir, boot, name, self._recipe, self._confinement, self._clock)
        started = asyncio.get_running_loop().run_in_executor(None, spawn, *arguments)
        try:
            return self._hold(boot, await asyncio.shield(started))
        except asyncio.CancelledError:
            # The thread cannot be stopped half way, and the process it makes must not be lost.
            with contextlib.suppress(DriverError):
                self._hold(boot, await started)
            raise

    def _hold(self, boot: Boot, spawned: Spawned) -> Vmm:
        return self._take(
            boot.uid,
            spawned.handle,
            spawned.started.identity.pid,
            Records(boot=boot, started=spawned.started, exit=None),
        )

    # Finding

    def _look(self, known: set[Uid], pids: set[int]) -> Look:
        look = self._search.everywhere(known, pids)
        console.tend_all(self._rundir.of(uid) for uid in known | look.records.keys())
        return look

    async def _find(self, uid: Uid) -> Vmm | None:
        """The VM, if its process lives. One that is being launched is its launcher's to take hold of."""
        if uid not in self._live and uid not in self._launching:
            look = await self._look_at(uid)
            if uid not in self._live and uid not in self._launching:
                self._adopt(uid, look)
        return self._live.get(uid)

    async def _look_at(self, uid: Uid) -> Look:
        return await asyncio.to_thread(self._search.for_one, uid, has_looked=self._has_looked)

    def _adopt(self, uid: Uid, look: Look) -> None:
        living = self._search.open_living(uid, look)
        if living is None:
            return
        records = look.of(uid)
        if records.started is None:
            records = replace(records, started=self._amend(uid, living.pid))
        self._take(uid, living.handle, living.pid, records)

    def _amend(self, uid: Uid, pid: int) -> Started | None:
        """Write the record that a daemon did not live to write, so that the start time is the same at every look."""
        identity, at = processes.identity(pid), processes.started_at(pid)
        if identity is None or at is None:
            return None
        started = Started(identity=identity, mark=mark(self._rundir.owner, uid), started_at=at)
        with contextlib.suppress(OSError):
            self._rundir.write_started(uid, started)
        return started

    def _take(self, uid: Uid, handle: int, pid: int, records: Records) -> Vmm:
        vmm = Vmm(
            uid,
            handle,
            pid=pid,
            directory=self._rundir.of(uid),
            started_at=records.started.started_at if records.started else None,
            booted=records.boot.booted if records.boot else None,
            patience=self._patience,
            on_change=self._hints.tell,
            on_end=self._bury,
        )
        self._live[uid] = vmm
        return vmm

    async def _settle(self) -> None:
        """Give those that were found the time of one answer, together."""
        waiting = [vmm for uid, vmm in self._live.items() if uid not in self._launching and not vmm.is_halted]
        for vmm in waiting:
            vmm.listen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.answer_s):
                for vmm in waiting:
                    await vmm.until_settled(self._patience.answer_s)

    # Telling

    def _instance(self, uid: Uid, records: Records | None) -> Instance | None:
        """The VM as it is now. Without a living process it is what the records say."""
        vmm = self._live.get(uid)
        if vmm is not None:
            instance = vmm.instance()
            is_new = uid in self._launching and not vmm.is_up
            return replace(instance, state="starting") if is_new else instance
        if uid in self._launching:
            return Instance(uid=uid, state="starting")
        return self._ends.instance(uid, records)

    def _bury(self, vmm: Vmm, end: End) -> None:
        self._live.pop(vmm.uid, None)
        self._ends.bury(vmm, end)
        self._hints.tell(vmm.uid)

    def _is_trusted(self) -> bool:
        return not any(vmm.is_overdue for vmm in self._live.values())

    async def _tend(self) -> None:
        await asyncio.to_thread(console.tend_all, [self._rundir.of(uid) for uid in self._live])
