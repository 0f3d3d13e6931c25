"""What must hold at every moment, whatever fails: asked after every committed event and around every effect.

    bus ──every batch──▶ the log tells what the tables hold; nobody shares a name, an address, a process;
                         what is not ready says why
    seam of effects ────▶ what is started is wanted, what is ended is not wanted (by the store of this very moment)

The rules are written down anew here rather than borrowed from the plans: a plan that is wrong would agree with itself.
A complaint is kept, not raised: a controller survives what a hook raises, and the world asks for complaints itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from tests.builders.harm import Effect
from tests.builders.life import Host, Life
from tests.builders.replay import GONE, Replay
from tests.builders.why_judge import quick

from volant.clock import Clock, Uid
from volant.model.event import Committed
from volant.model.plugin import digests, is_complete
from volant.model.vm import FINALIZER, VM
from volant.reconcile.effects import Moment

JUST_S = 2.0
"""Longer than a turn takes from its look at the clock to its effect."""
MAKING = ("hypervisor.launch", "network.ensure", "disks.ensure")
"""The effects that make something of a VM on the host."""


class Files(Protocol):
    """What is asked of the artifact cache."""

    def has(self, digest: str) -> bool:
        """Whether the file is there."""


class Oracles:
    """Keeps what it has heard, and every complaint."""

    def __init__(self, host: Host, clock: Clock, files: Files) -> None:
        self.replay = Replay()
        self.complaints: list[str] = []
        self.believes_lies = False
        """Drivers lie in this world, so that a step may be decided on what is not so."""
        self.orphans: set[Uid] = set()
        """Processes with our mark that nobody here launched."""
        self.sick: set[Uid] = set()
        """Whose guest has ever been made to fail its probes."""
        self.jumped_at = float("-inf")
        """When (monotonic) the wall clock last jumped: what was decided just before was decided by another clock."""
        self.closer: Callable[[Life], Collection[str]] | None = None
        """A closer look at everything, with every commit and around every effect, for plays that can afford it."""
        self._host = host
        self._clock = clock
        self._files = files
        self._deleting_since: dict[Uid, float] = {}
        self._deadlines: dict[Uid, float] = {}
        self._checked_at = -1
        self._epoch = 0
        self._effects: dict[str, Callable[[Life, Effect], Collection[str]]] = {
            "hypervisor.launch": self._launch,
            "hypervisor.request_stop": self._request_stop,
            "hypervisor.kill": self._kill,
            "hypervisor.forget": self._forget,
            "network.ensure": self._make,
            "network.ensure_absent": self._detach,
            "disks.ensure": self._make,
            "disks.ensure_absent": self._detach,
            "artifacts.remove": self._discard,
        }

    def opened(self, life: Life) -> None:
        """A daemon has opened the store: what the log has, and nobody had heard of, is caught up with."""
        self._epoch = life.store.epoch
        oldest = life.store.oldest_event
        log = life.store.events_after(oldest, 1_000_000)
        heard = self.replay.events[oldest:]
        if log[: len(heard)] != heard:
            self._complain("the log has lost or changed what was published from it")
        for event in log[len(heard) :]:
            self._take(event)
            if event.type in GONE:
                self._complain(*self._remains(event.uid))
        self._complain(*self.replay.differences(life.store))

    def heard(self, life: Life, batch: Sequence[Committed]) -> None:
        """The bus has published a commit."""
        for event in batch:
            self._take(event)
        for event in {event.uid: event for event in batch}.values():
            self._compare(life, event)
        self._check_host()
        self._look_closer(life)

    def looked(self, life: Life, moment: Moment, effect: Effect) -> None:
        """An effect is about to be done, or was done."""
        self._check_host()
        self._look_closer(life)
        if moment == "after":
            if effect.op in MAKING and _vm(life, effect) is None:
                self._complain(*self._remains(Uid(str(effect.target))))
            return
        if life.store.epoch != self._epoch and not effect.op.startswith("store."):
            self._complain(f"S3: {effect.op} by a daemon that is deposed")
        if not life.engine.observed.is_set():
            self._complain(f"L4: {effect.op} before the first full look at the host")
        rule = self._effects.get(effect.op)
        if rule is not None:
            self._complain(*(f"{effect.op} of {self.name(effect.target)}: {why}" for why in rule(life, effect)))

    def name(self, target: object) -> str:
        """A uid's name, or whatever else a target is called."""
        return self.replay.names.get(Uid(target), target) if isinstance(target, str) else str(target)

    def _look_closer(self, life: Life) -> None:
        if self.closer is not None:
            self._complain(*self.closer(life))

    def _take(self, event: Committed) -> None:
        self._complain(*(f"E3: {why}" for why in self.replay.feed(event)))

    def _compare(self, life: Life, event: Committed) -> None:
        """What the row says now is what the last event of it says."""
        row = life.store.find_uid(event.uid)
        if event.type in GONE:
            if row is not None:
                self._complain(f"E3: {event.type} of {event.key}, and its row is still there")
            self._complain(*self._remains(event.uid))
            return
        if row is None or row.meta.revision != event.revision:
            self._complain(f"E3: {event.type} of {event.key} at {event.revision}, and its row says otherwise")
            return
        if row.status.observed_generation > row.meta.generation:
            self._complain(f"V6: {event.key} reports a generation that does not exist")
        since = self._deleting_since.setdefault(event.uid, row.meta.deleting_since or 0.0)
        if since and row.meta.deleting_since != since:
            self._complain(f"D1: the deletion of {event.key} was moved or taken back")
        self._deleting_since[event.uid] = row.meta.deleting_since or 0.0
        self._complain(*quick(life.store, row, self._clock.now()))
        if isinstance(row, VM):
            self._complain(*self._stopping(row))
            if _has_failed(row) and self._is_well(row):
                self._complain(f"P4: {event.key} is said to fail its probes, and never has")

    def _remains(self, uid: Uid) -> Collection[str]:
        """What is on the host of a VM without a row. The collector would find it, but half a minute later.

        Looked for whenever there may be something new of this kind: when a row goes, and when anything was made.
        """
        left = [what for what, found in self._host.made_for(uid).items() if found]
        return [f"D2: {self.name(uid)} is gone, and not its {' and '.join(left)}"] if left else []

    def _stopping(self, vm: VM) -> Collection[str]:
        """A stop begins only when it is wanted, and its deadline never moves away."""
        uid, now_is = vm.meta.uid, vm.status.stop_deadline
        was = self._deadlines.pop(uid, None)
        if now_is is None:
            return ()
        self._deadlines[uid] = now_is
        if was is None:
            is_right = self._is_unwanted(vm)
            return self._undrained(vm) if is_right else [f"a stop of {vm.meta.name} begins though it is wanted"]
        return [f"P7: {vm.meta.name} is given more time to stop"] if now_is > was else ()

    def _undrained(self, vm: VM) -> Collection[str]:
        """A guest that is to serve on, because its VM was an endpoint, has done so for as long as it was to."""
        booted = vm.status.booted
        is_restarting = booted is not None and booted.restart_nonce < vm.spec.restart_nonce
        is_going_anyway = vm.spec.power == "stopped" or vm.spec.force or _has_failed(vm) or is_restarting
        if not vm.meta.is_deleting or not vm.spec.drain_s or is_going_anyway:
            return ()
        over = vm.status.drain_deadline
        return [f"U12: {vm.meta.name} is to serve on"] if over is None or self._is_early(over) else ()

    def _is_well(self, vm: VM) -> bool:
        """Whether the guest that the status speaks of runs and never failed a probe."""
        guest = self._host.guest(vm.meta.uid)
        is_it = guest is not None and guest.pid == vm.status.pid
        return guest is not None and is_it and guest.is_alive and guest.is_running and guest.uid not in self.sick

    def _check_host(self) -> None:
        if len(self._host.births) == self._checked_at:
            return  # because only a birth can make two of what should be one
        self._checked_at = len(self._host.births)
        try:
            self._host.check()
        except AssertionError as error:
            self._complain(str(error))

    def _launch(self, life: Life, effect: Effect) -> Collection[str]:
        vm, uid = _vm(life, effect), Uid(str(effect.target))
        if vm is None:
            return ["there is no such VM"]
        wrong = []
        if vm.meta.is_deleting or vm.spec.power == "stopped" or vm.status.stop_deadline is not None:
            wrong.append("it is not to run")
        if FINALIZER not in vm.meta.finalizers:
            wrong.append("D3: nothing holds its row")
        due = vm.status.next_restart_at
        is_asked = vm.status.booted is not None and vm.status.booted.restart_nonce < vm.spec.restart_nonce
        if due is not None and self._is_early(due) and not is_asked:
            wrong.append(f"P1: it has to wait for another {due - self._clock.now():g} s")
        attachment = self._host.networks.get(uid)
        if attachment is None or attachment.address != vm.spec.address:
            wrong.append("it is not on the network at its own address")
        if not self._host.disks.get(uid, {}).keys() >= vm.spec.config.disks.keys():
            wrong.append("its disks are not there")
        plugin = life.store.plugin(vm.spec.plugin)
        if not is_complete(plugin) or not all(self._files.has(digest) for digest in digests(plugin).values()):
            wrong.append("its artifacts are not there")
        return wrong

    def _make(self, life: Life, effect: Effect) -> Collection[str]:
        return [] if _vm(life, effect) is not None else ["there is no such VM"]

    def _request_stop(self, life: Life, effect: Effect) -> Collection[str]:
        vm = _vm(life, effect)
        if vm is None or not self._is_going(vm):
            return ["nobody wants it gone"]
        return [] if vm.status.stop_deadline is not None else ["P7: the end of its grace period is not stored"]

    def _kill(self, life: Life, effect: Effect) -> Collection[str]:
        vm = _vm(life, effect)
        if vm is None:
            return self._of_nobody(effect)
        if not self._is_going(vm):
            return ["nobody wants it gone"]
        deadline = vm.status.stop_deadline
        if deadline is None:
            return ["P7: the end of its grace period is not stored"]
        return ["P7: its grace period is not over"] if self._is_early(deadline) and not vm.spec.force else []

    def _forget(self, life: Life, effect: Effect) -> Collection[str]:
        vm = _vm(life, effect)
        if vm is None:
            return self._of_nobody(effect)
        if self._host.alive(vm.meta.uid) and not self.believes_lies:
            return ["it lives"]
        is_known = vm.meta.is_deleting or vm.status.stop_deadline is not None or vm.status.pid is None
        return [] if is_known else ["its end is not in the store"]

    def _detach(self, life: Life, effect: Effect) -> Collection[str]:
        vm = _vm(life, effect)
        if vm is None:
            return self._of_nobody(effect)
        if not vm.meta.is_deleting:
            return ["its VM is to stay"]
        return ["it lives"] if self._host.alive(vm.meta.uid) else []

    def _discard(self, life: Life, effect: Effect) -> Collection[str]:
        """A file goes whose digest nobody refers to. The target is the digest, or the plugin that goes."""
        others = [p for p in life.store.plugins() if p.meta.uid != effect.target]
        used = {digest for plugin in others for digest in digests(plugin).values()}
        owner = life.store.find_uid(Uid(str(effect.target)))
        if owner is not None:
            return [] if owner.meta.is_deleting else ["its plugin is to stay"]
        return ["D9: a plugin refers to it"] if effect.target in used else []

    def _is_early(self, due: float) -> bool:
        return due > self._clock.now() and self._clock.monotonic() > self.jumped_at + JUST_S

    def _of_nobody(self, effect: Effect) -> Collection[str]:
        """Without a row only what was launched for a row that is gone, or for nobody, may be touched."""
        uid = Uid(str(effect.target))
        return [] if uid in self.replay.names or uid in self.orphans else ["P11: nobody knows it"]

    def _is_going(self, vm: VM) -> bool:
        """Unwanted, or in the middle of a stop: whether its beginning was right was asked when it began."""
        return vm.status.stop_deadline is not None or self._is_unwanted(vm)

    def _is_unwanted(self, vm: VM) -> bool:
        if vm.meta.is_deleting or vm.spec.power == "stopped" or _has_failed(vm):
            return True
        guest = self._host.guest(vm.meta.uid)
        booted = guest.booted if guest is not None and guest.booted is not None else vm.status.booted
        return booted is not None and booted.restart_nonce < vm.spec.restart_nonce

    def _complain(self, *what: str) -> None:
        self.complaints += [f"{self._clock.monotonic():.3f}: {why}" for why in what]


def _has_failed(vm: VM) -> bool:
    return vm.status.health is not None and vm.status.health.failed is not None


def _vm(life: Life, effect: Effect) -> VM | None:
    found = life.store.find_uid(Uid(str(effect.target)))
    return found if isinstance(found, VM) else None
