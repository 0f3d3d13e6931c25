"""Whether an object has become what an apply made of it. Pure and total.

An object is healthy where a wait for it would end well: a plugin that is ready, a VM that is ready or stopped as it is
asked to be, a deployment whose rollout is complete (U6). What the apply made of it counts, and what somebody has made
of it since; but a deployment that is back at the template it had before has not become what was applied.
"""

from __future__ import annotations

from typing import NamedTuple

from volant.model.apply.sets import Named
from volant.model.deployment import Deployment, template_of
from volant.model.goals import Since, Verdict, deployment_verdict, plugin_verdict, vm_verdict
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.rollout import digest_of
from volant.model.vm import VM

_WENT_BACK = "it went back to a template that it had before"


class Standing(NamedTuple):
    """One object that an apply named, as it is. Of a deployment what its rollout is judged by."""

    named: Named
    obj: Object | None
    plugin: Plugin | None = None
    running: int = 0
    available: int | None = None


def verdict(standing: Standing) -> Verdict:
    """How far one object is."""
    named, obj = standing.named, standing.obj
    pin = Since(uid=named.uid, generation=named.generation)
    if named.kind == "VM":
        vm = obj if isinstance(obj, VM) else None
        return vm_verdict(vm, pin, "stopped" if vm is not None and vm.spec.power == "stopped" else "ready")
    if named.kind == "Plugin":
        return plugin_verdict(obj if isinstance(obj, Plugin) else None, pin, "ready")
    deployment = obj if isinstance(obj, Deployment) else None
    return deployment_verdict(
        deployment,
        pin,
        "complete",
        plugin=standing.plugin,
        running=standing.running,
        available=standing.available,
        rolled_back=_WENT_BACK if deployment is not None and _went_back(named, deployment) else None,
    )


def _went_back(named: Named, deployment: Deployment) -> bool:
    """By itself or by somebody: either way the rest of the set would wait for a version that does not come."""
    return digest_of(template_of(deployment.spec)) in named.had
