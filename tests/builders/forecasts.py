"""What would come of an apply to a simulated world, and what then does come of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.builders.world import World

from volant.daemon.forecast.aims import Aims
from volant.daemon.forecast.asking import Desk
from volant.daemon.forecast.question import Bounds, Question
from volant.daemon.forecast.record import Record
from volant.daemon.forecast.run import foretell
from volant.drivers.simulated.network import POOL
from volant.model.meta import Key
from volant.model.timeline import Step, Timeline


def body_of(*objects: Mapping[str, Any], **more: Any) -> str:
    """The body of an apply that takes over what it finds."""
    return json.dumps({"set": "infra", "objects": objects, "force": True, **more})


def a_deployment(name: str, replicas: int, *, plugin: str = "hello", **spec: Any) -> dict[str, Any]:
    """The manifest of one."""
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"plugin": plugin, "replicas": replicas, **spec}}


def a_vm_manifest(name: str, *, plugin: str = "hello", **spec: Any) -> dict[str, Any]:
    """The manifest of one."""
    return {"kind": "VM", "metadata": {"name": name}, "spec": {"plugin": plugin, **spec}}


async def forecast(world: World, body: str, *, bounds: Bounds | None = None, cpu_s: float = 0.0) -> Timeline:
    """The timeline, made beside the world while its time stands still. `cpu_s` is what is said to be used up."""
    question = Question(
        path=str(world.path),
        body=body,
        now=world.clock.now(),
        mode="user",
        pools={"user": POOL},
        bounds=bounds or Bounds(),
    )
    return await asyncio.get_running_loop().run_in_executor(None, lambda: foretell(question, lambda: cpu_s))


async def done(world: World, body: str, *, within_s: float = 900.0) -> list[Step]:
    """Do it, and wait until it is done; the steps that the events tell of."""
    life = await world.up()
    revision, began = world.store.revision, world.clock.now()
    desk = Desk(life.store, life.engine.bus, world.clock, body.encode())
    plan = await desk.plan()
    record = Record(began, ready=world.store.vms())
    record.about(Key(one.kind, one.name) for one in plan.objects)
    await desk.apply(plan)
    aims = Aims(world.store, record.keys, world.clock.now)
    await world.until(lambda: aims.hopeless() is not None, within_s=within_s)
    await world.passes(5.0)
    record.hear([event for event in world.oracles.replay.events if event.revision > revision])
    return record.steps


def order(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """What happens to whom, in this order."""
    return [(step.name, step.what) for step in steps]


def moments(steps: Sequence[Step]) -> list[list[tuple[str, str]]]:
    """The same; what happens at the same time stands in no order."""
    found: dict[float, list[tuple[str, str]]] = {}
    for step in steps:
        found.setdefault(step.at_s, []).append((step.name, step.what))
    return [sorted(there) for _, there in sorted(found.items())]
