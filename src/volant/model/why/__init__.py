"""Why an object is not what was asked for: from what is stored and what the daemon knows. Pure and total.

    object, plugin, children ──┐
    facts of the daemon ───────┴──▶ why ──▶ outlook, links (what ▸ because of what ▸ because of what)

What it promises:

* The chain is never empty. Its first link is about the object itself and is current: it speaks of the object's own
  generation, or says that nobody has looked at that one yet (`NotLookedAt`).
* Figures and next try times are those of `facts.now`.
* `outlook` and a wait for the object never disagree: both ask `goals`.
* No text that a user wrote is in it but names, so neither is a secret: no cloud-init, no variable, no address of an
  artifact.

    facts        what a daemon knows beyond the store
    link         one link, and what keeps everybody from acting
    vms, deployments, plugins   the chains
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from volant.model import goals
from volant.model.deployment import Deployment
from volant.model.goals import OutOfReach
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.vm import VM
from volant.model.why import deployments, plugins, vms
from volant.model.why.deployments import Children
from volant.model.why.facts import Facts, Place, Standing, Transfer, Turn
from volant.model.why.link import Link

Outlook = Literal["ready", "by_itself", "not_by_itself"]
"""Ready; will be without anybody doing anything, as far as can be known; will not be, unless somebody does."""


class Why(Struct, frozen=True, kw_only=True):
    """The answer. `chain` begins with the object itself."""

    outlook: Outlook
    chain: tuple[Link, ...]


def why(obj: Object, plugin: Plugin | None, children: Children, facts: Facts) -> Why:
    """Why `obj` is not ready, or that it is. `plugin` is the one that it is made of, `children` its VMs."""
    if isinstance(obj, VM):
        return Why(outlook=_of_vm(obj), chain=tuple(vms.chain(obj, plugin, facts)))
    if isinstance(obj, Deployment):
        outlook = _of_deployment(obj, plugin, children)
        return Why(outlook=outlook, chain=tuple(deployments.chain(obj, plugin, children, facts)))
    assert isinstance(obj, Plugin)  # noqa: S101 -- of a sync its own status says it
    return Why(outlook=_of_plugin(obj), chain=tuple(plugins.chain(obj, facts)))


def _of_vm(vm: VM) -> Outlook:
    if vms.is_well(vm):
        return "ready"
    if vm.meta.is_deleting or vm.spec.power == "stopped":
        # A wait for a stopped VM to become ready is patient, because somebody may be about to start it.
        return "not_by_itself"
    is_over = isinstance(goals.vm_verdict(vm, goals.since(vm), "ready"), OutOfReach)
    return "not_by_itself" if is_over else "by_itself"


def _of_deployment(deployment: Deployment, plugin: Plugin | None, children: Children) -> Outlook:
    if deployments.is_well(deployment, children):
        return "ready"
    pin = goals.since(deployment)
    wanted: tuple[goals.DeploymentGoal, ...] = ("available",)
    if deployments.is_rolling(deployment):
        wanted = ("available", "complete")
    is_over = any(_is_over(deployment, pin, goal, plugin, children.running) for goal in wanted)
    is_over = is_over or any(_of_vm(vm) == "not_by_itself" for vm in _staying(children))
    return "not_by_itself" if is_over else "by_itself"


def _is_over(
    deployment: Deployment, pin: goals.Since, goal: goals.DeploymentGoal, plugin: Plugin | None, running: int
) -> bool:
    verdict = goals.deployment_verdict(deployment, pin, goal, plugin=plugin, running=running)
    return isinstance(verdict, OutOfReach)


def _staying(children: Children) -> list[VM]:
    return [vm for vm in children.shown if not vm.meta.is_deleting]


def _of_plugin(plugin: Plugin) -> Outlook:
    if plugins.is_well(plugin):
        return "ready"
    is_over = isinstance(goals.plugin_verdict(plugin, goals.since(plugin), "ready"), OutOfReach)
    return "not_by_itself" if is_over else "by_itself"


__all__ = ["Children", "Facts", "Link", "Outlook", "Place", "Standing", "Transfer", "Turn", "Why", "why"]
