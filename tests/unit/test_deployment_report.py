"""What a deployment says of itself."""

from __future__ import annotations

from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment

from volant.controllers.deployment.plan import Count
from volant.controllers.deployment.report import Report, report
from volant.controllers.deployment.rolling import PluginUse
from volant.errors import Conflict, VolantError
from volant.model.conditions import Condition, condition
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, phase


def told(
    deployment: Deployment,
    total: int,
    ready: int,
    *,
    deleting: int = 0,
    use: PluginUse = "usable",
    trouble: VolantError | None = None,
    now: float = NOW,
) -> tuple[Deployment, Report]:
    """The deployment after the report that is due, and the report."""
    due = report(deployment, use, Count(total, ready, deleting), trouble, now)
    assert due is not None
    return replace(deployment, status=due.status), due


def said(deployment: Deployment, kind: str) -> Condition:
    found = condition(deployment.status.conditions, kind)
    assert found is not None
    return found


def complete(replicas: int = 2) -> Deployment:
    return told(a_deployment(replicas=replicas), replicas, replicas)[0]


def test_both_conditions_are_there_from_the_first_visit_on() -> None:
    """V9"""
    deployment, due = told(a_deployment(replicas=2), 0, 0)
    assert (said(deployment, AVAILABLE).status, said(deployment, PROGRESSING).status) == ("false", "true")
    assert due.happening.type == "deployment.updated"
    assert due.happening.actor == "deployment"


def test_saying_the_same_again_is_no_report() -> None:
    """L7"""
    for deployment, tally in [
        (told(a_deployment(replicas=2), 2, 1)[0], Count(2, 1, 0)),
        (complete(), Count(2, 2, 0)),
        (told(complete(), 2, 1)[0], Count(2, 1, 0)),
    ]:
        assert report(deployment, "usable", tally, None, NOW + 99) is None


def test_the_last_ready_replica_makes_it_available() -> None:
    deployment, due = told(told(a_deployment(replicas=2), 2, 1)[0], 2, 2, now=NOW + 5)
    assert due.happening.type == "deployment.available"
    assert said(deployment, AVAILABLE).last_update == NOW + 5
    assert phase(deployment) == "running"


def test_a_lost_replica_makes_it_unavailable() -> None:
    deployment, due = told(complete(), 2, 1)
    assert (due.happening.type, due.happening.reason) == ("deployment.unavailable", "ReplicasNotReady")
    assert (deployment.status.replicas, deployment.status.ready_replicas) == (2, 1)
    assert phase(deployment) == "degraded"


def test_a_second_lost_replica_is_an_update() -> None:
    """V8: `last_update` moves iff the status does."""
    deployment, _ = told(complete(3), 3, 2, now=NOW + 5)
    deployment, due = told(deployment, 3, 1, now=NOW + 9)
    assert due.happening.type == "deployment.updated"
    assert said(deployment, AVAILABLE).last_update == NOW + 5
    assert phase(deployment) == "degraded"


def test_a_new_generation_is_scaling_rather_than_degraded_until_it_was_complete() -> None:
    """V6: the status says which generation it was computed from."""
    grown = complete(2)
    grown = replace(grown, meta=replace(grown.meta, generation=2), spec=replace(grown.spec, replicas=3))
    assert phase(grown) == "scaling"
    grown, _ = told(grown, 3, 2)
    assert grown.status.observed_generation == 2
    assert phase(grown) == "scaling"


def test_no_replicas_asked_for_and_none_there_is_available() -> None:
    deployment, due = told(a_deployment(replicas=0), 0, 0)
    assert due.happening.type == "deployment.available"
    assert phase(deployment) == "running"


def test_children_on_their_way_out_are_no_replicas() -> None:
    """R4"""
    deployment, _ = told(a_deployment(replicas=2), 3, 2, deleting=1)
    assert deployment.status.replicas == 2


def test_a_plugin_that_is_missing_is_what_stops_it() -> None:
    deployment, due = told(a_deployment(replicas=2), 0, 0, use="missing")
    assert (said(deployment, PROGRESSING).status, due.happening.reason) == ("false", "PluginMissing")
    assert "'hello' is not installed" in said(deployment, PROGRESSING).message


def test_a_disabled_plugin_stops_it_and_leaves_it_available() -> None:
    deployment, due = told(complete(), 2, 2, use="disabled")
    assert said(deployment, PROGRESSING).reason == "PluginDisabled"
    assert said(deployment, AVAILABLE).status == "true"
    assert due.happening.type == "deployment.updated"


def test_what_stopped_the_creates_is_told_by_its_class() -> None:
    trouble = Conflict("cannot hand out an address: none is free", code="addresses_exhausted")
    deployment, _ = told(a_deployment(replicas=2), 1, 1, trouble=trouble)
    assert said(deployment, PROGRESSING) == Condition(
        type=PROGRESSING,
        status="false",
        reason="Conflict",
        message=trouble.message,
        observed_generation=1,
        last_update=NOW,
    )
    assert report(deployment, "usable", Count(1, 1, 0), trouble, NOW + 9) is None


def test_a_deployment_on_its_way_out_says_so() -> None:
    deployment, _ = told(a_deployment(replicas=2, deleting=True), 2, 0, deleting=2, use="missing")
    assert said(deployment, PROGRESSING).reason == "Deleting"
    assert phase(deployment) == "deleting"


def test_messages_carry_no_figures() -> None:
    """V10: two counts that mean the same are the same sentence."""
    first, _ = told(a_deployment(replicas=9), 9, 1)
    second, _ = told(a_deployment(replicas=9), 9, 8)
    assert first.status.conditions == second.status.conditions
