"""Whoever waits for the end of a rollout is told of it exactly when it is complete by what there is (U6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment

from volant.controllers.deployment.plan import Count
from volant.controllers.deployment.report import report
from volant.controllers.deployment.rolling import STALLED, PluginUse, available, is_complete
from volant.model import goals
from volant.model.deployment import Deployment, template_of
from volant.model.goals import OutOfReach, Reached, deployment_verdict, since
from volant.model.rollout import Strategy, digest_of

LATER = 3600.0
FEW = st.integers(0, 5)
SHARES: st.SearchStrategy[int | str] = st.sampled_from([0, 1, "50%", "100%"])


@st.composite
def tallies(draw: st.DrawFn) -> Count:
    """Any that children can have: those that are old, ready or unripe are among the living."""
    new, old, deleting = draw(FEW), draw(FEW), draw(FEW)
    ready_old, ready_new = draw(st.integers(0, old)), draw(st.integers(0, new))
    unripe_new, unripe_old = draw(st.integers(0, ready_new)), draw(st.integers(0, ready_old))
    return Count(
        total=new + old + deleting,
        ready=ready_old + ready_new,
        deleting=deleting,
        old=old,
        old_available=ready_old - unripe_old,
        unripe=unripe_new + unripe_old,
    )


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    """One that was complete before with this template, with another one, or never."""
    strategy = Strategy(
        max_unavailable=draw(SHARES),
        paused=draw(st.booleans()),
        auto_revert=draw(st.booleans()),
    )
    deployment = a_deployment(replicas=draw(FEW), strategy=strategy)
    completed = draw(st.sampled_from([None, "a" * 16, digest_of(template_of(deployment.spec))]))
    return replace(deployment, status=replace(deployment.status, completed=completed))


USES: st.SearchStrategy[PluginUse] = st.sampled_from(["usable", "disabled", "missing"])


def reported(deployment: Deployment, use: PluginUse, tally: Count, at: float) -> Deployment:
    due = report(deployment, use, tally, None, at)
    return deployment if due is None else replace(deployment, status=due.status)


@given(deployments(), tallies(), tallies(), USES, st.sampled_from([0.0, LATER]))
def test_a_rollout_is_waited_for_until_it_is_complete(
    deployment: Deployment, first: Count, second: Count, use: PluginUse, pause_s: float
) -> None:
    """U6, U5, U8, U10: after any two reports, one of them after any pause."""
    deployment = reported(deployment, use, first, NOW)
    deployment = reported(deployment, use, second, NOW + pause_s)
    verdict = deployment_verdict(deployment, since(deployment), "complete", available=available(second))
    assert isinstance(verdict, Reached) == is_complete(deployment.spec, second)
    reasons = {one.reason for one in deployment.status.conditions}
    if isinstance(verdict, OutOfReach):
        assert verdict.reason == goals.PAUSED or verdict.reason in reasons
        assert verdict.reason != STALLED or deployment.status.reverted is None
    elif STALLED in reasons and not isinstance(verdict, Reached):
        assert deployment.status.reverted == deployment.status.template


def test_it_is_stuck_by_the_same_word_for_both() -> None:
    assert goals.STALLED == STALLED
