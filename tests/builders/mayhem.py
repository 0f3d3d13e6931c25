"""Whatever users, hosts and daemons can do wrong, drawn from a seed; and the day on which it stops.

act ── one thing, drawn ──▶ users | guests | host | daemon | clock | database
heal ── no more faults, and what was broken works again; what users wished for stays wished for
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from msgspec.structs import replace
from tests.builders.harm import Effect
from tests.builders.spoils import How
from tests.builders.world import CALM, World

from volant.clock import Uid
from volant.drivers.simulated import Faults
from volant.drivers.simulated.guest import Guest
from volant.errors import NotFound, Unavailable
from volant.model.rollout import Strategy
from volant.model.vm import VM, RestartPolicy, VMConfig

HARSH = Faults(
    refused=0.05,
    unavailable=0.1,
    dies=0.1,
    ends=0.25,
    ends_within_s=60.0,
    hangs=0.2,
    loses_stop=0.3,
    launch_within_s=0.3,
    boot_within_s=6.0,
    stop_within_s=6.0,
)
VMS = ("web", "db", "api-2")
"""The last is a name that a replica would like to have."""
DEPLOYMENTS = ("api", "job")
STRATEGIES = (
    Strategy(max_surge=1, max_unavailable=0),
    Strategy(max_surge=0, max_unavailable=1),
    Strategy(max_surge="100%", max_unavailable="50%", auto_revert=True, progress_deadline_s=20.0),
    Strategy(min_ready_s=5.0, progress_deadline_s=30.0, auto_revert=True),
)
HARM: tuple[How, ...] = ("crash before", "crash after", "error", "lost answer", "twice")
HARM_CHANCE = 0.06
UNLOCK_CHANCE = 0.3


class Mayhem:
    """One world's share of it."""

    def __init__(self, world: World, *, with_lies: bool) -> None:
        self._world = world
        self._rng = world.rng
        self._lock = ExitStack()
        self._orphans = 0
        self.done: list[str] = []
        """What was done, and when: the story of a seed."""
        self._acts: list[tuple[int, Callable[[], Awaitable[object] | None]]] = [
            (6, self._create),
            (4, self._switch),
            (3, self._delete),
            (3, self._deploy),
            (6, self._scale),
            (2, self._undeploy),
            (4, self._roll),
            (2, self._replica),
            (1, self._plugin),
            (5, self._guest),
            (1, self._network),
            (1, self._orphan),
            (2, self._jump),
            (4, self._daemon),
            (2, self._senses),
            (2, self._database),
        ]
        if with_lies:
            world.oracles.believes_lies = True
            self._acts.append((3, self._lie))
            world.host.faults = replace(world.host.faults, stale=0.05)
        world.record.plan = self._harm
        # A host that takes its time: what a turn has read grows old while it looks.
        world.host.look_s, world.host.attach_s = self._rng.choice([(0.0, 0.0), (0.03, 0.05), (0.3, 0.3)])

    async def act(self) -> None:
        """One thing."""
        if self._rng.random() < UNLOCK_CHANCE:
            self._lock.close()
        weights, acts = zip(*self._acts, strict=True)
        (act,) = self._rng.choices(acts, weights)
        self.done.append(f"{self._world.clock.monotonic():.2f} {act.__name__}")
        try:
            doing = act()
            if doing is not None:
                await doing
        except (Unavailable, NotFound):
            self.done[-1] += " (could not)"

    async def heal(self) -> None:
        """From now on nothing goes wrong any more but what guests have begun."""
        world = self._world
        world.record.plan = None
        world.senses.deaf, world.senses.is_blind = 0.0, False
        world.host.network_fault, world.host.behaviour, world.host.faults = None, CALM, Faults()
        self._lock.close()
        world.start_soon()
        for guest in world.host.guests():
            guest.is_mute, guest.answers = False, "healthy"
        await world.users.enable()
        life = await world.up()
        for vm in life.store.vms():
            if vm.spec.restart_policy != "always" and vm.meta.name in world.users.vms:
                # Or nobody could say whether it is to be running: that depends on how it has ended.
                await world.users.try_to(world.users.start(vm.meta.name))
        await world.clock.sleep(HARSH.ends_within_s + 10.0)

    def _harm(self, _at: int, _effect: Effect) -> How | None:
        return self._rng.choice(HARM) if self._rng.random() < HARM_CHANCE else None

    # Users.

    async def _create(self) -> None:
        users, policy = self._world.users, self._draw_policy()
        name = self._rng.choice(VMS)
        grace_s = self._rng.choice([0.0, 5.0, 20.0])
        await users.try_to(users.create(name, grace_s=grace_s, restart_policy=policy))

    async def _switch(self) -> None:
        users, vm = self._world.users, self._some_vm()
        if self._rng.random() < 0.5 or vm.meta.owner is not None:
            await users.try_to(users.start(vm.meta.name))
        else:
            await users.try_to(users.stop(vm.meta.name, force=self._rng.random() < 0.2))

    async def _delete(self) -> None:
        users, vm = self._world.users, self._some_vm()
        await users.try_to(users.delete(vm.meta.name, force=self._rng.random() < 0.2))

    async def _deploy(self) -> None:
        users = self._world.users
        await users.try_to(users.deploy(self._rng.choice(DEPLOYMENTS), self._rng.randint(0, 5)))

    async def _scale(self) -> None:
        users = self._world.users
        await users.try_to(users.scale(self._rng.choice(DEPLOYMENTS), self._rng.randint(0, 6)))

    async def _roll(self) -> None:
        """Another template, or the same anew; by another strategy, or the one that it has."""
        users, name = self._world.users, self._rng.choice(DEPLOYMENTS)
        strategy = self._rng.choice([None, *STRATEGIES])
        spec = self._rng.choice([{}, {"config": VMConfig(env={"LEVEL": self._rng.choice("123")})}])
        await users.try_to(users.roll(name, strategy=strategy, **spec))

    async def _undeploy(self) -> None:
        users = self._world.users
        await users.try_to(users.undeploy(self._rng.choice(DEPLOYMENTS)))

    async def _replica(self) -> None:
        users = self._world.users
        names = [vm.meta.name for vm in self._world.store.vms() if vm.meta.owner is not None]
        if names:
            await users.try_to(users.delete(self._rng.choice(names)))

    async def _plugin(self) -> None:
        await self._world.users.enable(enabled=self._rng.random() < 0.5)

    # Guests and their host.

    def _guest(self) -> None:
        guest, host = self._some_guest(), self._world.host
        what = self._rng.choice(["crash", "vanish", "hang", "mute", "lose_record", "sicken"])
        self.done[-1] += f": {what} {self._world.oracles.name(guest.uid)}"
        match what:
            case "crash":
                host.crash(guest.uid, self._rng.choice(["guest_panic", "guest_shutdown", "killed", "unknown"]))
            case "vanish":
                host.vanish(guest.uid)
            case "hang":
                host.hang(guest.uid, hangs=self._rng.random() < 0.7)
            case "mute":
                host.mute(guest.uid, is_mute=self._rng.random() < 0.6)
            case "sicken":
                self._world.oracles.sick.add(guest.uid)
                host.answer(guest.uid, self._rng.choice(["unhealthy", "mute", "healthy"]))
            case "lose_record" if self._is_reported(guest):
                host.lose_record(guest.uid)

    def _is_reported(self, guest: Guest) -> bool:
        """Of a guest that was never seen to run nobody else knows what it was booted with."""
        vm = self._world.store.find_uid(guest.uid)
        return isinstance(vm, VM) and vm.status.pid == guest.pid

    def _lie(self) -> None:
        guest = self._some_guest()
        truth = guest.look()
        lies = [None, replace(truth, state="exited", pid=None), replace(truth, state="unknown")]
        self._world.host.lie(guest.uid, self._rng.choice(lies))

    def _network(self) -> None:
        self._world.host.network_fault = self._rng.choice([None, "the kernel says no"])

    def _orphan(self) -> None:
        self._orphans += 1
        uid = Uid(f"{self._orphans:x}".rjust(32, "f"))
        self._world.oracles.orphans.add(uid)
        self._world.host.orphan(uid)

    def _jump(self) -> None:
        self._world.jump(self._rng.choice([-3600.0, -5.0, 5.0, 3600.0]))

    # The daemon and its database.

    async def _daemon(self) -> None:
        down_s = self._rng.choice([0.1, 1.0, 15.0])
        if self._rng.random() < 0.2 and self._world.store.healthy:
            await self._world.stop()
        else:
            await self._world.crash()
        await self._world.clock.sleep(down_s)
        self._world.start_soon()

    def _senses(self) -> None:
        self._world.senses.deaf = self._rng.choice([0.0, 0.0, 0.3, 1.0])
        self._world.senses.is_blind = self._rng.random() < 0.2

    def _database(self) -> None:
        self._lock.close()
        self._lock.enter_context(self._world.no_writes())

    def _some_vm(self) -> VM:
        vms = self._world.store.vms()
        if not vms:
            raise NotFound("VM", "any")
        return self._rng.choice(vms)

    def _some_guest(self) -> Guest:
        guests = self._world.host.alive()
        if not guests:
            raise NotFound("guest", "any")
        return self._rng.choice(guests)

    def _draw_policy(self) -> RestartPolicy:
        policies: tuple[RestartPolicy, ...] = ("always", "always", "on_failure", "never")
        return self._rng.choice(policies)
