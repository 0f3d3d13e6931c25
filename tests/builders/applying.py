"""Sets applied in a world: what `POST /apply` does in its transaction, without HTTP.

await applied(world, vm("db"), deployment("web", replicas=3), atomic=True, deadline_seconds=60)
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
from tests.builders.objects import a_manifest

from volant.api.apply.asked import Apply, documents
from volant.api.apply.handlers import apply_in
from volant.api.apply.objects import Desk
from volant.api.call import Call
from volant.model.apply.outcome import ApplyView
from volant.model.apply.sets import SetRevision
from volant.model.event import Happening
from volant.model.rollout import Strategy, StrategyPatch, strategy_with
from volant.store import Transaction

if TYPE_CHECKING:
    from tests.builders.world import World


def vm(name: str, *, of: str = "hello", metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A manifest."""
    return {"kind": "VM", "metadata": {"name": name, **(metadata or {})}, "spec": {"plugin": of, **spec}}


def deployment(name: str, *, of: str = "hello", metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A manifest."""
    return {"kind": "Deployment", "metadata": {"name": name, **(metadata or {})}, "spec": {"plugin": of, **spec}}


def plugin(name: str = "hello") -> dict[str, Any]:
    """A manifest of what `a_manifest` is."""
    said = msgspec.to_builtins(a_manifest(name))
    return {"kind": "Plugin", "metadata": {"name": name}, "spec": {k: v for k, v in said.items() if k != "name"}}


def broken(level: str = "yes") -> dict[str, Any]:
    """A config with which a guest of `breaks` never runs."""
    return {"env": {"BROKEN": level}}


async def applied(world: World, *objects: dict[str, Any], **asked: Any) -> ApplyView:
    """Apply them as one set, `infra` unless said, as a client that asks until it is answered."""
    body = msgspec.convert({"set": "infra", "objects": list(objects), **asked}, Apply)
    placed = documents(body)
    for one in objects:
        if one["kind"] == "Deployment":
            strategy = strategy_with(Strategy(), msgspec.convert(one["spec"].get("strategy", {}), StrategyPatch))
            world.oracles.replay.rolled.setdefault(one["metadata"]["name"], set()).add(strategy)

    def job(tx: Transaction) -> ApplyView:
        return apply_in(Desk(_caller(), tx, body), placed)

    return await world.users.ask(job)


def revision(world: World, name: str = "infra") -> SetRevision:
    """The set's current revision."""
    found = world.store.set_revision(name)
    assert found is not None
    return found


def _caller() -> Call:
    def happening(kind: Any, *, reason: str | None = None, message: str | None = None) -> Happening:
        return Happening(type=kind, reason=reason, message=message)

    deps = SimpleNamespace(lacks_kvm=False, network_mode="user", check_told=_allow, check_network=_allow, api_port=0)
    return cast("Call", SimpleNamespace(happening=happening, deps=deps))


def _allow(_: object) -> None:
    """Anything goes."""
