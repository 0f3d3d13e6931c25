"""What happens to guests besides: their VMM is killed or halted, their files are removed.

Each fault is noted with the VM that it hit, because a restart is right only where something explains it.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from tests.soak.host import Host, Process

RECORDS = ("instance.json", "boot.json", "console.log", "vmm.log", "console.sock", "agent.sock")
MOST_KILLS = 2
"""Of one VM: its restarts wait longer each time, and a round should not."""


class Guest(NamedTuple):
    """A VM that ran when the round began."""

    name: str
    uid: str
    process: Process
    restarts: int
    has_owner: bool


class Faults:
    """Strikes guests, and knows whom."""

    def __init__(self, rng: random.Random, host: Host) -> None:
        self.tally: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        """Kills of each VM in this round."""
        self.stripped: Counter[str] = Counter()
        """Removals from each VM's directory in this round."""
        self.cut_off: set[str] = set()
        """VMs whose monitor cannot be reached any more: they run, and nobody can ask them."""
        self._rng = rng
        self._host = host
        self._halted: list[Process] = []
        self._kills: Counter[str] = Counter()

    def begin_round(self, guests: Mapping[str, Guest]) -> None:
        """Forget the last round; VMs that are gone cannot be cut off."""
        self.killed.clear()
        self.stripped.clear()
        self.cut_off &= guests.keys()
        self._kills = Counter({uid: n for uid, n in self._kills.items() if uid in guests})

    def strike(self, guests: Mapping[str, Guest]) -> None:
        """One fault, to one of them."""
        if not guests:
            return
        guest = guests[self._rng.choice(sorted(guests))]
        fault = self._rng.choices((self._kill, self._halt, self._remove_record, self._remove_all), (4, 3, 2, 1))[0]
        fault(guest)

    def release(self) -> None:
        """SIGCONT to everything that was halted."""
        for process in self._halted:
            self.tally["guests continued"] += self._host.send(process, signal.SIGCONT)
        self._halted.clear()

    def _kill(self, guest: Guest) -> None:
        process = self._host.of(guest.uid)
        if process is None or self._kills[guest.uid] >= MOST_KILLS:
            return
        self.killed[guest.uid] += 1
        self._kills[guest.uid] += 1
        self.tally["guests killed"] += self._host.send(process, signal.SIGKILL)

    def _halt(self, guest: Guest) -> None:
        process = self._host.of(guest.uid)
        if process is not None and self._host.send(process, signal.SIGSTOP):
            self._halted.append(process)
            self.tally["guests halted"] += 1

    def _remove_record(self, guest: Guest) -> None:
        if self._host.remove(guest.uid, self._rng.choice(RECORDS)):
            self.stripped[guest.uid] += 1
            self.tally["run files removed"] += 1

    def _remove_all(self, guest: Guest) -> None:
        # A replica without a monitor would keep its deployment from rest; a VM of nobody's is deleted after the round.
        if not guest.has_owner and self._host.remove(guest.uid, self._rng.choice(["qmp.sock", None])):
            self.stripped[guest.uid] += 1
            self.cut_off.add(guest.uid)
            self.tally["run directories removed"] += 1
