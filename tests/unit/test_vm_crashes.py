"""Every way of dying: the daemon ends, or a call fails, before and after each effect of every story of a VM.

The faults are enumerated, not drawn: a story is played once without a fault to learn its effects, then once for each
of them. The end must be the same, and what was started and ended on the way as often as without the fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.builders.guests import ready_of
from tests.builders.objects import a_vm, uid_of
from tests.builders.vm_world import Killed, VMWorld, play

from volant.controllers.vm.plan import wants_down
from volant.drivers.simulated import Behaviour
from volant.errors import Conflict, DriverUnavailable, Unavailable
from volant.model.meta import Key
from volant.model.vm import VM
from volant.reconcile.effects import Moment

UID = uid_of("web-1")
KEY = Key("VM", "web-1")

Story = Callable[[VMWorld], Awaitable[None]]
Effect = tuple[Moment, str]
DESTRUCTIVE = {"hypervisor.request_stop", "hypervisor.kill", "hypervisor.forget", "network.ensure_absent"}


async def create(world: VMWorld) -> None:
    await world.create(a_vm(grace_s=10.0))
    await world.settle()


async def create_and_stop(world: VMWorld) -> None:
    await create(world)
    await world.stop("web-1")
    await world.settle()


async def create_and_kill(world: VMWorld) -> None:
    await create(world)
    world.host.hang(UID)
    await world.stop("web-1")
    await world.settle()


async def create_and_restart(world: VMWorld) -> None:
    await create(world)
    await world.begin("web-1")
    await world.settle()


async def stop_and_start(world: VMWorld) -> None:
    await create_and_stop(world)
    await world.begin("web-1")
    await world.settle()


async def create_and_delete(world: VMWorld) -> None:
    await create(world)
    await world.delete("web-1")
    await world.settle()


async def crash(world: VMWorld) -> None:
    await create(world)
    world.host.crash(UID)
    await world.settle()


async def vanish(world: VMWorld) -> None:
    await create(world)
    world.host.vanish(UID)
    await world.settle()


async def crash_and_delete(world: VMWorld) -> None:
    await create(world)
    world.host.crash(UID)
    await world.look()
    await world.delete("web-1")
    await world.settle()


STORIES: tuple[Story, ...] = (
    create,
    create_and_stop,
    create_and_kill,
    create_and_restart,
    stop_and_start,
    create_and_delete,
    crash,
    vanish,
    crash_and_delete,
)


class Watch:
    """The hook of a played story: justified destruction always, one fault when its turn comes."""

    def __init__(self, world: VMWorld, fault_at: int | None, fault: BaseException | None) -> None:
        self.seen: list[Effect] = []
        self.has_fired = False
        self._world, self._fault_at, self._fault = world, fault_at, fault

    def __call__(self, moment: Moment, op: str, target: object) -> None:
        number = len(self.seen)
        self.seen.append((moment, op))
        if moment == "before":
            self._check(op)
        if self._fault is not None and number == self._fault_at:
            self.has_fired = True
            raise self._fault

    def _check(self, op: str) -> None:
        """What ends a guest is wanted by the store as it is now; what removes its traces comes after its end."""
        guest = self._world.host.guest(UID)
        vm = self._world.store.find(KEY)
        assert isinstance(vm, VM)
        if op in ("hypervisor.request_stop", "hypervisor.kill"):
            assert guest is not None
            assert wants_down(vm, guest.look())
            assert vm.status.stop_deadline is not None
        elif op in DESTRUCTIVE or op == "store.finalize":
            assert guest is None or not guest.is_alive
        elif op == "hypervisor.launch":
            assert not vm.meta.is_deleting
            assert vm.spec.power == "running"


def told(world: VMWorld) -> dict[str, Any]:
    """How a story ended."""
    vm = world.store.find(KEY)
    end: dict[str, Any] = {
        "exists": vm is not None,
        "alive": len(world.host.alive(UID)),
        "left": (len(world.host.guests()), sorted(world.host.networks)),
        "launches": world.host.launches[UID],
        "started": world.types().count("vm.started"),
        "errors": world.types().count("vm.error"),
        "stopped": world.types().count("vm.stopped"),
        "deleted": world.types().count("vm.deleted"),
    }
    if isinstance(vm, VM):
        end |= {"word": world.word(), "restarts": vm.status.restarts, "failures": vm.status.failures}
        end["reason"] = ready_of(vm).reason
        end["exit"] = vm.status.exit.reason if vm.status.exit is not None else None
    return end


def run(story: Story, directory: Path, fault_at: int | None, fault: BaseException | None) -> tuple[Any, Watch]:
    """Play a story with one fault; a daemon that was killed is started again and the story goes on where it was."""
    directory.mkdir()
    result: list[Any] = []

    async def whole(world: VMWorld) -> None:
        watch = Watch(world, fault_at, fault)
        world.hook = watch
        world.survives = (Killed, Unavailable)
        await story(world)
        revision = world.store.revision
        await world.settle()
        assert world.store.revision == revision, "no rest"
        result.extend([told(world), watch])

    play(whole, directory, behaviour=Behaviour(boot_s=0.5, stop_s=0.5))
    return result[0], result[1]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_daemon_that_is_killed_before_or_after_any_effect_goes_on_where_it_was(story: Story, tmp_path: Path) -> None:
    """P2, P7, P10, D2, D3: the same end, no guest more, none less, no crash counted that was none."""
    expected, plain = run(story, tmp_path / "plain", None, None)
    assert len(plain.seen) >= 4
    for number, effect in enumerate(plain.seen):
        ended, watch = run(story, tmp_path / f"{number}", number, Killed())
        assert watch.has_fired
        assert ended == expected, f"killed {effect[0]} {effect[1]}"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("fault", [DriverUnavailable, Conflict, Unavailable])
def test_a_call_that_fails_before_or_after_its_effect_is_made_good(
    story: Story, fault: type[DriverUnavailable | Conflict | Unavailable], tmp_path: Path
) -> None:
    """An error may come though everything was done: the next look tells, not the error."""
    expected, plain = run(story, tmp_path / "plain", None, None)
    for number, (moment, op) in enumerate(plain.seen):
        if op.startswith("store.") == (fault is DriverUnavailable):
            continue  # because no driver raises what a store raises, nor the other way round
        ended, watch = run(story, tmp_path / f"{number}", number, fault("cannot: as planned"))
        assert watch.has_fired
        if fault is DriverUnavailable:
            # A driver that says no is news of its own.
            ended, wanted = ({**end, "errors": 0, "exit": None} for end in (ended, expected))
        else:
            wanted = expected
        assert ended == wanted, f"{fault.__name__} {moment} {op}"
