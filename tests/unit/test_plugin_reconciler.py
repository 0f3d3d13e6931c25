"""Turns of the plugin controller on a real store and a web that obeys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from tests.builders.artifacts import FakeCache, digest_of
from tests.builders.fleet import Fleet, a_fleet
from tests.builders.objects import a_deployment, a_manifest, a_plugin, a_vm
from tests.builders.stores import open_store
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.controllers.plugin import PluginReconciler
from volant.controllers.plugin.reconciler import REFUSED_S
from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable, Fenced
from volant.model.conditions import condition
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.plugin import READY, Manifest, Plugin, digests, is_complete
from volant.reconcile import DONE, Again, Outcome

HELLO = Key("Plugin", "hello")
KERNEL_URL = "http://127.0.0.1:9000/vmlinuz"
INITRAMFS_URL = "http://127.0.0.1:9000/hello.cpio"


class Room:
    """The plugin controller, its store and its cache."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.store, self.cache = fleet, fleet.store, FakeCache()
        self.plugins = self.reborn()

    def reborn(self) -> PluginReconciler:
        self.plugins = PluginReconciler(
            store=self.store, cache=self.cache, clock=self.fleet.clock, effects=self.fleet.effects
        )
        return self.plugins

    async def turn(self, key: Key = HELLO) -> Outcome:
        return await self.plugins.reconcile(key)

    async def fails(self, kind: type[ArtifactError]) -> None:
        with pytest.raises(kind):
            await self.turn()

    @property
    def plugin(self) -> Plugin:
        return self.store.plugin("hello")

    def states(self) -> dict[str, str]:
        return {role: artifact.state for role, artifact in self.plugin.status.artifacts.items()}

    def why(self) -> str:
        ready = condition(self.plugin.status.conditions, READY)
        assert ready is not None
        return ready.reason


@contextmanager
def a_room(clock: VirtualClock) -> Iterator[Room]:
    with a_fleet(clock=clock) as fleet:
        yield Room(fleet)


@virtual
async def test_artifacts_are_fetched_and_reported(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        assert await room.turn() is DONE
        assert is_complete(room.plugin)
        assert digests(room.plugin) == {
            "kernel": digest_of(KERNEL_URL.encode()),
            "initramfs": digest_of(INITRAMFS_URL.encode()),
        }
        assert room.plugin.status.artifacts["kernel"].size_bytes == len(KERNEL_URL)
        assert room.fleet.told() == ["plugin.installed", *["plugin.updated"] * 3, "plugin.ready"]


@virtual
async def test_at_rest_nothing_is_fetched_and_nothing_written(clock: VirtualClock) -> None:
    """L7: after a restart, too."""
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.turn()
        revision, asked = room.store.revision, len(room.cache.asked)
        await room.turn()
        await room.reborn().reconcile(HELLO)
        assert (room.store.revision, len(room.cache.asked)) == (revision, asked)


@virtual
async def test_a_file_removed_by_hand_is_fetched_again(clock: VirtualClock) -> None:
    """L6"""
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.turn()
        del room.cache.files[digest_of(KERNEL_URL.encode())]
        room.cache.held[KERNEL_URL] = asyncio.Event()
        turn = asyncio.get_running_loop().create_task(room.turn())
        await settle()
        assert room.states() == {"kernel": "downloading", "initramfs": "ready"}
        room.cache.held[KERNEL_URL].set()
        await turn
        assert is_complete(room.plugin)
        assert room.cache.asked.count(KERNEL_URL) == 2


@virtual
async def test_what_is_not_there_now_is_tried_again_and_reported_once(clock: VirtualClock) -> None:
    """L7, V10"""
    with a_room(clock) as room:
        room.cache.served[KERNEL_URL] = ArtifactUnavailable(f"cannot fetch {KERNEL_URL}: no answer")
        await room.fleet.create(a_plugin())
        await room.fails(ArtifactUnavailable)
        assert room.states() == {"kernel": "error", "initramfs": "ready"}
        assert room.why() == "ArtifactUnavailable"
        revision = room.store.revision
        for _ in range(3):
            await room.fails(ArtifactUnavailable)
        assert room.store.revision == revision
        assert room.cache.asked.count(KERNEL_URL) == 4
        del room.cache.served[KERNEL_URL]
        assert await room.turn() is DONE
        assert room.fleet.told()[-1] == "plugin.ready"


@virtual
async def test_what_was_refused_is_left_alone_for_a_while(clock: VirtualClock) -> None:
    """Q14: its own report, or a resync, brings no other attempt; time does."""
    with a_room(clock) as room:
        room.cache.served[KERNEL_URL] = ArtifactRefused(f"cannot fetch {KERNEL_URL}: a forbidden address")
        await room.fleet.create(a_plugin())
        for _ in range(3):
            await room.fails(ArtifactRefused)
        assert room.why() == "ArtifactRefused"
        assert room.fleet.told().count("plugin.error") == 1
        assert room.cache.asked.count(KERNEL_URL) == 1
        await clock.sleep(REFUSED_S)
        del room.cache.served[KERNEL_URL]
        assert await room.turn() is DONE
        assert is_complete(room.plugin)


async def change(room: Room, manifest: Manifest) -> None:
    old = room.plugin
    spec = replace(old.spec, manifest=manifest)
    await room.store.write(lambda tx: tx.update_spec(old, spec, Happening(type="plugin.updated")))


@virtual
async def test_another_manifest_is_tried_at_once(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        wrong = a_manifest(kernel=replace(a_manifest().kernel, checksum="sha256:" + "0" * 64))  # type: ignore[type-var]
        await room.fleet.create(a_plugin(manifest=wrong))
        await room.fails(ArtifactRefused)
        await change(room, a_manifest())
        assert await room.turn() is DONE
        assert is_complete(room.plugin)


@virtual
async def test_one_worth_a_retry_is_raised_before_one_that_is_not(clock: VirtualClock) -> None:
    """Q14: or nobody would try it again before the next resync."""
    with a_room(clock) as room:
        room.cache.served[KERNEL_URL] = ArtifactRefused("cannot use the kernel")
        room.cache.served[INITRAMFS_URL] = ArtifactUnavailable("cannot fetch the initramfs")
        await room.fleet.create(a_plugin())
        await room.fails(ArtifactUnavailable)
        assert room.why() == "ArtifactRefused"


@virtual
async def test_a_fetch_that_nobody_waits_for_is_given_up(clock: VirtualClock) -> None:
    """D4: a plugin deleted during its download goes within a moment, not with the download."""
    with a_room(clock) as room:
        room.cache.held[KERNEL_URL] = asyncio.Event()
        await room.fleet.create(a_plugin())
        turn = asyncio.get_running_loop().create_task(room.turn())
        await clock.sleep(10)
        assert not turn.done()
        await room.fleet.delete(HELLO)
        assert await turn is DONE
        assert room.cache.given_up == [KERNEL_URL]
        assert room.store.find(HELLO) is None
        assert room.fleet.told()[-1] == "plugin.removed"


@virtual
async def test_a_fetch_for_an_old_manifest_is_given_up(clock: VirtualClock) -> None:
    """V12"""
    with a_room(clock) as room:
        room.cache.held[KERNEL_URL] = asyncio.Event()
        await room.fleet.create(a_plugin())
        turn = asyncio.get_running_loop().create_task(room.turn())
        await settle()
        kernel = replace(a_manifest().kernel, url="http://127.0.0.1:9000/newer")  # type: ignore[type-var]
        await change(room, a_manifest(kernel=kernel))
        await turn
        await room.turn()
        assert room.cache.given_up == [KERNEL_URL]
        assert digests(room.plugin)["kernel"] == digest_of(b"http://127.0.0.1:9000/newer")


@virtual
async def test_disabling_it_during_a_fetch_loses_nothing(clock: VirtualClock) -> None:
    """V12: the outcome is reported on the row as it is then."""
    with a_room(clock) as room:
        room.cache.held[KERNEL_URL] = asyncio.Event()
        await room.fleet.create(a_plugin())
        turn = asyncio.get_running_loop().create_task(room.turn())
        await settle()
        await room.fleet.enable(False)
        room.cache.held[KERNEL_URL].set()
        assert await turn is DONE
        assert is_complete(room.plugin)
        assert room.plugin.status.observed_generation == 2


@virtual
async def test_a_plugin_takes_its_files_with_it(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.turn()
        await room.fleet.delete(HELLO)
        assert await room.turn() is DONE
        assert room.store.find(HELLO) is None
        assert room.cache.files == {}
        assert await room.turn() is DONE


@virtual
async def test_a_file_that_another_plugin_refers_to_stays(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.fleet.create(a_plugin("other"))
        await room.turn()
        await room.turn(Key("Plugin", "other"))
        await room.fleet.delete(HELLO)
        await room.turn()
        assert set(room.cache.files) == {
            digest_of(KERNEL_URL.encode()),
            digest_of(b"http://127.0.0.1:9000/other.cpio"),
        }


@virtual
async def test_a_plugin_in_use_stays_until_it_no_longer_is(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.turn()
        for user in (a_vm("web-1"), a_deployment("web")):
            await room.fleet.create(user)
        await room.fleet.delete(HELLO)
        assert isinstance(await room.turn(), Again)
        await room.fleet.delete(Key("VM", "web-1"))
        await room.fleet.bury()
        assert isinstance(await room.turn(), Again)
        assert len(room.cache.files) == 2
        await room.fleet.delete(Key("Deployment", "web"))
        await room.fleet.turn("web")
        assert await room.turn() is DONE
        assert room.store.find(HELLO) is None


@virtual
async def test_events_and_resyncs_lead_to_plugins_only(clock: VirtualClock) -> None:
    """L1"""
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.fleet.create(a_vm("web-1"))
        assert [list(room.plugins.concerns(event)) for event in room.fleet.events] == [[HELLO], []]
        assert list(room.plugins.resync_keys()) == [HELLO]


class Crash(BaseException):
    """The daemon ends here."""


EFFECTS = 9
"""How many effects it takes to fetch two artifacts, and to remove them with their plugin."""


async def live_and_die(room: Room, fired: list[str]) -> None:
    await room.fleet.create(a_plugin())
    await survive(room, fired)
    assert is_complete(room.plugin)
    await room.fleet.delete(HELLO)
    await survive(room, fired)
    assert room.store.find(HELLO) is None
    assert room.cache.files == {}


async def survive(room: Room, fired: list[str]) -> None:
    before = len(fired)
    try:
        await room.turn()
    except Crash:
        assert len(fired) == before + 1
        await room.reborn().reconcile(HELLO)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_crash_around_any_effect_converges_to_the_same_end(moment: str, at: int) -> None:
    """D3: whatever was done or not done when the daemon died."""

    @virtual
    async def story(clock: VirtualClock) -> None:
        seen: list[str] = []
        fired: list[str] = []

        def crash(when: str, op: str, _target: object) -> None:
            if when == moment:
                seen.append(op)
                if len(seen) == at + 1:
                    fired.append(op)
                    raise Crash

        with a_room(clock) as room:
            room.fleet.effects.hook = crash
            await live_and_die(room, fired)
        assert fired, "the fault must have happened, or nothing was tried"

    story()


@virtual
async def test_every_effect_of_that_story_is_crashed_at(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        ops: list[str] = []
        room.fleet.effects.hook = lambda when, op, _: ops.append(op) if when == "before" else None
        await live_and_die(room, [])
        assert len(ops) == EFFECTS, ops


@virtual
async def test_a_deposed_daemon_removes_no_file(clock: VirtualClock) -> None:
    """S3: another daemon may have a plugin by now that needs it."""
    with a_room(clock) as room:
        await room.fleet.create(a_plugin())
        await room.turn()
        await room.fleet.delete(HELLO)
        files = dict(room.cache.files)
        usurper = open_store(room.store._path.parent, clock=clock)
        with pytest.raises(Fenced):
            await room.turn()
        usurper.abandon()
        assert room.cache.files == files != {}
