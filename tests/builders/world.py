"""A world to run the whole daemon in: virtual time, a real database, a simulated host; and daemons that come and go.

    World ── clock, host, cache, database file, uids, users, record of effects, oracles     outlives every daemon
      └── Life ── store, bus, drivers, engine                                                 until it is killed

    @in_world()
    async def test_x(world):
        await world.users.install()
        await world.users.create("web")
        await world.rest()

A daemon that dies is started again a second later, as an init system would, unless a test wants it down. Every wait is
bounded in virtual time and asks the oracles; what they complain of comes with the stories of the keys.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.builders.harm import Harm, Plan, Record
from tests.builders.life import Host, Life, Senses, new_database
from tests.builders.oracles import Oracles
from tests.builders.rest import unrest
from tests.builders.virtual_time import VirtualClock, run_virtual
from tests.builders.wishes import Users
from tests.builders.world_cache import WorldCache

from volant.clock import Uid
from volant.controllers.garbage import SWEEP
from volant.drivers.simulated import Behaviour
from volant.drivers.simulated.behaviour import Answers
from volant.errors import NotFound, StartupError, Unavailable
from volant.model.meta import Key, Kind
from volant.model.vm import VM, StatusWord, status_word
from volant.store import Store

if TYPE_CHECKING:
    from tests.builders.frozen import Frozen

DOWN_S = 1.0
UP_WITHIN_S = 900.0
STEP_S = 0.2
REST_STEP_S = 0.5
CALM = Behaviour(launch_s=0.05, boot_s=0.5, stop_s=0.3)
"""A guest that starts, stops and never fails."""
QUIET_S = 600.0
SETTLE_S = 5.0
MAX_TURNS = 200_000
"""Of the loop, in one world: a spin is found out in seconds."""


class World:
    """Everything that outlives a daemon."""

    def __init__(
        self,
        clock: VirtualClock,
        directory: Path,
        *,
        seed: int = 1,
        with_probes: bool = False,
        daemon: Mapping[str, Any] | None = None,
        **host: Any,
    ) -> None:
        """`daemon` are further arguments of each Life, `host` those of SimulatedHost."""
        self._daemon = {"with_probes": with_probes, **(daemon or {})}
        self.clock = clock
        self.seed = seed
        self.rng = random.Random(seed)
        self.host = Host(clock, random.Random(seed + 1), **{"behaviour": CALM, **host})
        self.cache = WorldCache()
        self.senses = Senses(random.Random(seed + 2))
        self.record = Record()
        self.oracles = Oracles(self.host, clock, self.cache)
        self.users = Users(self)
        self.record.spoils = self.senses.spoils
        self.senses.spoils.name_of, self.senses.spoils.clock = self.oracles.name, clock.monotonic
        self.lives: list[Life] = []
        self.path = directory / "volant.db"
        shutil.copyfile(new_database(), self.path)
        self._uids = 0
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._life: Life | None = None
        self._no_start = ""

    # The daemon.

    async def keep_alive(self) -> None:
        """Run daemons until cancelled, one at a time."""
        while True:
            await self._wanted.wait()
            try:
                life = self._life = self._born()
            except StartupError as error:
                self._no_start = error.message
                await self.clock.sleep(DOWN_S)
                continue
            self._ended.clear()
            try:
                await life.run()
            finally:
                if self._life is life:  # Another one may have taken over.
                    self._life = None
                self._ended.set()
            await self.clock.sleep(DOWN_S)

    def _born(self, **daemon: Any) -> Life:
        def effects(life: Life) -> Harm:
            return Harm(life, self.record, self.oracles.looked)

        life = Life(
            self.path,
            clock=self.clock,
            host=self.host,
            cache=self.cache,
            senses=self.senses,
            uids=self._next_uid,
            effects=effects,
            heard=lambda batch: self.oracles.heard(life, batch),
            seed=self.seed + len(self.lives),
            **{**self._daemon, **daemon},
        )
        self.lives.append(life)
        self.oracles.opened(life)
        return life

    def _next_uid(self) -> Uid:
        self._uids += 1
        return Uid(f"{self._uids:032x}")

    def __getstate__(self) -> dict[str, Any]:
        """What outlives all daemons."""
        return {**self.__dict__, "lives": [], "_life": None}

    def start_soon(self) -> None:
        """Have a daemon from now on, as soon as one can be had."""
        self._wanted.set()

    async def start(self) -> Life:
        """The same, and wait for it."""
        self.start_soon()
        return await self.up()

    async def crash(self) -> None:
        """`kill -9`, and no daemon until `start`."""
        self._wanted.clear()
        if self._life is not None:
            self._life.kill()
            await self._ended.wait()

    async def restart(self, down_s: float = DOWN_S) -> Life:
        """`kill -9`, and another start after so long."""
        await self.crash()
        await self.clock.sleep(down_s)
        return await self.start()

    async def stop(self) -> None:
        """SIGTERM, and no daemon until `start`."""
        self._wanted.clear()
        if self._life is not None:
            life = self._life
            try:
                await life.engine.drain(1.0)
                await life.store.close()
            finally:
                life.kill()
            await self._ended.wait()

    async def up(self) -> Life:
        """The daemon of the moment, waited for if there is none."""
        give_up_at = self.clock.monotonic() + UP_WITHIN_S
        while self._life is None or self._life.is_dead:
            self.check()
            if self.clock.monotonic() > give_up_at:
                raise AssertionError(self.account(f"no daemon within {UP_WITHIN_S:g} s: {self._no_start}"))
            await self.clock.sleep(STEP_S)
        return self._life

    @property
    def store(self) -> Store:
        """The store of the moment. Raises Unavailable while no daemon runs."""
        if self._life is None or self._life.is_dead:
            raise Unavailable("cannot look: no daemon runs")
        return self._life.store

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """Another program has the database locked, so that commits fail. Reading goes on, as with a full disk."""
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    # Looking.

    def vm(self, name: str) -> VM:
        """The VM as stored."""
        return self.store.vm(name)

    def word(self, name: str) -> StatusWord:
        """What users read."""
        return status_word(self.vm(name))

    def exists(self, name: str, kind: Kind = "VM") -> bool:
        """Whether there is such an object."""
        return self.store.find(Key(kind, name)) is not None

    def uid(self, name: str) -> Uid:
        """The uid of a VM."""
        return self.vm(name).meta.uid

    def pid(self, name: str) -> int:
        """The pid of a VM's live process, on the host."""
        (guest,) = self.host.alive(self.uid(name))
        return guest.pid

    def children(self, deployment: str) -> list[str]:
        """The names of the replicas that are to stay."""
        owner = self.store.deployment(deployment).meta.uid
        return [vm.meta.name for vm in self.store.vms(owner=owner) if not vm.meta.is_deleting]

    def ops(self, *ops: str) -> list[tuple[str, str]]:
        """What the host was asked for so far, by name: all of it, or only these."""
        return [(op, self.oracles.name(uid)) for op, uid in self.host.log if not ops or op in ops]

    def jump(self, seconds: float) -> None:
        """The wall clock is put forward, or back."""
        self.oracles.jumped_at = self.clock.monotonic()
        self.clock.jump(seconds)

    def sicken(self, name: str, answers: Answers = "unhealthy") -> None:
        """The guest fails its probes from now on."""
        self.oracles.sick.add(self.uid(name))
        self.host.answer(self.uid(name), answers)

    def births(self, name: str) -> list[float]:
        """When (monotonic) guests of VMs called so have begun."""
        return [at for uid, at in self.host.births if self.oracles.name(uid) == name]

    def told(self, name: str) -> list[str]:
        """The types of the events of everything that was called so, in order."""
        return [event.type for event in self.oracles.replay.events if event.key.name == name]

    # Waiting.

    async def until(self, what: Callable[[], object], *, within_s: float = 120.0) -> None:
        """Let time pass until `what` is true while a daemon runs."""
        give_up_at = self.clock.monotonic() + within_s
        while not self._is_so(what):
            self.check()
            if self.clock.monotonic() >= give_up_at:
                raise AssertionError(self.account(f"it was not so within {within_s:g} s"))
            await self.clock.sleep(STEP_S)
        self.check()

    async def running(self, *names: str, within_s: float = 120.0) -> None:
        """Wait until these VMs run."""
        await self.until(lambda: all(self.word(name) == "running" for name in names), within_s=within_s)

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)
        self.check()

    async def rest(self, *, within_s: float = 600.0) -> None:
        """Wait until everything is as users wish and as the store says, then for what is written about that."""
        give_up_at = self.clock.monotonic() + within_s
        while self._unrest(1):
            self.check()
            if self.clock.monotonic() >= give_up_at:
                raise AssertionError(self.account(f"no rest within {within_s:g} s: {self._unrest()}"))
            await self._something_happens()
        await self.passes(SETTLE_S)
        if why := self._unrest():
            raise AssertionError(self.account(f"no rest, after all: {why}"))

    async def quiet(self, seconds: float = QUIET_S) -> None:
        """Let time pass in which nothing may be written, tried or asked for (L7)."""
        before = self._done_so_far()
        await self.passes(seconds)
        after = self._done_so_far()
        assert after == before, self.account(f"no quiet: {before} became {after}")
        assert self.store.revision == self.oracles.replay.revision, self.account("somebody has written in silence")

    def check(self) -> None:
        """Raise AssertionError when an oracle complains or a daemon has ended by itself."""
        complaints = self.oracles.complaints
        fault = next((life.fault for life in self.lives if life.fault is not None), None)
        if complaints or fault is not None:
            raise AssertionError(self.account("; ".join(complaints[:5]) or "the daemon has ended by itself")) from fault

    def account(self, what: str) -> str:
        """`what`, and what led to it."""
        replay = self.oracles.replay
        parts = [
            f"{what} (seed {self.seed}, at {self.clock.monotonic():.3f} s)",
            f"spoiled: {[(at, op, self.oracles.name(target), how) for at, (op, target), how in self.record.spoiled]}",
            f"last effects: {[f'{op} {self.oracles.name(target)}' for op, target in self.record.effects[-20:]]}",
            f"last events: {[f'{event.revision} {event.type} {event.key.name}' for event in replay.events[-20:]]}",
        ]
        return "\n".join([*parts, *self._stories()])

    def _stories(self) -> Iterable[str]:
        keys = [*dict.fromkeys(event.key for event in self.oracles.replay.events), SWEEP]
        for number, life in list(enumerate(self.lives, 1))[-2:]:
            for controller in life.engine.controllers:
                for key in keys:
                    if controller.stories.of(key):
                        yield f"life {number}, {controller.name}: {controller.stories.text(key)}"

    async def _something_happens(self) -> None:
        """Let time pass until anything is written or done, or two seconds: looking at everything costs more."""
        before = self._done_so_far()
        for _ in range(4):
            await self.clock.sleep(REST_STEP_S)
            if self._done_so_far() != before:
                return

    def _unrest(self, at_most: int | None = None) -> list[str]:
        try:
            return list(itertools.islice(unrest(self), at_most))
        except (Unavailable, NotFound) as error:
            return [error.message]

    def _is_so(self, what: Callable[[], object]) -> bool:
        try:
            return bool(what())
        except (Unavailable, NotFound, ValueError):
            return False

    def _done_so_far(self) -> tuple[int, ...]:
        """How much was written, tried, asked for and started."""
        return (self.oracles.replay.revision, len(self.record.effects), len(self.host.log), len(self.lives))


Test = Callable[[World], Awaitable[None]]


def play(
    test: Test, directory: Path, *, plan: Plan | None = None, frozen: Frozen | None = None, **world_options: Any
) -> World:
    """Run `test` in a world of its own with a daemon that runs; the world as it is afterwards.

    The world is one that was put away, or else a new one. Its database is in `directory`.
    """

    async def main(clock: VirtualClock) -> World:
        world = World(clock, directory, **world_options) if frozen is None else frozen.thaw(clock, directory)
        world.record.plan = plan
        daemons = asyncio.create_task(world.keep_alive(), name="daemons")
        try:
            await world.start()
            await test(world)
            world.check()
        finally:
            await world.crash()
            daemons.cancel()
            await asyncio.wait([daemons])
        if not daemons.cancelled():
            daemons.result()
        world.check()
        return world

    if frozen is None:
        return run_virtual(main, max_iterations=MAX_TURNS)
    return run_virtual(main, at=frozen.at, epoch=frozen.epoch, max_iterations=MAX_TURNS)


def in_world(**options: Any) -> Callable[[Test], Callable[[Path], None]]:
    """Make a test of an `async def test_x(world)`; `options` are those of `play`."""

    def wrap(test: Test) -> Callable[[Path], None]:
        def run(tmp_path: Path) -> None:
            play(test, tmp_path, **options)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return wrap
