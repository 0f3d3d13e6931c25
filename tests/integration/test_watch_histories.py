"""Random readers through random writes, compaction and new daemons: what each was told is judged by the log.

W1-W6, W10, E3: every history is the filtered log, each event exactly once and in order, or says where it is not.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_plugin, a_vm, owner_of, running_status, stopped_status
from tests.builders.server import Served, serving
from tests.builders.stores import DELETED, DELETING, STARTED, UPDATED, told
from tests.builders.watch_judge import Judge
from tests.builders.watchers import Show, Watcher

from volant.model.deployment import Deployment
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.vm import FINALIZER, VM
from volant.store import StoreSettings, Transaction

WATCHERS = 12
LIVES = 3
BATCHES = 100
"""Commits a life, of 1 to 60 writes each."""

SETTINGS = StoreSettings(synchronous="off", event_keep=1500, compact_events=100)


class Writer:
    """Random writes to a few objects of every kind."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, tx: Transaction) -> None:
        """One job."""
        for _ in range(self._rng.randint(1, 60)):
            self._rng.choice([self._vm, self._vm, self._vm, self._vm, self._deployment, self._plugin])(tx)

    def _vm(self, tx: Transaction) -> None:
        rng, key = self._rng, Key("VM", f"vm-{self._rng.randrange(180)}")
        vm = tx.find(key)
        if not isinstance(vm, VM):
            owner = tx.find(Key("Deployment", "web")) if rng.random() < 0.5 else None
            new = a_vm(key.name, uid=tx.new_uid(), plugin=rng.choice(["one", "two"]), owner=owner and owner_of(owner))
            tx.insert(replace(new, meta=replace(new.meta, labels=self._labels())), told("vm.created"))
        elif rng.random() < 0.2:
            tx.finalize(tx.mark_deleting(vm, DELETING), FINALIZER, DELETED)
        elif rng.random() < 0.3:
            tx.update_spec(vm, vm.spec, UPDATED, labels=self._labels())
        elif vm.status.pid is None:
            tx.update_status(vm, running_status(pid=rng.randrange(1, 9999)), STARTED)
        else:
            tx.update_status(vm, stopped_status(), told("vm.stopped", reason="GuestShutdown"))

    def _deployment(self, tx: Transaction) -> None:
        found = tx.find(Key("Deployment", self._rng.choice(["web", "api"])))
        assert isinstance(found, Deployment)
        spec = replace(found.spec, replicas=self._rng.randrange(9), plugin=self._rng.choice(["one", "two"]))
        tx.update_spec(found, spec, told("deployment.scaled"))

    def _plugin(self, tx: Transaction) -> None:
        found = tx.find(Key("Plugin", self._rng.choice(["one", "two"])))
        assert isinstance(found, Plugin)
        enabled = not found.spec.enabled
        event = told("plugin.enabled" if enabled else "plugin.disabled")
        tx.update_spec(found, replace(found.spec, enabled=enabled), event)

    def _labels(self) -> dict[str, str]:
        return self._rng.choice([{}, {"app": "web"}, {"app": "web", "tier": "a"}, {"app": "api", "tier": "b"}])


def found(tx: Transaction) -> None:
    """What is always there."""
    for name in ("one", "two"):
        tx.insert(a_plugin(name, uid=tx.new_uid()), told("plugin.installed"))
    for name in ("web", "api"):
        tx.insert(a_deployment(name, uid=tx.new_uid(), plugin="one"), told("deployment.created"))


async def write(api: Served, rng: random.Random, log: list[Committed]) -> None:
    """One daemon's life: everything that it commits goes to `log`, read from the table where the bus never heard."""
    log += api.store.events_after(len(log), 1_000_000)
    api.deps.bus.listen(log.extend)
    if not log:
        await api.store.write(found)
    writer = Writer(rng)
    for _ in range(BATCHES):
        await api.store.write(writer)
        await asyncio.sleep(rng.choice([0, 0.001, 0.01]))


async def killed(api: Served, rng: random.Random) -> None:
    """The store goes in the middle of a commit: it may be on the disk or not, and nobody has heard of it."""
    last = asyncio.ensure_future(api.store.write(Writer(rng)))
    for _ in range(2):
        await asyncio.sleep(0)
    api.store.abandon()
    await asyncio.wait([last])


def everything(api: Served) -> list[Object]:
    return [*api.store.vms(), *api.store.deployments(), *api.store.plugins()]


async def histories(directory: Path, seed: int) -> tuple[Judge, list[Watcher]]:
    """Three daemons, one after the other, and everybody who watched."""
    rng, show, log = random.Random(seed), Show(), list[Committed]()
    watchers = [Watcher(number, seed) for number in range(WATCHERS)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(watcher.live(show)) for watcher in watchers]
        for life in range(LIVES):
            async with serving(directory, ring_events=256, settings=SETTINGS, heartbeat_s=0.2) as api:
                show.api = api
                await write(api, rng, log)
                if life == LIVES - 1:
                    show.final = api.store.revision
                    await asyncio.wait(running)
                    stored = {obj.meta.key: obj.meta.revision for obj in everything(api)}
                elif rng.random() < 0.5:
                    await killed(api, rng)
                show.api = None
    return Judge(log, stored), watchers


@pytest.mark.parametrize("seed", range(3))
async def test_a_history_is_the_filtered_log_or_says_where_it_is_not(tmp_path: Path, seed: int) -> None:
    """W1, W2, W3, W4, W5, W6, W10, E3"""
    judge, watchers = await histories(tmp_path, seed)
    for watcher in watchers:
        judge.judge(watcher)
    # Or there was nothing to judge.
    assert all(judge.told[word] for word in ("event", "resumed", "bookmark", "expired", "bye")), judge.told
