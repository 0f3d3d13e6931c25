"""Rounds, one after another, on one data directory.

    rest ─▶ wishes and faults ─▶ kill -9 at a random moment ─▶ faults ─▶ next life (at times killed while it starts)
      ▲                                                                             │
      ╰──────────── judged: host, API, database, readers ◀── rest ◀─────────────────╯

Chance comes from one seed. The moments at which processes get to run do not: a seed gives the same wishes and faults,
and about the same moments.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from tests.soak import judge
from tests.soak.faults import Faults
from tests.soak.guest import PORT
from tests.soak.host import Host, Watchman
from tests.soak.ledger import Ledger, Reader
from tests.soak.lives import Lives, own_network
from tests.soak.rest import Json, Look, look, unrest
from tests.soak.wishes import Book, Client, Deployments, Plugins, VMs, sent

_LOOK_EACH_S = 0.05
_QUIET_LOOKS = 3
_CATCH_UP_S = 10.0
_SECOND_DAEMON = 0.08
_KILL_AGAIN = 0.2
_ASK_AGAIN = 0.5
_START_S = 1.5


class Size(NamedTuple):
    """How much is under way at most, and how long rest may take to come. Seconds of wishes before the daemon dies."""

    vms: int
    deployments: int
    replicas: int
    memory_mb: tuple[int, ...]
    wishes_s: float
    rest_s: float
    has_page: bool = False


LIGHT = Size(vms=4, deployments=2, replicas=4, memory_mb=(48, 64, 80), wishes_s=0.6, rest_s=30.0)
"""For guests that start in milliseconds."""
FULL = Size(vms=1, deployments=1, replicas=2, memory_mb=(128, 144), wishes_s=2.0, rest_s=75.0, has_page=True)
"""For guests that boot an operating system."""


class Found(AssertionError):
    """Something that must not be, with the seed that found it."""


class Campaign:
    """One daemon's many lives. A context manager: afterwards none of its processes is left."""

    def __init__(self, directory: Path, manifest: dict[str, Any], artifacts: Path, *, seed: int, size: Size) -> None:
        directory.chmod(0o755)  # because VMMs that are not root's read their kernel below it
        self.seed = seed
        self.rounds = 0
        self.tally: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._size = size
        self._rng = rng = random.Random(seed)
        network = own_network()
        self.lives = Lives(directory / "data", network, artifacts)
        self.host = Host(directory / "data", network)
        self.book = Book()
        self.faults = Faults(rng, self.host)
        self.watchman = Watchman(self.host)
        self.ledger = Ledger(directory / "data", f"{network}.0/24")
        self.readers = [
            Reader("faithful", lambda: self.lives.url, lambda: 1 << 60),
            Reader("restless", lambda: self.lives.url, _leaves(random.Random(seed + 1))),
        ]
        self._clients = self._wishers(manifest)
        self._manifest = manifest
        self._seen: Look

    def __enter__(self) -> Campaign:
        try:
            self._begin()
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()

    def round(self) -> float:
        """One round; how many seconds it took to come to rest after the last kill. Raises Found."""
        self.rounds += 1
        try:
            return self._round()
        except Found:
            raise
        except Exception as error:
            raise self._found([f"{type(error).__name__}: {error}"]) from error

    def _round(self) -> float:
        before = self._seen.guests()
        self.faults.begin_round(before)
        with self._clients_at_work():
            self._trouble(before, self._rng.random() * self._size.wishes_s)
            self.lives.kill()
        wrong = self.ledger.take()
        if self._rng.random() < 0.4:
            self.faults.strike(before)
        if self._rng.random() < 0.5:
            self.faults.release()
        self._next_life(wrong)
        began = time.monotonic()
        if self._rng.random() < _SECOND_DAEMON:
            self.tally["second daemons refused"] += 1
            wrong += [] if self.lives.second() else ["a second daemon was not refused"]
        self.faults.release()
        self._ask_again()
        self._seen = self._rest()
        took_s = time.monotonic() - began
        self.slowest_s = max(self.slowest_s, took_s)
        wrong += judge.restarts(before, self._seen.guests(), self.book, self.faults)
        self._settle(wrong)
        self._part_with_cut_off()
        return took_s

    def finish(self) -> None:
        """End the last daemon in good order and hold everything that was told against everything that was committed."""
        asked_at = datetime.now(UTC)
        code = self.lives.stop()
        wrong = [] if code == 0 else [f"the daemon ended with {code}"]
        wrong += self.ledger.take()
        for reader in self.readers:
            reader.end()
            wrong += self.ledger.compare(reader)
            # Streams end before controllers do: what is committed in between is told to who comes back.
            wrong += self.ledger.untold(reader, asked_at)
        self._refuse(wrong)

    def figures(self) -> str:
        """What was done, in one line."""
        done = {**self.tally, **self.faults.tally, "wishes": sum(self.book.tally.values())}
        words = [f"{self.rounds} rounds", f"{self.lives.kills} kills of the daemon"]
        words += [f"{count} {what}" for what, count in sorted(done.items()) if count]
        words += [f"{count} {what}" for what, count in self.book.answers.items()] + [f"{self.ledger.revision} events"]
        return ", ".join([*words, f"{self.watchman.looks} looks", f"slowest rest {self.slowest_s:.1f} s"])

    def _begin(self) -> None:
        self.lives.begin()
        self.watchman.start()
        for reader in self.readers:
            reader.start()
        name = self._manifest["name"]
        self.lives.api.post("/plugins", json=self._manifest).raise_for_status()
        self.book.values["plugins", name] = {True}
        self._seen = self._rest()

    def _wishers(self, manifest: dict[str, Any]) -> list[Any]:
        size, name, rng = self._size, manifest["name"], self._rng
        chances = [random.Random(rng.random()) for _ in range(3)]
        return [
            VMs(chances[0], self.book, name, [f"vm-{n}" for n in range(size.vms)], size.memory_mb),
            Deployments(chances[1], self.book, name, [f"web-{n}" for n in range(size.deployments)], size.replicas),
            Plugins(chances[2], self.book, manifest, ["spare-0", "spare-1"]),
        ]

    @contextmanager
    def _clients_at_work(self) -> Iterator[None]:
        url, rng = self.lives.url, self._rng
        assert url is not None
        chances = [random.Random(rng.random()) for _ in self._clients]
        clients = [
            Client(url, self.book, wishes, _pauses(chance, self._size.wishes_s / 4))
            for wishes, chance in zip(self._clients, chances, strict=True)
        ]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            for client in clients:
                client.end()

    def _trouble(self, before: Any, for_s: float) -> None:
        """Faults while the daemon lives, until it is to die."""
        ends = time.monotonic() + for_s
        for _ in range(self._rng.choice([0, 0, 1, 1, 2])):
            time.sleep(max(0.0, (ends - time.monotonic()) * self._rng.random()))
            self.faults.strike(before)
        time.sleep(max(0.0, ends - time.monotonic()))

    def _next_life(self, wrong: list[str]) -> None:
        while self._rng.random() < _KILL_AGAIN:
            self.lives.launch()
            time.sleep(self._rng.random() * _START_S)
            self.lives.kill()
            self.tally["kills while starting"] += 1
            wrong += self.ledger.take()
        self.lives.begin()

    def _ask_again(self) -> None:
        for again in self.book.cut_off:
            if self._rng.random() < _ASK_AGAIN:
                self.book.note_again(again, sent(self.lives.api, again.wish, again.key))
        self.book.cut_off.clear()

    def _rest(self) -> Look:
        ends, quiet, revision = time.monotonic() + self._size.rest_s, 0, -1
        while True:
            seen = look(self.lives, self.host)
            wrong = unrest(seen, self.faults.cut_off)
            quiet = quiet + 1 if not wrong and seen.revision == revision else 0
            revision = seen.revision
            if quiet >= _QUIET_LOOKS:
                self._read_pages(seen, ends)
                return self._with_memory(seen)
            if time.monotonic() > ends:
                self._refuse([f"no rest within {self._size.rest_s:.0f} s", *wrong])
            time.sleep(_LOOK_EACH_S)

    def _read_pages(self, seen: Look, ends: float) -> None:
        """Each guest that serves a page serves its own: it has booted, or goes on as if nothing had happened."""
        for vm in seen.vms if self._size.has_page else ():
            while vm["status"] == "running" and vm["name"] not in self._page(vm):
                if time.monotonic() > ends:
                    self._refuse([f"the page of {vm['name']} does not answer"])
                time.sleep(_LOOK_EACH_S)

    def _page(self, vm: Json) -> str:
        try:
            return httpx2.get(f"http://{vm['ip']}:{PORT}/", timeout=2, trust_env=False).text
        except httpx2.HTTPError:
            return ""

    def _with_memory(self, seen: Look) -> Look:
        for vm in seen.vms:
            if "owner" not in vm:
                config = self.lives.get(f"/vms/{vm['name']}/config")
                vm["asked_memory_mb"] = config["resources"]["memory_mb"]
        return seen

    def _settle(self, wrong: list[str]) -> None:
        wrong += self.book.settle(self._seen.values())
        wrong += self.book.wrong
        wrong += self.watchman.doubles
        self._catch_up(wrong)
        for reader in self.readers:
            wrong += self.ledger.compare(reader)
        self.ledger.drop_before(min(reader.compared for reader in self.readers))
        self._refuse(wrong)

    def _catch_up(self, wrong: list[str]) -> None:
        ends = time.monotonic() + _CATCH_UP_S
        while any(reader.last < self._seen.revision for reader in self.readers):
            if time.monotonic() > ends:
                told = {reader.name: reader.last for reader in self.readers}
                wrong.append(f"readers are told up to {told} of {self._seen.revision}")
                return
            time.sleep(_LOOK_EACH_S)

    def _part_with_cut_off(self) -> None:
        """Delete the VMs that nobody can ask any more: their guests are to be ended without a word."""
        for vm in self._seen.vms:
            if vm["uid"] in self.faults.cut_off:
                answer = self.lives.api.delete(f"/vms/{vm['name']}?force=true")
                self._refuse([] if answer.status_code == 204 else [f"cut off, not deleted: {answer.text}"])
                self.book.values["vms", vm["name"]] = {None}
                self._seen = self._rest()

    def _refuse(self, wrong: list[str]) -> None:
        if wrong:
            raise self._found(wrong)

    def _found(self, wrong: list[str]) -> Found:
        about = f"round {self.rounds} of seed {self.seed}"
        return Found("\n".join([about, *wrong, "the daemon's last words:", self.lives.last_words()]))

    def _end_all(self) -> None:
        self.faults.release()
        self.lives.end()
        self.host.end_all()
        if self.watchman.is_alive():
            self.watchman.end()
        for reader in self.readers:
            if reader.is_alive():
                reader.end()


def _leaves(rng: random.Random) -> Callable[[], int]:
    return lambda: rng.choice([1, 3, 10, 100])


def _pauses(rng: random.Random, most_s: float) -> Callable[[], float]:
    return lambda: rng.random() * most_s
