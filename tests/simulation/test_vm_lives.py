"""The lives of single VMs under the whole daemon: started, stopped, crashed, deleted, in virtual time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.scenarios import at_first
from tests.builders.world import CALM, World, in_world, play

from volant.controllers.vm.restarts import JITTER
from volant.model.vm import ExitReason, RestartPolicy


async def a_vm(world: World, name: str = "web", *, grace_s: float = 10.0) -> None:
    """A VM that runs, at rest."""
    await world.users.install()
    await world.users.create(name, grace_s=grace_s)
    await world.rest()


@in_world()
async def test_a_vm_is_created_runs_and_is_left_alone(world: World) -> None:
    """L7: from the row to the running guest in five steps, and then nothing is written for ten minutes."""
    await a_vm(world)
    vm = world.vm("web")
    assert vm.spec.address == "127.88.0.10"
    assert vm.status.pid == world.pid("web")
    assert world.host.networks[vm.meta.uid].address == vm.spec.address
    assert world.told("web")[0] == "vm.created"
    assert world.told("web")[-1] == "vm.started"
    assert world.ops("launch") == [("launch", "web")]
    await world.quiet()


@in_world()
async def test_a_stop_is_asked_for_and_not_forced(world: World) -> None:
    """P7: the end of the grace period is reported before the guest is asked."""
    await a_vm(world)
    await world.users.stop("web")
    await world.rest()
    assert world.word("web") == "stopped"
    assert world.ops("request_stop", "kill") == [("request_stop", "web")]
    assert world.told("web")[-1] == "vm.stopped"
    await world.quiet()


@pytest.mark.parametrize("down", [None, (4.0, 3.0), (1.0, 30.0)], ids=["up", "down for a while", "down beyond it"])
def test_what_hangs_is_killed_at_the_stored_deadline(down: tuple[float, float] | None, tmp_path: Path) -> None:
    """P7: neither sooner nor later, also when the daemon was down meanwhile: its grace period does not begin again."""

    async def test(world: World) -> None:
        await a_vm(world)
        uid = world.uid("web")
        world.host.hang(uid)
        await world.users.stop("web")
        await world.until(lambda: world.vm("web").status.stop_deadline is not None)
        deadline = world.vm("web").status.stop_deadline
        assert deadline is not None
        assert deadline == pytest.approx(world.clock.now() + 10.0, abs=0.5)
        up_again_at = 0.0
        if down is not None:
            await world.passes(down[0])
            await world.restart(down[1])
            up_again_at = world.clock.now()
        await world.rest()
        end = world.vm("web").status.exit
        assert end is not None
        assert max(deadline, up_again_at - 0.3) <= end.at <= max(deadline, up_again_at) + 0.5
        assert ("kill", "web") in world.ops()
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_a_forced_stop_does_not_ask(world: World) -> None:
    """P7: force is the end of the grace period."""
    await a_vm(world)
    world.host.hang(world.uid("web"))
    await world.users.stop("web", force=True)
    await world.until(lambda: world.word("web") == "stopped", within_s=2.0)
    assert world.ops("request_stop", "kill") == [("kill", "web")]


@in_world(behaviour=replace(CALM, loses_stops=1))
async def test_a_lost_request_to_stop_is_repeated(world: World) -> None:
    """P7: it costs seconds, not the grace period."""
    await a_vm(world, grace_s=60.0)
    await world.users.stop("web")
    await world.until(lambda: world.word("web") == "stopped", within_s=15.0)
    assert world.ops("request_stop", "kill") == [("request_stop", "web")] * 2


@in_world()
async def test_a_restart_is_a_stop_and_another_guest(world: World) -> None:
    """P1: what somebody asked for is no crash: there is no delay and no failure."""
    await a_vm(world)
    before = world.pid("web")
    await world.users.start("web")
    await world.until(lambda: world.word("web") == "restarting", within_s=1.0)
    await world.rest()
    status = world.vm("web").status
    assert (status.restarts, status.failures) == (1, 0)
    assert world.pid("web") != before
    assert "vm.error" not in world.told("web")
    assert world.births("web")[1] - world.births("web")[0] < 10.0


@in_world(script=at_first(*[replace(CALM, ends_after_s=1.0)] * 9))
async def test_a_crash_loop_slows_down_to_a_minute(world: World) -> None:
    """P1: 1 s, 2 s, 4 s, ... 60 s, each within the jitter."""
    await world.users.install()
    await world.users.create("web")
    await world.until(lambda: len(world.births("web")) == 10, within_s=900.0)
    pauses = [later - earlier - 1.0 for earlier, later in pairwise(world.births("web"))]
    for pause_s, plain_s in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert plain_s * (1 - JITTER) <= pause_s <= plain_s * (1 + JITTER) + 0.5
    await world.rest()
    await world.quiet()


@in_world()
async def test_ten_good_minutes_forgive_every_crash(world: World) -> None:
    """P1: the delay begins at a second again."""
    await a_vm(world)
    for number in range(1, 4):
        world.host.crash(world.uid("web"))
        await world.rest()
        assert world.vm("web").status.failures == number
    await world.passes(601.0)
    world.host.crash(world.uid("web"))
    await world.rest()
    assert world.vm("web").status.failures == 1


@pytest.mark.parametrize("down_s", [1.0, 20.0, 200.0])
def test_a_daemon_that_restarts_goes_on_waiting(down_s: float, tmp_path: Path) -> None:
    """P2: count and time of the next start are stored: neither begins again, and nothing starts before its time."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.until(lambda: world.vm("web").status.failures == 6, within_s=300.0)
        at = world.vm("web").status.next_restart_at
        assert at is not None
        assert at > world.clock.now() + 20.0
        births = len(world.births("web"))
        await world.restart(down_s)
        up_at = world.clock.now()
        assert world.vm("web").status.failures == 6
        await world.until(lambda: len(world.births("web")) > births)
        assert max(at, up_at) - 0.5 <= world.clock.now() <= max(at, up_at) + 0.5
        assert world.word("web") == "restarting"

    play(test, tmp_path, behaviour=replace(CALM, ends_after_s=1.0))


@pytest.mark.parametrize(
    ("policy", "how", "again"),
    [
        ("always", "guest_shutdown", True),
        ("on_failure", "guest_panic", True),
        ("on_failure", "guest_shutdown", False),
        ("never", "guest_panic", False),
    ],
)
def test_the_restart_policy_decides_by_how_it_ended(
    policy: RestartPolicy, how: ExitReason, again: bool, tmp_path: Path
) -> None:
    """P8: also when the end came while no daemon was there."""

    async def test(world: World) -> None:
        await world.users.install()
        for name in ("seen", "unseen"):
            await world.users.create(name, restart_policy=policy)
        await world.rest()
        uids = {name: world.uid(name) for name in ("seen", "unseen")}
        world.host.crash(uids["seen"], how)
        await world.passes(1.0)
        await world.crash()
        world.host.crash(uids["unseen"], how)
        await world.start()
        if not again:
            world.users.vms = {"seen": "held", "unseen": "held"}
        await world.rest()
        assert [len(world.births(name)) for name in uids] == [1 + again] * 2
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_a_guest_that_vanishes_is_replaced(world: World) -> None:
    """L6: nobody can say how it ended, and that is what is said."""
    await a_vm(world)
    world.host.vanish(world.uid("web"))
    await world.rest()
    end = world.vm("web").status.exit
    assert end is not None
    assert end.reason == "unknown"
    assert len(world.births("web")) == 2


@in_world()
async def test_a_guest_whose_record_is_lost_is_left_running(world: World) -> None:
    """P10: for want of a record it is taken for what was asked for."""
    await a_vm(world)
    before = world.pid("web")
    world.host.lose_record(world.uid("web"))
    await world.restart()
    await world.passes(120.0)
    assert world.pid("web") == before
    assert world.vm("web").status.restarts == 0


@in_world()
async def test_a_start_is_not_lost_with_the_record_of_the_guest_before(world: World) -> None:
    """P8: what was booted before is known from the store, so that what was asked for since is still owed."""
    await world.users.install()
    await world.users.create("web", restart_policy="never")
    await world.rest()
    uid = world.uid("web")
    world.host.lose_record(uid)
    world.senses.deaf = 1.0
    world.host.crash(uid)
    await world.users.start("web")
    await world.rest()
    assert len(world.births("web")) == 2


@pytest.mark.parametrize("lie", ["nothing", "exited"])
def test_a_lie_makes_no_second_guest(lie: str, tmp_path: Path) -> None:
    """P10, V12: a driver that is wrong once costs a report, never a process."""

    async def test(world: World) -> None:
        await a_vm(world)
        world.oracles.believes_lies = True
        uid, before = world.uid("web"), world.pid("web")
        truth = world.host.look(uid)
        assert truth is not None
        world.host.lie(uid, None if lie == "nothing" else replace(truth, state="exited", pid=None))
        await world.until(lambda: "vm.error" in world.told("web"))
        await world.rest()
        assert world.pid("web") == before
        assert world.vm("web").status.restarts == 0
        assert world.ops("kill", "request_stop") == []
        await world.quiet()

    play(test, tmp_path)


@in_world(script=at_first(replace(CALM, launch="refused")))
async def test_a_refusal_is_shown_and_tried_again_at_a_resync(world: World) -> None:
    """L5: not by backoff, because the same request would be refused again; somebody may have mended the host."""
    await world.users.install()
    await world.users.create("web")
    await world.until(lambda: world.word("web") == "error", within_s=2.0)
    await world.passes(5.0)
    assert len(world.ops("launch")) == 1
    await world.running("web", within_s=60.0)


@in_world(script=at_first(*[replace(CALM, launch="unavailable")] * 3))
async def test_what_is_unavailable_is_tried_again_soon(world: World) -> None:
    """P1: and it counts for nothing: no guest has ended."""
    await world.users.install()
    await world.users.create("web")
    await world.running("web", within_s=5.0)
    status = world.vm("web").status
    assert (status.restarts, status.failures) == (0, 0)
    assert len(world.ops("launch")) == 4


@in_world()
async def test_wishes_that_change_faster_than_the_world_end_at_the_last(world: World) -> None:
    """L3: stopped, running, stopped, running, stopped: the ones in between need not be visited."""
    await a_vm(world)
    for _ in range(5):
        await world.users.stop("web")
        await world.clock.sleep(0.15)
        await world.users.start("web")
        await world.clock.sleep(0.15)
    await world.users.stop("web")
    await world.rest()
    assert world.word("web") == "stopped"
    await world.quiet()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_delays_nothing_for_long(hours: int, tmp_path: Path) -> None:
    """P1, P7: a deadline or a restart that a jump has moved an hour away comes near again; one that is past is due."""

    async def test(world: World) -> None:
        await a_vm(world)
        await world.users.create("other", grace_s=10.0)
        await world.rest()
        world.host.hang(world.uid("web"))
        await world.users.stop("web")
        world.host.crash(world.uid("other"))
        await world.passes(0.5)
        world.jump(hours * 3600.0)
        await world.rest(within_s=90.0)
        await world.quiet()

    play(test, tmp_path)
