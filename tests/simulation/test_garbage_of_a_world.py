"""What nobody answers for goes after a while; what somebody answers for, or what cannot be told, stays."""

from __future__ import annotations

from tests.builders.objects import a_manifest
from tests.builders.objects import a_vm as a_vm_row
from tests.builders.world import World, in_world

from volant.clock import Uid
from volant.drivers import Attachment
from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.model.event import Happening
from volant.model.plugin import KernelSource
from volant.store import Transaction

ORPHAN = Uid("f" * 32)


async def a_vm(world: World) -> int:
    """A VM that runs, at rest; its pid."""
    await world.users.install()
    await world.users.create("web")
    await world.rest()
    return world.pid("web")


@in_world()
async def test_a_process_of_ours_that_nobody_knows_goes_after_its_quarantine(world: World) -> None:
    """P11: not before half a minute, and nobody else is touched for it."""
    before = await a_vm(world)
    world.oracles.orphans.add(ORPHAN)
    world.host.orphan(ORPHAN)
    world.host.networks[ORPHAN] = Attachment(mode="user", address="127.88.9.9")
    asked = len(world.host.log)
    await world.passes(29.0)
    assert world.host.alive(ORPHAN)
    await world.until(lambda: not world.host.guest(ORPHAN) and ORPHAN not in world.host.networks, within_s=30.0)
    assert {uid for _, uid in list(world.host.log)[asked:]} == {ORPHAN}
    assert world.pid("web") == before
    await world.rest()
    await world.quiet()


@in_world()
async def test_a_restart_begins_the_quarantine_again(world: World) -> None:
    """P11, D9: nothing that a daemon has only just seen is destroyed by it."""
    await a_vm(world)
    world.oracles.orphans.add(ORPHAN)
    world.host.orphan(ORPHAN)
    for _ in range(4):
        await world.passes(20.0)
        await world.restart()
    assert world.host.alive(ORPHAN)
    await world.until(lambda: not world.host.alive(ORPHAN), within_s=60.0)


@in_world()
async def test_a_process_that_the_store_knows_is_taken_in(world: World) -> None:
    """P11: a guest of a VM that is to be stopped is brought down like any other, not collected as garbage."""
    await a_vm(world)
    await world.users.stop("web")
    await world.rest()
    uid = world.uid("web")
    world.host.orphan(uid)
    await world.until(lambda: not world.host.alive(uid), within_s=2.0)
    await world.rest()
    assert world.ops("request_stop", "kill") == [("request_stop", "web")] * 2


@in_world()
async def test_what_turns_out_to_be_known_is_spared_at_the_last_moment(world: World) -> None:
    """D9, V12: its row comes while another orphan is being killed; the list that it was on is old by then."""
    before = await a_vm(world)
    stranger, friend = Uid("e" * 32), Uid("f" * 32)
    world.oracles.orphans |= {stranger, friend}
    world.host.look_s = 0.5
    world.host.orphan(stranger)
    pid = world.host.orphan(friend).pid
    await world.until(lambda: world.record.effects[-1].op == "hypervisor.kill", within_s=60.0)

    def job(tx: Transaction) -> None:
        tx.insert(a_vm_row("friend", uid=friend), Happening(type="vm.created"))

    await world.store.write(job)
    world.users.vms["friend"] = "running"
    await world.until(lambda: not world.host.guest(stranger))
    world.host.look_s = 0.0
    await world.running("friend")
    assert (world.pid("friend"), world.pid("web")) == (pid, before)
    assert ("kill", "friend") not in world.ops()


@in_world()
async def test_a_look_that_fails_is_no_reason_to_destroy(world: World) -> None:
    """D9: neither guests nor orphans go while the host cannot be looked at."""
    await a_vm(world)
    world.senses.is_blind = True
    world.oracles.orphans.add(ORPHAN)
    world.host.orphan(ORPHAN)
    asked = len(world.host.log)
    await world.passes(300.0)
    assert len(world.host.log) == asked
    world.senses.is_blind = False
    await world.rest()


@in_world()
async def test_a_file_that_no_plugin_refers_to_goes(world: World) -> None:
    """D9: after its quarantine; the files of a plugin stay."""
    await a_vm(world)
    used = set(world.cache.files)
    world.cache.files.add("0" * 64)
    await world.passes(29.0)
    assert len(world.cache.files) == 3
    await world.rest()
    assert world.cache.files == used


@in_world()
async def test_a_file_that_was_removed_by_hand_is_fetched_again(world: World) -> None:
    """L6: within a resync; who runs runs on."""
    before = await a_vm(world)
    world.cache.files.clear()
    await world.until(lambda: len(world.cache.files) == 2, within_s=60.0)
    await world.rest()
    assert world.pid("web") == before
    await world.quiet()


@in_world()
async def test_a_plugin_that_is_not_ready_holds_its_vms_and_lets_them_go(world: World) -> None:
    """L3: they wait, and start by themselves when it is ready."""
    manifest = a_manifest()
    assert isinstance(manifest.kernel, KernelSource)
    world.cache.failing[manifest.kernel.url] = ArtifactUnavailable("cannot fetch: the server does not answer")
    await world.users.install(manifest=manifest)
    await world.users.deploy("api", 2)
    await world.passes(30.0)
    assert world.ops("launch") == []
    assert {world.word(name) for name in world.children("api")} == {"starting"}
    world.cache.failing.clear()
    await world.rest()
    await world.quiet()


@in_world()
async def test_a_refused_artifact_is_an_error_that_is_told_once(world: World) -> None:
    """L7: it is not fetched again and again; nothing is written while it stays so."""
    manifest = a_manifest()
    assert isinstance(manifest.kernel, KernelSource)
    world.cache.failing[manifest.kernel.url] = ArtifactRefused("cannot use it: its digest is another")
    await world.users.install(manifest=manifest)
    await world.users.create("web")
    await world.until(lambda: world.word("web") == "error", within_s=5.0)
    await world.passes(60.0)
    revision = world.store.revision
    await world.passes(1800.0)
    assert world.store.revision == revision
    assert world.told("hello").count("plugin.error") == 1
    world.cache.failing.clear()
    await world.rest()


@in_world()
async def test_a_plugin_goes_with_its_files(world: World) -> None:
    """D2, D3: the files that another plugin refers to stay."""
    await a_vm(world)
    await world.users.install("other", a_manifest("other"))
    await world.rest()
    assert len(world.cache.files) == 3
    assert not await world.users.try_to(world.users.remove())
    await world.users.delete("web")
    await world.until(lambda: not world.exists("web"))
    await world.users.remove()
    await world.rest()
    assert len(world.cache.files) == 2
    await world.quiet()
