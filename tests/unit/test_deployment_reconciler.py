"""Turns of the deployment controller on a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.fleet import Fleet, a_fleet
from tests.builders.objects import a_deployment, a_plugin, a_vm
from tests.builders.stores import HandClock

from volant.controllers.deployment.reconciler import GAP_S, LOOKS_PER_GAP
from volant.errors import Conflict, Unavailable
from volant.model import vm as vms
from volant.model.conditions import condition
from volant.model.event import Committed, EventData
from volant.model.meta import Key
from volant.reconcile import DONE, Again


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with a_fleet(tmp_path) as fleet:
        yield fleet


def data(event: Committed) -> EventData:
    return msgspec.json.decode(event.data, type=EventData)


async def test_replicas_become_vms(fleet: Fleet) -> None:
    await fleet.deploy(replicas=3)
    assert await fleet.turn() == Again(600.0), "U5: when it has to have come further"
    assert fleet.names() == ["web-1", "web-2", "web-3"]


async def test_a_child_is_made_from_the_template(fleet: Fleet) -> None:
    """D3, D5: owned by uid, and held by its finalizer from the first moment."""
    await fleet.create(a_plugin("hello", ready=True))
    config = vms.VMConfig(resources=vms.Resources(vcpu=2, memory_mb=512))
    template: dict[str, Any] = {"config": config, "restart_policy": "never", "labels": {"tier": "front"}}
    deployment = await fleet.create(a_deployment("web", meta={"labels": {"mine": "only"}}, **template))
    await fleet.turn()
    vm = fleet.store.vm("web-1")
    assert vm.meta.owner is not None
    assert (vm.meta.owner.kind, vm.meta.owner.name, vm.meta.owner.uid) == ("Deployment", "web", deployment.meta.uid)
    assert (vm.meta.labels, vm.meta.finalizers) == ({"tier": "front"}, (vms.FINALIZER,))
    assert (vm.spec.config, vm.spec.restart_policy) == (vms.settled(config, "user"), "never")
    assert vm.spec.plugin == "hello"
    assert vm.spec.address == "127.88.0.10"
    event = next(event for event in fleet.events if event.type == "vm.created")
    assert (data(event).actor, data(event).owner) == ("deployment", "web")


async def test_at_rest_nothing_is_written(fleet: Fleet) -> None:
    """L7"""
    await fleet.deploy(replicas=3)
    await fleet.rest()
    revision = fleet.store.revision
    for _ in range(3):
        assert await fleet.turn() is DONE
    assert fleet.store.revision == revision


async def test_the_status_follows_the_children(fleet: Fleet) -> None:
    """V6"""
    await fleet.deploy(replicas=2)
    await fleet.turn()
    status = fleet.store.deployment("web").status
    assert (status.observed_generation, status.replicas, status.ready_replicas) == (1, 2, 0)
    await fleet.boot("web-2")
    await fleet.turn()
    assert fleet.store.deployment("web").status.ready_replicas == 1
    await fleet.boot("web-1")
    await fleet.turn()
    assert fleet.told()[-1] == "deployment.available"
    await fleet.crash("web-1")
    await fleet.turn()
    assert fleet.told()[-1] == "deployment.unavailable"


async def test_a_child_deleted_by_hand_is_replaced_under_another_name(fleet: Fleet) -> None:
    """R1: while the old row is there its ordinal is taken."""
    await fleet.deploy(replicas=2)
    await fleet.rest()
    await fleet.delete(Key("VM", "web-1"))
    await fleet.turn()
    assert fleet.names() == ["web-2", "web-3"]


async def test_an_ordinal_is_free_again_when_its_row_is_gone(fleet: Fleet) -> None:
    await fleet.deploy(replicas=2)
    await fleet.rest()
    await fleet.delete(Key("VM", "web-1"))
    await fleet.bury()
    await fleet.turn()
    assert sorted(fleet.names()) == ["web-1", "web-2"]


async def test_scaling_down_says_by_which_rule(fleet: Fleet) -> None:
    """R6"""
    await fleet.deploy(replicas=4)
    await fleet.rest()
    await fleet.crash("web-1")
    await fleet.unready("web-2")
    await fleet.scale(1)
    await fleet.turn()
    gone = [data(event) for event in fleet.events if event.type == "vm.deleting"]
    assert [(said.name, said.actor, said.reason, said.message) for said in gone] == [
        ("web-1", "deployment", "ScaledDown", "rule 1: not running"),
        ("web-2", "deployment", "ScaledDown", "rule 2: not ready"),
        ("web-4", "deployment", "ScaledDown", "rule 3: highest ordinal"),
    ]
    assert fleet.names() == ["web-3"]


async def test_somebody_elses_vm_is_passed_over_and_left_alone(fleet: Fleet) -> None:
    """D5, D7: no owner, and an owner of the same name with another uid, are both somebody else."""
    await fleet.create(a_vm("web-1"))
    await fleet.create(a_vm("web-2", owner=a_deployment("web", uid="f" * 32)))
    await fleet.deploy(replicas=2)
    await fleet.rest()
    assert fleet.names() == ["web-1", "web-2", "web-3", "web-4"]
    await fleet.scale(0)
    await fleet.rest()
    assert fleet.names() == ["web-1", "web-2"]


async def test_a_deployment_made_again_does_not_inherit(fleet: Fleet) -> None:
    """D5, V11: the children of its namesake are not its own."""
    await fleet.create(a_vm("web-1", owner=a_deployment("web", uid="f" * 32)))
    await fleet.deploy(replicas=1)
    await fleet.turn()
    assert fleet.store.tally(fleet.store.deployment("web").meta.uid).total == 1
    assert fleet.names() == ["web-1", "web-2"]


async def test_a_deployment_goes_after_its_last_child(fleet: Fleet) -> None:
    """D6: foreground."""
    await fleet.deploy(replicas=3)
    await fleet.rest()
    await fleet.delete(Key("Deployment", "web"))
    await fleet.turn()
    assert fleet.names() == []
    assert fleet.store.find(Key("Deployment", "web")) is not None
    await fleet.bury()
    await fleet.turn()
    assert fleet.store.find(Key("Deployment", "web")) is None
    assert fleet.told()[-1] == "deployment.deleted"
    assert await fleet.turn() is DONE


async def test_a_missing_plugin_is_reported_and_waited_for(fleet: Fleet) -> None:
    await fleet.create(a_deployment("web", replicas=1))
    await fleet.turn()
    progressing = condition(fleet.store.deployment("web").status.conditions, "progressing")
    assert progressing is not None
    assert (progressing.status, progressing.reason) == ("false", "PluginMissing")
    await fleet.create(a_plugin("hello"))
    await fleet.turn()
    assert fleet.names() == ["web-1"]


async def test_a_plugin_on_its_way_out_is_missing(fleet: Fleet) -> None:
    """D7: nothing new is made from what is being deleted."""
    await fleet.deploy(replicas=1)
    await fleet.delete(Key("Plugin", "hello"))
    await fleet.turn()
    assert fleet.names() == []


async def test_children_of_a_disabled_plugin_stay_and_are_not_replaced(fleet: Fleet) -> None:
    await fleet.deploy(replicas=2)
    await fleet.rest()
    await fleet.enable(False)
    await fleet.delete(Key("VM", "web-2"))
    await fleet.turn()
    assert fleet.names() == ["web-1"]
    await fleet.enable(True)
    await fleet.turn()
    assert len(fleet.names()) == 2


async def test_three_ten_two_ends_at_two_whenever_it_is_looked_at(fleet: Fleet) -> None:
    """R7, L3: the turn need not have seen ten."""
    await fleet.deploy(replicas=3)
    await fleet.rest()
    await fleet.scale(10)
    await fleet.scale(2)
    await fleet.turn()
    assert fleet.names() == ["web-1", "web-2"]
    assert Counter(fleet.told())["vm.created"] == 3


async def test_creates_start_slowly(fleet: Fleet) -> None:
    """R3"""
    await fleet.deploy(replicas=20)
    batches: list[int] = []

    def count(moment: str, op: str, _: object) -> None:
        if (moment, op) == ("after", "store.create_children"):
            batches.append(len(fleet.names()) - sum(batches))

    fleet.effects.hook = count
    await fleet.turn()
    assert batches == [1, 2, 4, 8, 5]


async def test_the_first_failure_stops_the_rest_and_is_reported(tmp_path: Path) -> None:
    """R3: there are five addresses for nine replicas; what fits is kept."""
    with a_fleet(tmp_path, pool="127.88.0.0/28") as fleet:
        await fleet.deploy(replicas=9)
        with pytest.raises(Conflict) as refused:
            await fleet.turn()
        assert refused.value.code == "addresses_exhausted"
        assert len(fleet.names()) == 5
        progressing = condition(fleet.store.deployment("web").status.conditions, "progressing")
        assert progressing is not None
        assert (progressing.status, progressing.reason) == ("false", "Conflict")
        revision = fleet.store.revision
        with pytest.raises(Conflict):
            await fleet.turn()
        assert fleet.store.revision == revision, "L7: the same trouble is reported once"
        await fleet.scale(5)
        await fleet.rest()
        assert fleet.store.deployment("web").status.ready_replicas == 5


async def test_a_fleet_that_cannot_write_is_not_asked_to_write_a_report(fleet: Fleet) -> None:
    """S4"""
    await fleet.deploy(replicas=1)
    seen: list[str] = []

    def refuse(moment: str, op: str, _: object) -> None:
        seen.append(op)
        raise Unavailable("cannot write: the disk is full")

    fleet.effects.hook = refuse
    with pytest.raises(Unavailable):
        await fleet.turn()
    assert seen == ["store.create_children"]


async def test_children_that_get_ready_one_by_one_are_reported_together(fleet: Fleet) -> None:
    """L7: the event of a report asks for a turn, which waits for the gap rather than report the next replica."""
    await fleet.deploy(replicas=3)
    await fleet.turn()
    revision = fleet.store.revision
    for name in fleet.names():
        await fleet.boot(name)
        outcome = await fleet.reconciler.reconcile(Key("Deployment", "web"))
        assert isinstance(outcome, Again)
        assert outcome.after_s <= fleet.reconciler.gap_s + 1e-9
    assert fleet.store.revision == revision + 3
    await fleet.turn()
    assert fleet.store.deployment("web").status.ready_replicas == 3


async def test_a_new_spec_waits_for_no_gap(fleet: Fleet) -> None:
    """What a user asks for is acted on at once, however lately something was reported."""
    await fleet.deploy(replicas=1)
    await fleet.turn()
    await fleet.scale(2)
    assert await fleet.reconciler.reconcile(Key("Deployment", "web")) == Again(600.0)
    await fleet.delete(Key("Deployment", "web"))
    assert await fleet.reconciler.reconcile(Key("Deployment", "web")) is DONE
    assert fleet.names() == []


async def test_the_gap_grows_with_what_a_look_costs(tmp_path: Path) -> None:
    """A deployment that takes long to count is counted less often."""

    class Slow(HandClock):
        def monotonic(self) -> float:
            self.forward(0.005)
            return super().monotonic()

    with a_fleet(tmp_path, clock=Slow()) as fleet:
        assert fleet.reconciler.gap_s == GAP_S
        await fleet.deploy(replicas=1)
        await fleet.turn()
        assert fleet.reconciler.gap_s == pytest.approx(0.005 * LOOKS_PER_GAP)


async def test_events_lead_to_the_deployments_they_concern(fleet: Fleet) -> None:
    """L1: by key and owner, whatever the type."""
    await fleet.deploy("web", replicas=1)
    await fleet.deploy("api", replicas=0)
    await fleet.create(a_vm("lonely"))
    await fleet.rest("web")
    web, api = Key("Deployment", "web"), Key("Deployment", "api")
    expected = {
        Key("Plugin", "hello"): [web, api],
        web: [web],
        api: [api],
        Key("VM", "web-1"): [web],
        Key("VM", "lonely"): [],
    }
    assert {event.key: list(fleet.reconciler.concerns(event)) for event in fleet.events} == expected
    assert list(fleet.reconciler.resync_keys()) == [web, api]
