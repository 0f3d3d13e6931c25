"""What the host itself says of the guests of one data directory: processes, directories, listening ports.

Read from /proc and the disk without any code of the daemon's drivers, so that both cannot be wrong in the same way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

CONSOLES = ".consoles"
"""Among the run directories: what the last guests said."""
_LISTENS = "0A"
_LOOK_EACH_S = 0.04


class Process(NamedTuple):
    """A living VMM. Pid and start (clock ticks since boot) together are never those of another process."""

    uid: str
    pid: int
    start: int
    state: str


class Host:
    """The guests of one data directory; `network` is the first three numbers of its addresses."""

    def __init__(self, data_dir: Path, network: str) -> None:
        self.run_dir = (data_dir / "run").resolve()
        self._network = network + "."
        owner = hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:8]
        self._mark = f"\0-name\0volant-{owner}-".encode()

    def processes(self) -> list[Process]:
        """Every living process that carries the mark of this data directory."""
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - read 25 times a second
        found = (self._process(pid) for pid in pids)
        return [process for process in found if process is not None]

    def of(self, uid: str) -> Process | None:
        """The process of one VM."""
        return next((process for process in self.processes() if process.uid == uid), None)

    def directories(self) -> set[str]:
        """The uids that have a run directory."""
        found = {path.name for path in self.run_dir.iterdir()} if self.run_dir.exists() else set()
        return found - {CONSOLES}

    def consoles(self) -> set[str]:
        """The uids whose last guest's console is kept."""
        kept = self.run_dir / CONSOLES
        return {path.name for path in kept.iterdir()} if kept.exists() else set()

    def listeners(self) -> set[tuple[str, int]]:
        """Address and port of everything that listens on an address of the VMs."""
        return {(address, port) for address, port in _listening() if address.startswith(self._network)}

    def send(self, process: Process, number: signal.Signals) -> bool:
        """A signal to that very process; whether it was still there."""
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:
            return False
        try:
            now = self._process(process.pid)
            if now is None or (now.uid, now.start) != (process.uid, process.start):
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def remove(self, uid: str, name: str | None) -> bool:
        """Remove one file of a VM's run directory, or (None) all of it; whether there was anything."""
        directory = self.run_dir / uid
        if not directory.is_dir():
            return False
        if name is None:
            shutil.rmtree(directory, ignore_errors=True)
            return True
        with contextlib.suppress(OSError):
            (directory / name).unlink()
            return True
        return False

    def end_all(self) -> None:
        """End every guest. Again, for one that was being started meanwhile."""
        for _ in range(3):
            for process in self.processes():
                self.send(process, signal.SIGKILL)

    def _process(self, pid: int) -> Process | None:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            at = line.find(self._mark)
            if at < 0:
                return None
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        uid = line[at + len(self._mark) :].split(b"\0", 1)[0].decode()
        return None if fields[0] in "ZX" else Process(uid, pid, int(fields[19]), fields[0])


class Watchman(threading.Thread):
    """Looks at the processes again and again: two of one uid, even for a moment, are one too many."""

    def __init__(self, host: Host) -> None:
        super().__init__(name="watchman", daemon=True)
        self.looks = 0
        self.most = 0
        self.doubles: list[str] = []
        self._host = host
        self._ending = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        while not self._ending.wait(_LOOK_EACH_S):
            seen = self._host.processes()
            self.looks += 1
            self.most = max(self.most, len(seen))
            doubled = [uid for uid, count in Counter(process.uid for process in seen).items() if count > 1]
            # The look takes a moment: one that ended during it and its successor are not two at a time.
            alive = [process for process in seen if process.uid in doubled and self._host._process(process.pid)]
            self.doubles += [f"two VMMs of {uid}" for uid, n in Counter(p.uid for p in alive).items() if n > 1]

    def end(self) -> None:
        """End, within one look."""
        self._ending.set()
        self.join(10)


def _listening() -> list[tuple[str, int]]:
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == _LISTENS:
            number, _, port = local.partition(":")
            octets = reversed(bytes.fromhex(number))
            found.append((".".join(map(str, octets)), int(port, 16)))
    return found
