"""The VM plan against every combination, and against a small world that obeys, resists, or is harmed in between."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.builders.guests import HOST
from tests.builders.objects import a_manifest, a_plugin, a_vm, complete_status, uid_of

from volant.controllers.vm.plan import next_step, wants_down
from volant.controllers.vm.restarts import FURTHEST_S
from volant.controllers.vm.steps import Finalize, Forget, Kill, Launch, Report, RequestStop, Step, Wait
from volant.drivers import Instance
from volant.model.conditions import Condition
from volant.model.health import HealthCheck, Probe
from volant.model.plugin import Plugin, PluginStatus
from volant.model.vm import VM, Booted, Exit, Health, Resources, VMConfig, VMStatus, is_ready, status_word

T0 = 1_700_000_000.0
UID = uid_of("web-1")

times = st.sampled_from([T0 - 1e6, T0 - 700, T0 - 10, T0 - 0.5, T0, T0 + 0.5, T0 + 10, T0 + 700, T0 + 1e6])
nonces = st.integers(0, 2)
configs = st.sampled_from([VMConfig(), VMConfig(resources=Resources(vcpu=2))])
booted = st.builds(Booted, config=configs, restart_nonce=nonces)
pids = st.sampled_from([None, 11, 12])
reasons = st.sampled_from(
    ["guest_shutdown", "guest_panic", "guest_reset", "killed", "launch_failed", "unhealthy", "asked", "unknown"]
)
exits = st.builds(Exit, reason=reasons, at=times, of=st.none() | times)
conditions = st.builds(
    Condition,
    type=st.just("ready"),
    status=st.sampled_from(["true", "false", "unknown"]),
    reason=st.sampled_from(["Running", "Crashed", "Exited", "Stopped", "DriverRefused", "ArtifactRefused", "Starting"]),
    observed_generation=st.integers(0, 3),
    last_update=times,
)
healths = st.builds(
    Health,
    status=st.sampled_from(["unknown", "healthy", "unhealthy"]),
    last_check=st.none() | times,
    has_started=st.booleans(),
    failed=st.sampled_from([None, None, "startup", "liveness"]),
)
statuses = st.builds(
    VMStatus,
    observed_generation=st.integers(0, 3),
    pid=pids,
    booted=st.none() | booted,
    started_at=st.none() | times,
    restarts=st.integers(0, 3),
    failures=st.integers(0, 2000),
    next_restart_at=st.none() | times,
    drain_deadline=st.none() | times,
    stop_deadline=st.none() | times,
    exit=st.none() | exits,
    health=st.none() | healths,
    conditions=st.just(()) | conditions.map(lambda c: (c,)),
)
vms = st.builds(
    lambda deleting, status, generation, spec: a_vm(
        deleting=deleting, status=status, meta={"generation": generation}, **spec
    ),
    st.booleans(),
    statuses,
    st.integers(1, 3),
    st.fixed_dictionaries(
        {
            "power": st.sampled_from(["running", "stopped"]),
            "config": configs,
            "restart_nonce": nonces,
            "restart_policy": st.sampled_from(["always", "on_failure", "never"]),
            "grace_s": st.sampled_from([0.0, 0.5, 30.0]),
            "force": st.booleans(),
            "drain_s": st.sampled_from([0.0, 0.0, 5.0]),
        }
    ),
)
instances = st.builds(
    Instance,
    uid=st.just(UID),
    state=st.sampled_from(["starting", "running", "unknown", "exited"]),
    pid=pids,
    started_at=st.none() | times,
    booted=st.none() | booted,
    exit=st.none() | exits,
)
READY_PLUGIN = a_plugin(ready=True)
CHECKED_PLUGIN = a_plugin(manifest=a_manifest(health_check=HealthCheck()), ready=True)
plugins: st.SearchStrategy[Plugin | None] = st.sampled_from(
    [
        None,
        READY_PLUGIN,
        CHECKED_PLUGIN,
        a_plugin(manifest=a_manifest(health_check=HealthCheck(liveness=Probe())), ready=True),
        a_plugin(),
        a_plugin(enabled=False, ready=True),
        a_plugin(deleting=True, status=complete_status(a_manifest())),
        a_plugin(status=PluginStatus(conditions=(Condition(type="ready", status="false", reason="ArtifactRefused"),))),
    ]
)


class World:
    """One VM, its guest and a clock: takes steps as a host and a store would, and keeps watch over them."""

    def __init__(self, vm: VM, seen: Instance | None, plugin: Plugin | None, now: float) -> None:
        self.vm, self.seen, self.plugin, self.now = vm, seen, plugin, now
        self.hears = True
        self.is_gone = False
        self.pid = 100
        self.steps: list[Step] = []

    def next(self) -> Step | None:
        """What the plan wants, looked at afresh."""
        return next_step(self.vm, self.plugin, self.seen, self.now, HOST)

    def take(self, step: Step) -> None:
        """Do it, having checked that it may be done."""
        self.steps.append(step)
        seen, vm = self.seen, self.vm
        match step:
            case Launch(plugin):
                assert seen is None, "a second guest"
                assert not vm.meta.is_deleting, "launched on the way out"
                assert vm.spec.power == "running"
                assert plugin is self.plugin
                self.pid += 1
                mark = Booted(config=vm.spec.config, restart_nonce=vm.spec.restart_nonce)
                self.seen = Instance(uid=UID, state="starting", pid=self.pid, started_at=self.now, booted=mark)
            case RequestStop():
                self.check_is_unwanted()
                if self.hears:
                    self.end("guest_shutdown")
            case Kill(reason):
                self.check_is_unwanted()
                assert reason == "Forced" or vm.status.stop_deadline is not None
                assert vm.spec.force or vm.status.stop_deadline is None or vm.status.stop_deadline <= self.now
                self.end("killed")
            case Forget():
                assert seen is not None
                assert seen.state == "exited"
                self.seen = None
            case Report(status, happening):
                assert status != vm.status, "a write that changes nothing"
                assert status.observed_generation == vm.meta.generation
                assert happening.actor == "vm"
                self.vm = replace(vm, status=status)
            case Finalize():
                assert vm.meta.is_deleting
                assert seen is None
                self.is_gone = True
            case Wait(seconds):
                assert 0 < seconds <= FURTHEST_S
                self.wait(seconds)

    def check_is_unwanted(self) -> None:
        """P7, P12: whoever is asked to go is alive and unwanted, and the end of its grace is in the store."""
        assert self.seen is not None
        assert self.seen.state != "exited"
        assert wants_down(self.vm, self.seen)
        assert self.vm.status.stop_deadline is not None

    def end(self, reason: str) -> None:
        """The process is gone, its record is not."""
        if self.seen is not None and self.seen.state != "exited":
            end = Exit(reason=reason, at=self.now, of=self.seen.started_at)  # type: ignore[arg-type]
            self.seen = replace(self.seen, state="exited", pid=None, exit=end)

    def fail(self) -> None:
        """A liveness probe has failed for good: what the health controller writes, for a guest that is to stay."""
        status = self.vm.status
        if status.pid is not None and status.stop_deadline is None and self.vm.spec.power == "running":
            health = Health(status="unhealthy", failed="liveness")
            self.vm = replace(self.vm, status=replace(status, health=health))

    def wait(self, seconds: float) -> None:
        """Time passes; what is on its way up gets there."""
        self.now += seconds
        if self.seen is not None and self.seen.state in ("starting", "unknown"):
            self.seen = replace(self.seen, state="running")

    def settle(self, limit: int = 40) -> None:
        """Take steps until there is none. `limit` is far more than any way to rest is long."""
        for _ in range(limit):
            step = None if self.is_gone else self.next()
            if step is None:
                return
            self.take(step)
            if isinstance(step, RequestStop):
                self.wait(step.again_s)
        raise AssertionError(f"no rest after {limit} steps: {self.steps[-8:]}")

    def should_be_ready(self) -> bool:
        """P4: a guest that runs is ready, unless its plugin has a check that it has to pass first."""
        check = self.plugin.spec.manifest.health_check if self.plugin is not None else None
        health = self.vm.status.health
        return check is None or not check.gates or (health is not None and health.status == "healthy")

    def check_rest(self) -> None:
        """As asked, and nothing left to write, now or at any later time (L7)."""
        if self.is_gone:
            return
        vm, seen = self.vm, self.seen
        assert not vm.meta.is_deleting
        assert vm.status.observed_generation == vm.meta.generation
        assert vm.status.stop_deadline is None
        if vm.spec.power == "stopped":
            assert seen is None
            assert status_word(vm) == "stopped"
        elif seen is not None:
            assert seen.state == "running"
            assert vm.status.pid == seen.pid
            assert is_ready(vm) == self.should_be_ready() or seen.pid is None
            assert vm.status.health is None or vm.status.health.failed is None
        else:
            has_ended_well = vm.status.exit is not None and vm.status.exit.reason == "guest_shutdown"
            is_let_go = vm.spec.restart_policy != "always" and has_ended_well
            assert status_word(vm) in ("error", "starting", "restarting", *(["stopped"] if is_let_go else []))
        assert status_word(vm) != "error" or not is_ready(vm)
        for later in (0.0, 1.0, 1e6):
            assert next_step(vm, self.plugin, seen, self.now + later, HOST) is None


@given(vms, plugins, st.none() | instances, times)
@settings(max_examples=600, deadline=None)
def test_the_plan_is_total(vm: VM, plugin: Plugin | None, seen: Instance | None, now: float) -> None:
    """There is an answer for everything, it is allowed, and a report always changes something (L7)."""
    step = next_step(vm, plugin, seen, now, HOST)
    if step is not None:
        World(vm, seen, plugin, now).take(step)


@given(vms, plugins, st.none() | instances, times)
@settings(max_examples=600, deadline=None)
def test_every_plan_reaches_rest_and_then_writes_nothing(
    vm: VM, plugin: Plugin | None, seen: Instance | None, now: float
) -> None:
    """P7, P10, L7: from any state of store and host, since a crash of the daemon can leave any of them behind."""
    world = World(vm, seen, plugin, now)
    world.settle()
    world.check_rest()


@given(vms, st.none() | instances, times)
@settings(max_examples=400, deadline=None)
def test_a_guest_that_never_listens_is_killed_once_its_grace_is_over(vm: VM, seen: Instance | None, now: float) -> None:
    """P7."""
    world = World(vm, seen, READY_PLUGIN, now)
    world.hears = False
    world.settle(80)
    world.check_rest()
    grace_s = world.now - now
    kills = [step for step in world.steps if isinstance(step, Kill)]
    assert len(kills) <= 1
    assert grace_s <= 30.0 + 3 * FURTHEST_S or not kills


@given(vms, st.none() | instances, times)
@settings(max_examples=400, deadline=None)
def test_nothing_is_ever_launched_for_a_vm_on_its_way_out(vm: VM, seen: Instance | None, now: float) -> None:
    """D10."""
    vm = replace(vm, meta=replace(vm.meta, deleting_since=T0))
    world = World(vm, seen, READY_PLUGIN, now)
    world.settle()
    assert world.is_gone
    assert not [step for step in world.steps if isinstance(step, Launch)]


@given(vms, st.none() | instances, times)
@settings(max_examples=400, deadline=None)
def test_a_wanted_guest_is_never_asked_to_go(vm: VM, seen: Instance | None, now: float) -> None:
    """P10, P12: whatever is seen of it."""
    mark = Booted(config=vm.spec.config, restart_nonce=vm.spec.restart_nonce)
    vm = replace(vm, meta=replace(vm.meta, deleting_since=None), spec=replace(vm.spec, power="running"))
    vm = replace(vm, status=replace(vm.status, stop_deadline=None, booted=mark, health=None))
    world = World(vm, replace(seen, booted=mark) if seen is not None else None, READY_PLUGIN, now)
    world.settle()
    assert not [step for step in world.steps if isinstance(step, RequestStop | Kill)]


harms = st.sampled_from(
    [
        *("nothing", "crash", "vanish", "mute", "stop", "start", "restart", "delete", "force", "edit", "back", "forth"),
        *("healthy", "unhealthy", "failed"),
    ]
)


def harm(world: World, what: str) -> None:
    """Something happens between two steps: to the guest, to the spec, or to the clock."""
    vm, seen = world.vm, world.seen
    spec, meta = vm.spec, vm.meta
    match what:
        case "crash":
            world.end("guest_panic")
        case "vanish":
            world.seen = None
        case "mute" if seen is not None and seen.state == "running":
            world.seen = replace(seen, state="unknown")
        case "stop":
            spec = replace(spec, power="stopped")
        case "start" | "restart":
            spec = replace(spec, power="running", restart_nonce=spec.restart_nonce + 1)
        case "force":
            spec = replace(spec, force=True)
        case "edit":
            spec = replace(spec, config=VMConfig(resources=Resources(vcpu=world.pid % 8 + 1)))
        case "delete":
            meta = replace(meta, deleting_since=meta.deleting_since or world.now)
        case "healthy" | "unhealthy" if vm.status.pid is not None:
            world.vm = vm = replace(vm, status=replace(vm.status, health=Health(status=what)))
        case "failed":
            world.fail()
            vm = world.vm
        case "back":
            world.now -= 7200
        case "forth":
            world.now += 7200
    if spec != vm.spec:
        meta = replace(meta, generation=meta.generation + 1)
    world.vm = replace(vm, spec=spec, meta=meta)


@given(
    st.lists(st.tuples(harms, st.booleans()), max_size=40),
    st.sampled_from(["always", "on_failure", "never"]),
    st.sampled_from([READY_PLUGIN, CHECKED_PLUGIN]),
)
@settings(max_examples=600, deadline=None)
def test_whatever_happens_between_steps_it_comes_to_rest_afterwards(
    script: list[tuple[str, bool]], policy: str, plugin: Plugin
) -> None:
    """L2, L3, R7: a step may be decided on and not taken (a crash before it), or taken and forgotten (one after it)."""
    world = World(a_vm(restart_policy=policy), None, plugin, T0)
    for what, is_taken in script:
        harm(world, what)
        step = None if world.is_gone else world.next()
        if step is not None and is_taken:
            world.take(step)
    world.settle()
    world.check_rest()
    if world.vm.meta.is_deleting:
        assert world.is_gone


@given(st.lists(st.sampled_from(["crash", "vanish", "failed"]), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_every_end_is_counted_exactly_once(ends: list[str]) -> None:
    """P1, P2, P4: of guests that ran only a moment, by themselves or because a probe had failed."""
    world = World(a_vm(), None, READY_PLUGIN, T0)
    world.settle()
    for what in ends:
        harm(world, what)
        world.settle()
    assert world.vm.status.restarts == len(ends)
    assert world.vm.status.failures == len(ends)


@given(st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_a_daemon_that_dies_before_or_after_any_step_of_a_crash_changes_nothing_but_time(first: int, then: int) -> None:
    """P2, P10: a plan has no memory to lose, so looking twice at every step gives the same way down and up again."""
    plain, twice = (World(a_vm(), None, READY_PLUGIN, T0) for _ in range(2))
    plain.settle()
    twice.settle()
    for number in range(first + then):
        for world in (plain, twice):
            step = world.next()
            if world is twice:
                assert step == world.next()
            if step is not None:
                world.take(step)
            elif number == first:
                world.end("guest_panic")
    plain.settle()
    twice.settle()
    assert plain.vm.status == twice.vm.status
