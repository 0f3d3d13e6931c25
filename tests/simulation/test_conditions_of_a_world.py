"""Every condition that is ever written, read at the moment of its commit: well-formed, current, with a true date."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace
from tests.builders.mayhem import HARSH, Mayhem
from tests.builders.objects import a_manifest, a_vm
from tests.builders.scenarios import CHECK
from tests.builders.world import CALM, World, play

from volant.clock import Uid
from volant.errors import ArtifactUnavailable
from volant.model.conditions import Condition, Tristate, condition
from volant.model.deployment import Deployment
from volant.model.event import Committed
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.sync import Sync
from volant.model.vm import VM

TYPE = re.compile(r"[a-z]+(_[a-z]+)*")
REASON = re.compile(r"([A-Z][a-z]+)+")


class Reader:
    """Reads the conditions of whoever was written, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.reasons: set[str] = set()
        self._last: dict[Uid, VM | Deployment | Plugin] = {}

    def of(self, world: World) -> None:
        """Listen to the daemon of the moment."""
        store = world.store

        def heard(batch: Sequence[Committed]) -> None:
            for event in batch:
                found = store.find_uid(event.uid)
                if found is not None and found.meta.revision == event.revision:
                    self.read(found, event.preceding)

        world.lives[-1].engine.bus.listen_to_all(heard)  # type: ignore[attr-defined]

    def read(self, obj: Object, preceding: int | None) -> None:
        """An object as it is now. Dates are compared where the write before was read, too: `preceding`."""
        assert not isinstance(obj, Sync), "there is none in this world, and none has conditions"
        key, said, was = obj.meta.key, obj.status.conditions, self._last.get(obj.meta.uid)
        self._last[obj.meta.uid] = obj
        names = [c.type for c in said]
        self._expect(names == sorted(set(names)), f"{key}: {names}")
        for one in said:
            self.reasons.add(one.reason)
            self._expect(bool(TYPE.fullmatch(one.type)), f"{key}: the type {one.type!r}")
            self._expect(bool(REASON.fullmatch(one.reason)), f"{key}: the reason {one.reason!r}")
            self._expect(one.status in get_args(Tristate), f"{key}: the status {one.status!r}")
            self._expect(0 < one.observed_generation <= obj.meta.generation, f"{key}: of another generation")
            before = condition(was.status.conditions, one.type) if was is not None else None
            if was is not None and was.meta.revision == preceding and before is not None:
                moved = before.last_update != one.last_update
                self._expect(not moved or before.status != one.status, f"{key}: dates of {before} and {one}")

    def _expect(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.wrong.append(what)


def test_whatever_is_reported_is_a_sound_condition(tmp_path: Path) -> None:
    """V6, V7, V8: every way of a VM, a deployment and a plugin to be well and not to be."""
    reader = Reader()

    async def test(world: World) -> None:
        reader.of(world)
        manifest = a_manifest(health_check=CHECK)
        assert manifest.kernel is not None
        world.cache.failing[manifest.kernel.url] = ArtifactUnavailable("cannot fetch: the server does not answer")
        await world.users.install(manifest=manifest)
        await world.users.create("web")
        await world.users.deploy("api", 2)
        await world.passes(30.0)
        world.cache.failing.clear()
        await world.rest()
        world.host.crash(world.uid("web"))
        await world.users.scale("api", 3)
        await world.rest()
        world.sicken("api-1")
        world.host.mute(world.uid("api-2"))
        await world.passes(60.0)
        world.host.mute(world.uid("api-2"), is_mute=False)
        await world.users.stop("web")
        await world.users.enable(enabled=False)
        await world.users.scale("api", 4)
        await world.passes(30.0)
        world.host.behaviour = replace(CALM, launch="refused")
        await world.users.start("web")
        await world.passes(10.0)
        world.host.behaviour = CALM
        await world.users.enable()
        await world.users.undeploy("api")
        await world.rest()

    play(test, tmp_path, with_probes=True)
    assert reader.wrong == []
    expected = {"Running", "Starting", "Crashed", "NotAnswering", "Stopping", "Stopped", "DriverRefused"}
    expected |= {"ArtifactUnavailable", "Ready", "PluginNotReady", "PluginDisabled", "Deleting", "Complete"}
    assert expected <= reader.reasons, sorted(expected - reader.reasons)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_every_condition_is_sound(seed: int, tmp_path: Path) -> None:
    """V7, V8: in a world that fails by a seed, over the lives of several daemons."""
    reader = Reader()

    async def test(world: World) -> None:
        mayhem = Mayhem(world, with_lies=False)
        heard_by = {len(world.lives)}
        reader.of(world)
        await world.users.install()
        await world.users.try_to(world.users.create("web"))
        for _ in range(25):
            await world.clock.sleep(world.rng.choice([0.1, 1.0, 5.0]))
            if len(world.lives) not in heard_by and not world.lives[-1].is_dead:
                heard_by.add(len(world.lives))
                reader.of(world)
            with suppress(TimeoutError):  # because nobody may be there to answer
                async with asyncio.timeout(20.0):
                    await mayhem.act()
        await mayhem.heal()
        await world.rest(within_s=900.0)

    play(test, tmp_path, seed=seed, behaviour=None, faults=HARSH)
    assert reader.wrong == []
    assert reader.reasons


SOUND = Condition(type="ready", status="true", reason="Running", observed_generation=2, last_update=1.0)


@pytest.mark.parametrize(
    "said",
    [
        (replace(SOUND, last_update=2.0),),
        (replace(SOUND, reason=""),),
        (replace(SOUND, reason="not a word"),),
        (replace(SOUND, type="Ready"),),
        (replace(SOUND, observed_generation=3),),
        (SOUND, SOUND),
    ],
    ids=["moved without a transition", "no reason", "no word", "no type", "of the future", "twice"],
)
def test_what_is_wrong_with_a_condition_is_found(said: tuple[Condition, ...]) -> None:
    """V6, V7, V8: or the reader would agree with everything."""
    vm, reader = a_vm("web", meta={"generation": 2}), Reader()
    reader.read(replace(vm, status=replace(vm.status, conditions=(SOUND,))), None)
    assert reader.wrong == []
    reader.read(replace(vm, status=replace(vm.status, conditions=said)), vm.meta.revision)
    assert reader.wrong
