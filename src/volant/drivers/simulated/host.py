"""The simulated world: what a host is to a real driver.

    SimulatedHypervisor ──launch, kill, ...──▶ guests ──ends, boots──▶ listeners: "look at uid X"
    SimulatedNetwork    ──ensure, ...──────▶ networks
    a test              ──crash, vanish, hang, mute, lie, ...──▶ guests

It outlives the drivers. What it is asked to do it does, even if that is wrong: a second process for the same uid
starts, as it would on a real host, and `check` tells.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable

from volant.clock import Clock, Uid
from volant.drivers import Attachment, Boot, DiskSpec, Instance
from volant.drivers.simulated.agenda import Agenda
from volant.drivers.simulated.behaviour import Answers, Behaviour, Faults
from volant.drivers.simulated.guest import Guest
from volant.model.vm import Booted, Exit, ExitReason

FIRST_PID = 1_000_000
"""Pids of simulated guests start here: numbers of their own, near no process that a test would want to look at."""
LOG_KEEP = 10_000

Script = Callable[[Boot, int], Behaviour | None]
"""The behaviour of a guest, given its boot and how often its uid was launched before; None: as the faults have it."""
Listener = Callable[[Uid], None]


class SimulatedHost:
    """Guests and networks, and hooks to harm them."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        behaviour: Behaviour | None = None,
        faults: Faults | None = None,
        script: Script | None = None,
        log_keep: int | None = LOG_KEEP,
    ) -> None:
        """Each guest does what `script` says of it, else `behaviour`, else what is drawn from `faults`."""
        self.faults = faults or Faults()
        self.script = script
        self.behaviour = behaviour
        self.log: deque[tuple[str, Uid]] = deque(maxlen=log_keep)
        self.launches: Counter[Uid] = Counter()
        self.networks: dict[Uid, Attachment] = {}
        self.network_fault: str | None = None
        self.disks: dict[Uid, dict[str, DiskSpec]] = {}
        self.disk_fault: str | None = None
        self.look_s = 0.0
        """How long a driver takes to look at one guest."""
        self.attach_s = 0.0
        """How long the network takes to attach one."""
        self.probe_s = 0.0
        """How long a probe is under way before the guest takes it."""
        self.probe_fault: str | None = None
        """What keeps probes from being sent: each is unknown while there is something."""
        self.probes: Counter[Uid] = Counter()
        """How many probes each guest was sent."""
        self._clock = clock
        self._rng = rng
        self._agenda = Agenda(clock)
        self._guests: dict[Uid, Guest] = {}
        self.last_words: dict[Uid, bytes] = {}
        """What is kept of the consoles of guests that were forgotten."""
        self._doubles: list[Guest] = []
        self._by_address: dict[str, Guest] = {}
        self._lies: dict[Uid, Instance | None] = {}
        self._last_look: dict[Uid, Instance | None] = {}
        self._listeners: dict[Listener, None] = {}
        self.next_pid = FIRST_PID
        """What the next process is called. A host gives old numbers again sooner or later; so may a test."""

    # What drivers use.

    def note(self, op: str, uid: Uid) -> None:
        """Write down that a driver was asked for `op`."""
        self.log.append((op, uid))

    def listen(self, listener: Listener) -> Callable[[], object]:
        """Call `listener` with every uid to which something happens; the result ends that."""
        self._listeners[listener] = None
        self._agenda.arm()
        return lambda: self._listeners.pop(listener, None)

    def plan(self, boot: Boot) -> Behaviour:
        """What the next guest of `boot` will do; counts as a launch."""
        nth = self.launches[boot.uid]
        self.launches[boot.uid] += 1
        drawn = self.faults.behaviour(self._rng)
        scripted = self.script(boot, nth) if self.script is not None else None
        return scripted or self.behaviour or drawn

    def spawn(self, uid: Uid, behaviour: Behaviour, boot: Boot | None = None, booted: Booted | None = None) -> Guest:
        """A process, now. `boot` None: one that nobody launched."""
        guest = Guest(
            uid=uid,
            pid=self.next_pid,
            started_at=self._clock.now(),
            behaviour=behaviour,
            booted=boot.booted if boot is not None else booted,
            attachment=boot.attachment if boot is not None else None,
            is_hung=behaviour.ignores_stops,
        )
        self.next_pid += 1
        guest.say(b"simulated guest starts\r\n")
        old = self._guests.get(uid)
        if old is not None and old.is_alive:
            self._doubles.append(old)
        self._guests[uid] = guest
        if guest.attachment is not None and guest.attachment.address is not None:
            self._by_address[guest.attachment.address] = guest
        if behaviour.launch == "dies":
            self.end(guest, "launch_failed", code=1)
            return guest
        self._agenda.after(behaviour.boot_s, lambda: self._booted(guest))
        if behaviour.ends_after_s is not None:
            how = behaviour.ends_how
            self._agenda.after(max(behaviour.ends_after_s, behaviour.boot_s), lambda: self.end(guest, how))
        return guest

    def place(self, guest: Guest) -> None:
        """A guest as it is, which began before this world did. What it is to do after so long it does from now on."""
        self._guests[guest.uid] = guest
        ends_after_s, how = guest.behaviour.ends_after_s, guest.behaviour.ends_how
        if ends_after_s is not None:
            self._agenda.after(ends_after_s, lambda: self.end(guest, how))
        if guest.attachment is not None and guest.attachment.address is not None:
            self._by_address[guest.attachment.address] = guest

    def guest(self, uid: Uid) -> Guest | None:
        """The truth about `uid` now."""
        self._agenda.advance()
        return self._guests.get(uid)

    def guest_at(self, address: str, port: int) -> Guest | None:
        """The live guest that is published there."""
        self._agenda.advance()
        guest = self._by_address.get(address)
        if guest is None or not guest.is_alive or guest.attachment is None:
            return None
        return guest if any(forward.host_port == port for forward in guest.attachment.forwards) else None

    def guests(self) -> list[Guest]:
        """The truth about everything with our mark, in order of launch."""
        self._agenda.advance()
        return list(self._guests.values())

    def look(self, uid: Uid) -> Instance | None:
        """What a driver sees of `uid`: the truth, unless a lie or a stale look was asked for."""
        guest = self.guest(uid)
        truth = guest.look() if guest is not None else None
        if uid in self._lies:
            return self._lies.pop(uid)
        if self.faults.stale:
            before = self._last_look.get(uid, truth)
            self._last_look[uid] = truth
            if self._rng.random() < self.faults.stale:
                return before
        return truth

    def ask_to_stop(self, guest: Guest) -> None:
        """The guest begins to shut down, if it hears."""
        if guest.is_alive and guest.hears_stop() and not guest.is_stopping:
            guest.is_stopping = True
            self._agenda.after(guest.behaviour.stop_s, lambda: self.end(guest, "guest_shutdown"))

    def end(self, guest: Guest, reason: ExitReason, *, code: int | None = 0) -> None:
        """The process is gone and its record stays. Harmless when it is gone already."""
        if guest.is_alive:
            guest.exit = Exit(reason=reason, at=self._clock.now(), of=guest.started_at, code=code)
            guest.is_running = False
            guest.say(f"simulated guest ends: {reason}\r\n".encode())
            self._tell(guest.uid)

    def remove(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """The record goes, and the process with it if there is one."""
        guest = self._guests.pop(uid, None)
        if not keeps_console:
            self.last_words.pop(uid, None)
        elif guest is not None:
            self.last_words[uid] = guest.console

    # What tests and examples use.

    def alive(self, uid: Uid | None = None) -> list[Guest]:
        """Every live process, or those of `uid`: more than one of the same uid is a fault of ours."""
        if uid is None:
            return [g for g in (*self._doubles, *self.guests()) if g.is_alive]
        return [g for g in (*self._doubles, self.guest(uid)) if g is not None and g.is_alive and g.uid == uid]

    def crash(self, uid: Uid, reason: ExitReason = "guest_panic") -> None:
        """The guest ends by itself, now."""
        self.end(self._there(uid), reason, code=None if reason == "unknown" else 1)

    def vanish(self, uid: Uid) -> None:
        """Process and record are gone, as after a reboot or an eager cleaner."""
        self._there(uid)
        self.remove(uid)
        self._tell(uid)

    def hang(self, uid: Uid, *, hangs: bool = True) -> None:
        """The guest hears no request to stop from now on."""
        self._there(uid).is_hung = hangs

    def mute(self, uid: Uid, *, is_mute: bool = True) -> None:
        """The VMM does not answer from now on: nobody can tell what the guest does."""
        self._there(uid).is_mute = is_mute
        self._tell(uid)

    def answer(self, uid: Uid, how: Answers) -> None:
        """How the guest takes its probes from now on."""
        self._there(uid).answers = how

    def lose_record(self, uid: Uid) -> None:
        """What the guest was booted with is no longer written anywhere."""
        self._there(uid).booted = None

    def lie(self, uid: Uid, answer: Instance | None) -> None:
        """The next look at `uid` shows `answer`, once."""
        self._lies[uid] = answer
        self._tell(uid)

    def orphan(self, uid: Uid, booted: Booted | None = None) -> Guest:
        """A live guest with our mark that nobody here launched."""
        guest = self.spawn(uid, Behaviour(), booted=booted)
        self._tell(uid)
        return guest

    def check(self) -> None:
        """Raise AssertionError when two live processes share a uid, a pid or an address."""
        alive = self.alive()
        addresses = [g.attachment.address for g in alive if g.attachment is not None and g.attachment.address]
        for what, values in (("uid", [g.uid for g in alive]), ("pid", [g.pid for g in alive]), ("ip", addresses)):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise AssertionError(f"two live guests share {what} {twice[0]}; last calls: {list(self.log)[-20:]}")

    def _booted(self, guest: Guest) -> None:
        if guest.is_alive and not guest.is_running:
            guest.is_running = True
            guest.say(b"simulated guest runs\r\n")
            self._agenda.after(guest.behaviour.answers_after_s, lambda: self._serves(guest))
            self._tell(guest.uid)

    def _serves(self, guest: Guest) -> None:
        guest.answers = guest.behaviour.answers

    def _there(self, uid: Uid) -> Guest:
        guest = self.guest(uid)
        if guest is None:
            raise KeyError(uid)
        return guest

    def _tell(self, uid: Uid) -> None:
        for listener in tuple(self._listeners):
            listener(uid)
