"""What was committed, as each dead daemon left it, and whether readers of the stream were told exactly that.

    kill -9 ─▶ copy of the database ─▶ opened ─▶ events ─▶ replay == tables
                                                  ╰─▶ told to readers: each once, in order, to the letter

The copy is opened as the next daemon opens the original, so every round also proves that a database cut off at a
random moment opens.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import httpx2
from tests.builders.replay import Replay
from tests.builders.stores import open_store

BATCH = 5000
_READ_S = 20.0
"""Streams beat more often."""
_AGAIN_S = 0.02


class Told(NamedTuple):
    """One event as a reader gets it."""

    revision: int
    type: str
    data: str


class Ledger:
    """Every event so far, replayed; those that not all readers have been compared with are kept."""

    def __init__(self, data_dir: Path, pool: str) -> None:
        self._data_dir = data_dir
        self._pool = pool
        self._replay = Replay()
        self._log: dict[int, Told] = {}

    @property
    def revision(self) -> int:
        """The last one."""
        return self._replay.revision

    def take(self) -> list[str]:
        """What is wrong with the database of a daemon that is dead."""
        with tempfile.TemporaryDirectory() as copy:
            for file in self._data_dir.glob("volant.db*"):
                if not file.name.endswith("-shm"):
                    shutil.copyfile(file, Path(copy) / file.name)
            return self._read(Path(copy))

    def compare(self, reader: Reader) -> Iterable[str]:
        """Where a reader was told something else than was committed."""
        told, reader.told = reader.told, []
        for place, event in enumerate(told):
            if event.revision > self.revision:
                reader.told = [*told[place:], *reader.told]
                break
            if event.revision != reader.compared + 1:
                yield f"{reader.name} is told {event.revision} after {reader.compared}"
            reader.compared = event.revision
            if self._log.get(event.revision, event) != event:
                yield f"{reader.name} is told {event}, committed was {self._log[event.revision]}"
        yield from reader.complaints
        reader.complaints.clear()

    def untold(self, reader: Reader, before: datetime) -> Iterable[str]:
        """What was committed before that moment, and a reader was never told."""
        for event in self._log.values():
            at = datetime.fromisoformat(json.loads(event.data)["timestamp"])
            if event.revision > reader.last and at < before:
                yield f"{reader.name} was told up to {reader.last}, and never of {event}"

    def drop_before(self, revision: int) -> None:
        """Forget what every reader has been compared with."""
        for old in [number for number in self._log if number <= revision]:
            del self._log[old]

    def _read(self, directory: Path) -> list[str]:
        store = open_store(directory, pool=self._pool)
        try:
            wrong = []
            while batch := store.events_after(self.revision, BATCH):
                for event in batch:
                    wrong += self._replay.feed(event)
                    self._log[event.revision] = Told(event.revision, event.type, event.data.decode())
            self._replay.events.clear()
            return wrong + self._replay.differences(store)
        finally:
            asyncio.run(store.close())


class Reader(threading.Thread):
    """Follows `/events` through every life of the daemon by `Last-Event-ID`.

    `leaves_after()` is after how many events it hangs up by itself, to come again with the last id.
    """

    def __init__(self, name: str, url: Callable[[], str | None], leaves_after: Callable[[], int]) -> None:
        super().__init__(name=name, daemon=True)
        self.told: list[Told] = []
        self.complaints: list[str] = []
        self.compared = 0
        self.last = 0
        self.visits = 0
        self._url = url
        self._leaves_after = leaves_after
        self._ending = threading.Event()

    def run(self) -> None:
        """Read until told to end."""
        with httpx2.Client(timeout=_READ_S, trust_env=False, verify=False) as client:
            while not self._ending.wait(_AGAIN_S):
                url = self._url()
                if url is None:
                    continue
                try:
                    self._visit(client, url)
                except httpx2.TransportError:
                    continue  # because the daemon is gone, and what was cut off is told again by the next

    def end(self) -> None:
        """No more visits. One under way ends with its daemon."""
        self._ending.set()
        self.join(_READ_S + 5)

    def _visit(self, client: httpx2.Client, url: str) -> None:
        left = self._leaves_after()
        headers = {"last-event-id": str(self.last)}
        with client.stream("GET", url + "/api/v1/events", headers=headers) as answer:
            if answer.status_code == 503:
                return  # because it is about to end in good order: the next life tells the rest
            if answer.status_code != 200:
                self.complaints.append(f"{self.name}: {answer.status_code} after {self.last}")
                return
            self.visits += 1
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, text = line.partition(":")
                    fields[name] = text.removeprefix(" ")
                    continue
                left -= self._take(fields)
                fields = {}
                if left <= 0 or self._ending.is_set():
                    return

    def _take(self, fields: dict[str, str]) -> bool:
        if "event" not in fields or fields["event"] == "bye":
            return False
        if "id" not in fields or "data" not in fields:
            self.complaints.append(f"{self.name}: told {fields} after {self.last}")
            return False
        self.last = int(fields["id"])
        self.told.append(Told(self.last, fields["event"], fields["data"]))
        return True
