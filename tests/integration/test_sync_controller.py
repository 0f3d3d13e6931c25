"""The sync controller against the API in process: its pace, what it is kept from, and what it leaves alone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.builders.server import PATIENCE_S, Served, serving
from tests.builders.stores import HandClock
from tests.builders.virtual_time import settle

from volant.client import ApiError, AsyncClient, NoAnswer, NotReached
from volant.client.call import Call
from volant.clock import Uid
from volant.controllers.sync import Configured, SyncReconciler
from volant.controllers.sync.reconciler import Send
from volant.daemon.syncs import InProcess
from volant.errors import Unavailable
from volant.gitops import Aim, Directory, Render, SyncFailed
from volant.model.event import Happening, past
from volant.model.meta import Key, Meta
from volant.model.sync import Sync, SyncSpec
from volant.reconcile import Again, Controller, Gate

KEY = Key("Sync", "infra")
INTERVAL_S = 30.0


@dataclass
class Scripted:
    """A source that says what a test wants, and counts."""

    directory: Directory
    trouble: str = ""
    renders: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False

    def render(self) -> Render:
        self.renders += 1
        if self.hangs:
            assert self.ended.wait(PATIENCE_S)
            raise SyncFailed("it was told to end")
        if self.trouble:
            raise SyncFailed(self.trouble)
        return self.directory.render()

    def end(self) -> None:
        self.ended.set()


@dataclass
class Desk:
    """An API, a sync of a directory, and a clock that is moved by hand."""

    api: Served
    source: Scripted
    clock: HandClock
    sync: SyncReconciler
    root: Path
    ourselves: InProcess

    def told_otherwise(self, **spec: Any) -> None:
        """Other settings."""
        self.sync = reconciler(self.api, self.source, self.ourselves.send, self.clock, SyncSpec(**spec))

    async def turn(self) -> float:
        """Seconds until the next one."""
        outcome = await self.sync.reconcile(KEY)
        assert isinstance(outcome, Again)
        return outcome.after_s

    @property
    def found(self) -> Sync:
        sync = self.api.store.find(KEY)
        assert isinstance(sync, Sync)
        return sync

    def say(self, text: str, name: str = "db.yaml") -> None:
        (self.root / name).write_text(text)


def vm(name: str) -> str:
    return f"kind: VM\nmetadata: {{name: {name}}}\nspec: {{plugin: hello}}\n"


def reconciler(api: Served, source: Scripted, send: Send, clock: HandClock, spec: SyncSpec) -> SyncReconciler:
    configured = Configured(spec, Aim("infra", prune=spec.prune, force=spec.force), lambda: source)
    return SyncReconciler(store=api.store, syncs=[configured], send=send, clock=clock)


@asynccontextmanager
async def desk(root: Path, *, fails: list[Exception] | None = None) -> AsyncIterator[Desk]:
    """Calls meet the `fails` first, one each."""
    (root / "infra").mkdir()
    clock, ourselves = HandClock(), InProcess()

    async def send(call: Call[Any]) -> Any:
        if fails:
            raise fails.pop(0)
        return await ourselves.send(call)

    async with serving(root) as api:
        await api.installed()
        ourselves.reach(api.server.config.app)
        source = Scripted(Directory(root / "infra"))
        sync = reconciler(api, source, send, clock, SyncSpec(prune=True, interval_s=INTERVAL_S))
        here = Desk(api, source, clock, sync, root / "infra", ourselves)
        here.say(vm("db"))
        try:
            yield here
        finally:
            await ourselves.close()


async def test_an_attempt_is_made_when_it_is_due_or_asked_for(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert await here.turn() == INTERVAL_S
        assert (here.found.status.state, here.api.store.vm("db").spec.plugin) == ("synced", "hello")
        # Whoever wakes it (a resync, another daemon's news) does not change its pace.
        here.clock.forward(10)
        assert (await here.turn(), here.source.renders) == (20.0, 1)
        asked = here.sync.ask("infra")
        assert (await here.turn(), here.source.renders, asked.done()) == (INTERVAL_S, 2, True)
        here.clock.forward(INTERVAL_S)
        before = here.api.store.revision
        assert (await here.turn(), here.source.renders) == (INTERVAL_S, 3)
        assert here.api.store.revision == before


async def test_failures_double_the_pause_up_to_ten_intervals_and_apply_nothing(tmp_path: Path) -> None:
    """A7: nothing is applied and nothing pruned of what cannot be read whole; the store hears of it once."""
    async with desk(tmp_path) as here:
        await here.turn()
        here.source.trouble = "cannot fetch"
        pauses = []
        for _ in range(6):
            here.clock.forward(10_000)
            pauses.append(await here.turn() / INTERVAL_S)
        assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
        assert here.sync.attempts("infra").failures == 6
        assert (here.found.status.state, here.found.status.error) == ("failing", "cannot fetch")
        told = [event.type for event in here.api.store.last_events(here.found.meta.uid, 10)]
        assert told == ["sync.created", "sync.applied", "sync.failed"]
        assert not here.api.store.vm("db").meta.is_deleting
        here.source.trouble = ""
        here.clock.forward(10_000)
        assert await here.turn() == INTERVAL_S
        assert (here.found.status.state, here.found.status.error) == ("synced", None)


async def test_a_mistake_is_told_with_its_place_in_the_file(tmp_path: Path) -> None:
    """A9: whoever finds it, the reader or the daemon."""
    async with desk(tmp_path) as here:
        here.say("kind: VM\nmetadata: {name: db}\nspec: {plugin: hello, confg: {}}\n")
        await here.turn()
        assert "db.yaml:3:" in (here.found.status.error or "")
        here.say(vm("db").replace("hello", "nobody"))
        here.clock.forward(INTERVAL_S)
        await here.turn()
        assert "db.yaml:3:16: /spec/plugin: there is no plugin nobody" in (here.found.status.error or "")
        assert here.api.store.keys("VM") == []


@pytest.mark.parametrize("trouble", [ApiError(503, "unavailable", "the disk is full"), NoAnswer("nobody there")])
async def test_a_store_that_takes_no_writes_is_no_failure_of_a_sync(tmp_path: Path, trouble: Exception) -> None:
    """S4: it is passed on to the runner, which keeps everybody from acting."""
    async with desk(tmp_path, fails=[trouble]) as here:
        with pytest.raises(Unavailable):
            await here.turn()
        assert (here.found.status.state, here.sync.attempts("infra").failures) == ("pending", 0)


async def test_nothing_is_tried_behind_a_closed_gate_or_before_the_first_look(tmp_path: Path) -> None:
    """L4, S4."""
    async with desk(tmp_path) as here:
        looked, gate = asyncio.Event(), Gate(here.clock)
        gate.close("the store is unavailable")
        with running(here, looked, gate) as controller:
            run = asyncio.get_running_loop().create_task(controller.run())
            try:
                await settle()
                assert here.source.renders == 0
                looked.set()
                await settle()
                assert here.source.renders == 0
                gate.open("the store is unavailable")
                async with asyncio.timeout(PATIENCE_S):
                    while not here.source.renders:
                        await asyncio.sleep(0.005)
            finally:
                run.cancel()
                await asyncio.wait([run])


async def test_a_turn_that_is_given_up_ends_what_it_reads(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.source.hangs = True
        turn = asyncio.get_running_loop().create_task(here.sync.reconcile(KEY))
        async with asyncio.timeout(PATIENCE_S):
            while not here.sync.attempts("infra").is_working:
                await asyncio.sleep(0.005)
        turn.cancel()
        await asyncio.wait([turn])
        assert (turn.cancelled(), here.source.ended.is_set()) == (True, True)
        assert not here.sync.attempts("infra").is_working


async def test_what_other_settings_change_is_no_drift_and_what_a_client_changes_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.told_otherwise(prune=False)
        here.say(vm("more"), "more.yaml")
        await here.turn()
        (here.root / "more.yaml").unlink()
        here.told_otherwise(prune=False)
        await here.turn()
        here.told_otherwise(prune=True)
        await here.turn()
        assert here.api.store.vm("more").meta.is_deleting
        assert (here.found.meta.generation, here.found.status.drifts) == (2, 0)
        await here.api.delete("/vms/db?wait=none")
        await here.api.clears(here.api.store.vm("db"))
        here.clock.forward(INTERVAL_S)
        await here.turn()
        assert (here.found.status.drifts, here.api.store.vm("db").meta.is_deleting) == (1, False)


async def test_what_somebody_else_says_is_out_of_sync_until_it_is_taken_over(tmp_path: Path) -> None:
    """A1: without `force` a conflict is said, with the place in the file, and nothing is changed."""
    async with desk(tmp_path) as here:
        here.say(vm("db").replace("hello}", "hello, grace_s: 5, config: {resources: {memory_mb: 128}}}"))
        await here.turn()
        commit = here.found.status.commit
        await here.api.patch("/vms/db/config", resources={"memory_mb": 512})
        here.clock.forward(INTERVAL_S)
        await here.turn()
        status = here.found.status
        assert (status.state, status.commit, status.drifts) == ("out_of_sync", commit, 0)
        assert "db.yaml:3:" in (status.error or "")
        assert "api says 512, not 128" in (status.error or "")
        assert here.api.store.vm("db").spec.config.resources.memory_mb == 512
        here.told_otherwise(force=True)
        await here.turn()
        assert (here.found.status.state, here.api.store.vm("db").spec.config.resources.memory_mb) == ("synced", 128)


async def test_what_was_applied_before_its_report_was_lost_is_reported_and_not_applied_again(tmp_path: Path) -> None:
    """A4: as after `kill -9` between the two."""
    async with desk(tmp_path) as here:
        await here.turn()
        uid, commit = here.api.store.vm("db").meta.uid, here.found.status.commit
        await here.api.store.write(lambda tx: tx.mark_deleting(tx.get(KEY), Happening(type="sync.deleting")))
        revision = here.api.store.vm("db").meta.revision
        here.told_otherwise(prune=True)
        await here.turn()
        assert (here.found.status.commit, here.found.status.state, here.found.status.applies) == (commit, "synced", 0)
        assert (here.api.store.vm("db").meta.uid, here.api.store.vm("db").meta.revision) == (uid, revision)
        (last,) = here.api.store.last_events(here.found.meta.uid, 1)
        assert (last.type, past(last).commit, past(last).message) == (
            "sync.applied",
            commit,
            "nothing in it was to be changed",
        )


async def test_waiting_for_an_attempt_ends_with_its_timeout(tmp_path: Path) -> None:
    """N3: what was asked for stands, and the answer says that it is not so yet."""
    asked: list[asyncio.Future[None]] = []

    def sync_now(_: str) -> asyncio.Future[None]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    async with serving(tmp_path, sync_now=sync_now) as api:
        meta = Meta(name="infra", uid=Uid("1" * 32), kind="Sync", created_at=0.0)
        await api.store.create(Sync(meta=meta, spec=SyncSpec(dir="/srv")), Happening(type="sync.created", actor="test"))
        at_once = await api.post("/syncs/infra/sync")
        assert (at_once.status_code, at_once.headers.get("volant-wait"), len(asked)) == (202, None, 1)
        late = await api.post("/syncs/infra/sync?wait=tried&timeout=10ms")
        assert (late.status_code, late.headers["volant-wait"], late.json()["status"]["state"]) == (
            202,
            "timeout",
            "pending",
        )
        async with asyncio.TaskGroup() as tasks:
            waits = tasks.create_task(api.post("/syncs/infra/sync?wait=tried"))
            while len(asked) < 3:
                await asyncio.sleep(0.002)
            asked[-1].set_result(None)
        assert waits.result().status_code == 200
        async with AsyncClient("http://127.0.0.1", app=api.server.config.app) as client:
            assert [one.name for one in await client.syncs.list()] == ["infra"]
            assert (await client.syncs.get("infra")).spec.dir == "/srv"
            with pytest.raises(NotReached):
                await client.syncs.now("infra", wait="tried", timeout_s=0.01)
        assert (await api.get("/syncs/other")).json()["code"] == "sync_not_found"
        assert (await api.http.post("/syncs/infra/sync", headers={"If-Match": '"9"'})).status_code == 412
        async with api.events("/events?initial=true&kind=Sync") as stream:
            (state,) = await stream.take(1)
            assert (state.event, state.data["status"]["state"]) == ("sync.state", "pending")


async def test_no_request_makes_a_sync(tmp_path: Path) -> None:
    """Whoever may apply may not have the daemon read its host."""
    async with serving(tmp_path) as api:
        assert (await api.post("/syncs", set="x", dir="/etc")).status_code == 405
        assert (await api.http.put("/syncs/x", json={"dir": "/etc"})).status_code == 405
        one = {"kind": "Sync", "metadata": {"name": "x"}, "spec": {"dir": "/etc"}}
        refused = await api.post("/apply", set="x", objects=[one])
        assert (refused.status_code, refused.json()["details"]["fields"][0]["path"]) == (400, "/objects/0/kind")
        assert (await api.get("/manifests?kind=Sync")).status_code == 400


@contextmanager
def running(here: Desk, looked: asyncio.Event, gate: Gate) -> Iterator[Controller[Key]]:
    yield Controller(
        "sync",
        here.sync.reconcile,
        clock=here.api.deps.clock,
        rng=random.Random(1),
        resync_keys=here.sync.resync_keys,
        ready=looked,
        gate=gate,
    )
