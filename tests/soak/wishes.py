"""What clients ask for while the daemon is being killed, and what may stand there afterwards.

    Wish ──HTTP──▶ done      it stands: an answered write is never lost
                   refused   nothing has changed
                   maybe     the daemon died over it: both are right, until the next look tells which

What is known of an object is therefore a set of possible values. Each client has names of its own, so that no two
wishes for one object are ever under way together. Every wish has an `Idempotency-Key`: one that was cut off may be
sent again to the next daemon, and is then either done once or was never done.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
from tests.soak.lives import PATIENCE_S

Name = tuple[str, str]
"""Collection and name: ("vms", "one")."""
Value = Any
"""Of a VM its power and memory, of a deployment its replicas, of a plugin whether it is enabled. None: not there."""

REFUSALS = {404, 409}
GRACE_S = 3


class Wish(NamedTuple):
    """One request, and what it makes of an object that it is carried out on. `touches`: a guest may end or start."""

    what: str
    name: Name
    method: str
    path: str
    body: Any
    makes: Callable[[Value], Value]
    touches: bool = True


class CutOff(NamedTuple):
    """A wish whose answer nobody got: its key, and what may have stood there before it."""

    wish: Wish
    key: str
    before: set[Value]


@dataclass
class Book:
    """What is asked for, over all clients; kept from round to round."""

    values: dict[Name, set[Value]] = field(default_factory=dict)
    touched: Counter[str] = field(default_factory=Counter)
    """VMs by name whose guest a wish of this round may end or start, and how often."""
    tally: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    cut_off: list[CutOff] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, name: Name) -> set[Value]:
        """What may stand there."""
        return self.values.setdefault(name, {None})

    def is_there(self, name: Name) -> bool:
        """Whether it is there for sure."""
        return None not in self.of(name)

    def key(self, wish: Wish) -> str:
        """A new key for a wish that is about to be sent."""
        with self._lock:
            self.tally[wish.what] += 1
            if wish.touches and wish.name[0] == "vms":
                self.touched[wish.name[1]] += 1
            return f"wish-{sum(self.tally.values())}"

    def note(self, wish: Wish, key: str, answer: httpx2.Response | None) -> None:
        """What became of a wish; None when the daemon is gone."""
        before = self.of(wish.name)
        made = {wish.makes(value) for value in before}
        with self._lock:
            if answer is None:
                self.answers["cut off"] += 1
                self.cut_off.append(CutOff(wish, key, before))
                self.values[wish.name] = before | made
            elif self._is_done(wish, answer):
                self.values[wish.name] = made

    def note_again(self, again: CutOff, answer: httpx2.Response) -> None:
        """What became of a wish that was sent a second time: a refusal means that it had not been carried out."""
        wish, made = again.wish, {again.wish.makes(value) for value in again.before}
        self.answers["asked again"] += 1
        is_done = self._is_done(wish, answer)
        self.values[wish.name] = made if is_done else again.before
        if not is_done and wish.what in ("create", "install"):
            self.wrong.append(f"{wish.what} {wish.name} was cut off, and refused to its own key: {answer.text}")

    def _is_done(self, wish: Wish, answer: httpx2.Response) -> bool:
        if not answer.is_success and answer.status_code not in REFUSALS:
            self.wrong.append(f"{wish.what} {wish.path}: {answer.status_code} {answer.text}")
        # 202 is as good: accepted, and at its end when there is rest.
        return answer.is_success

    def settle(self, seen: dict[Name, Value]) -> Iterable[str]:
        """Compare with what is there at rest, and know it from now on."""
        for name in {*self.values, *seen}:
            value, may_be = seen.get(name), self.of(name)
            if value not in may_be:
                yield f"{'/'.join(name)} is {value}, asked for was one of {may_be}"
            self.values[name] = {value}
        self.touched.clear()


class Client(threading.Thread):
    """Wishes, one after another, until the daemon is gone or told to end."""

    def __init__(self, url: str, book: Book, wishes: Callable[[], Wish | None], pause: Callable[[], float]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._book = book
        self._wishes = wishes
        self._pause = pause
        self._ending = threading.Event()

    def run(self) -> None:
        """Ask."""
        with httpx2.Client(base_url=self._url + "/api/v1", timeout=PATIENCE_S, trust_env=False, verify=False) as api:
            while not self._ending.wait(self._pause()):
                wish = self._wishes()
                if wish is not None and not self._ask(api, wish):
                    return

    def end(self) -> None:
        """No further wishes; the one under way has its answer, or its daemon is gone."""
        self._ending.set()
        self.join(PATIENCE_S + 5)

    def _ask(self, api: httpx2.Client, wish: Wish) -> bool:
        key = self._book.key(wish)
        try:
            answer = sent(api, wish, key)
        except httpx2.TransportError:
            self._book.note(wish, key, None)
            return False
        self._book.note(wish, key, answer)
        return True


def sent(api: httpx2.Client, wish: Wish, key: str) -> httpx2.Response:
    """The answer to a wish."""
    return api.request(wish.method, wish.path, json=wish.body, headers={"idempotency-key": key})


class VMs:
    """A client that creates, stops, starts, restarts, configures and deletes VMs of one plugin."""

    def __init__(
        self, rng: random.Random, book: Book, plugin: str, names: Sequence[str], memory: Sequence[int]
    ) -> None:
        self._rng, self._book, self._plugin, self._names, self._memory = rng, book, plugin, names, memory

    def __call__(self) -> Wish | None:
        """The next wish."""
        rng, vm = self._rng, self._rng.choice(self._names)
        name = ("vms", vm)
        memory = rng.choice(self._memory)
        force = rng.choice(["", "?force=true"])
        if not self._book.is_there(name):
            resources = {"memory_mb": memory}
            body = {"name": vm, "plugin": self._plugin, "grace_s": GRACE_S, "config": {"resources": resources}}
            return Wish("create", name, "POST", "/vms", body, lambda v: v or ("running", memory))
        path = f"/vms/{vm}"
        patch = {"resources": {"memory_mb": memory}}
        return rng.choice(
            [
                Wish("stop", name, "POST", f"{path}/stop{force}", None, lambda v: v and ("stopped", v[1])),
                Wish("start", name, "POST", f"{path}/start", None, lambda v: v and ("running", v[1])),
                Wish("restart", name, "POST", f"{path}/restart", None, lambda v: v and ("running", v[1])),
                Wish("config", name, "PATCH", f"{path}/config", patch, lambda v: v and (v[0], memory), touches=False),
                Wish("delete", name, "DELETE", f"{path}{force}", None, lambda _: None),
            ]
        )


class Deployments:
    """A client that creates, scales and deletes deployments."""

    def __init__(self, rng: random.Random, book: Book, plugin: str, names: Sequence[str], most: int) -> None:
        self._rng, self._book, self._plugin, self._names, self._most = rng, book, plugin, names, most

    def __call__(self) -> Wish | None:
        """The next wish."""
        rng, one = self._rng, self._rng.choice(self._names)
        name, replicas = ("deployments", one), self._rng.randint(0, self._most)
        if not self._book.is_there(name):
            body = {"name": one, "plugin": self._plugin, "replicas": replicas}
            return Wish("create", name, "POST", "/deployments", body, lambda v: replicas if v is None else v)
        if rng.random() < 0.15:
            return Wish("delete", name, "DELETE", f"/deployments/{one}", None, lambda _: None)
        body = {"replicas": replicas}
        return Wish("scale", name, "PATCH", f"/deployments/{one}", body, lambda v: None if v is None else replicas)


class Plugins:
    """A client that installs, enables, disables and removes plugins that nobody uses."""

    def __init__(self, rng: random.Random, book: Book, manifest: dict[str, Any], names: Sequence[str]) -> None:
        self._rng, self._book, self._manifest, self._names = rng, book, manifest, names

    def __call__(self) -> Wish | None:
        """The next wish."""
        rng, one = self._rng, self._rng.choice(self._names)
        name, path = ("plugins", one), f"/plugins/{one}"
        if not self._book.is_there(name):
            return Wish("install", name, "POST", "/plugins", {**self._manifest, "name": one}, lambda v: v is not False)
        if rng.random() < 0.4:
            return Wish("remove", name, "DELETE", path, None, lambda _: None)
        on = rng.random() < 0.5
        return Wish("enable", name, "POST", f"{path}/enabled", {"enabled": on}, lambda v: None if v is None else on)
