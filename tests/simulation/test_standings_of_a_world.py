"""What the daemon tells of keys: facts of this moment, without anything that nobody checked."""

from __future__ import annotations

from tests.builders.objects import a_manifest
from tests.builders.world import World, in_world

from volant.daemon.standings import INTERNAL, TURN_FAILED, Standings
from volant.model.meta import Key
from volant.model.why import Transfer

WEB = Key("VM", "web")


@in_world()
async def test_a_fault_of_the_program_is_told_without_its_words(world: World) -> None:
    await world.users.install()
    await world.users.create("web")
    await world.rest()
    life = await world.up()
    life.engine.vms._failed(WEB, ValueError("TOPSECRET"), "TOPSECRET")
    facts = Standings(life.engine, life.store, world.clock).of(world.clock.now(), [WEB])
    own = facts.own(WEB)
    assert own is not None
    assert (own.reason, own.message, own.failures) == (TURN_FAILED, "", 1)
    assert own.turns[-1].outcome == INTERNAL
    assert "TOPSECRET" not in str(facts)
    assert own.next_at is not None
    assert own.next_at >= world.clock.now()


@in_world()
async def test_an_object_has_the_controllers_that_look_at_it(world: World) -> None:
    await world.users.install()
    life = await world.up()
    keys = [WEB, Key("Deployment", "api"), Key("Plugin", "hello")]
    facts = Standings(life.engine, life.store, world.clock).of(world.clock.now(), keys)
    assert [[s.controller for s in facts.standings[key]] for key in keys] == [["vm"], ["deployment"], ["plugin"]]


@in_world()
async def test_downloads_are_asked_for_by_address_and_checksum(world: World) -> None:
    await world.users.install(manifest=a_manifest())
    life = await world.up()
    asked: list[tuple[str, str | None]] = []

    def progress(url: str, checksum: str | None) -> tuple[int, int | None] | None:
        asked.append((url, checksum))
        return (5, None) if url.endswith("vmlinuz") else None

    key = Key("Plugin", "hello")
    facts = Standings(life.engine, life.store, world.clock, progress).of(world.clock.now(), [key])
    assert facts.transfers == {key: {"kernel": Transfer(received_bytes=5)}}
    assert [url.rpartition("/")[2] for url, _ in asked] == ["vmlinuz", "hello.cpio"]


@in_world()
async def test_before_the_first_look_and_in_trouble_it_is_said(world: World) -> None:
    """L4, S4"""
    await world.users.install()
    world.senses.is_blind = True
    life = await world.restart()
    await world.passes(3.0)
    standings = Standings(life.engine, life.store, world.clock)
    facts = standings.of(world.clock.now(), [])
    assert not facts.has_looked
    assert "put out the light" in facts.look_trouble
    world.senses.is_blind = False
    await world.rest()
    with world.no_writes():
        await life.store.probe()
        await world.passes(5.0)
        facts = standings.of(world.clock.now(), [])
        assert facts.trouble
        assert facts.is_paused
        assert facts.next_try_at is not None
        assert facts.next_try_at >= world.clock.now()
    await world.rest()
    assert not standings.of(world.clock.now(), []).is_paused
