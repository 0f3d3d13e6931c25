"""`GET /vms|deployments|plugins/{name}/wait`: answers when it is so, or when it cannot be so any more.

    200 the object (204 when its end was waited for) | 408 not yet | 409 out of reach | 404 there is no such object

The wait is for the object that has the name when it is asked, and for its state from then on: a later one of the same
name is somebody else. Only `state=exists` waits for an object that is still to be made.
"""

from __future__ import annotations

from typing import Any, cast

from msgspec import UNSET, Struct
from msgspec.structs import replace

from volant.api.call import Answer, Call, shown
from volant.api.deployments import view_of
from volant.api.reach import Ending, bound_of, reach
from volant.errors import Conflict, Invalid, NotFound, Unavailable, WaitTimeout
from volant.model import deployment as deployments
from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.conditions import condition, is_true
from volant.model.deployment import Deployment, phase
from volant.model.goals import DEFAULT_TIMEOUT_S, Goal, OutOfReach, Since, since
from volant.model.meta import Key, Kind, is_name
from volant.model.objects import Object
from volant.model.queries import DeploymentWaiting, PluginWaiting, VMWaiting, Waiting
from volant.model.sync import Sync
from volant.model.sync_wire import sync_view
from volant.model.vm import VM, status_word
from volant.model.wire import plugin_view, vm_view

SPEAKS: dict[Kind, str] = {"VM": vms.READY, "Deployment": deployments.PROGRESSING, "Plugin": plugins.READY}
"""The condition that says how far an object is."""


async def wait_for_vm(call: Call, query: VMWaiting) -> Answer:
    """`GET /vms/{name}/wait`: Wait until a VM is running, ready, stopped, deleted, or exists.

    Answers at once when that is so already, and at once when it cannot be so any more (409). What was so before the
    last change of the VM does not count: the state has to be that of `generation`, which is the current one unless
    given. `ready` is running and passing its health check.
    """
    return await _waited_for(call, "VM", query)


async def wait_for_deployment(call: Call, query: DeploymentWaiting) -> Answer:
    """`GET /deployments/{name}/wait`: Wait until a deployment is available, completely rolled out, deleted, or exists.

    It is available when all replicas of its current generation, or of `generation` if given, are ready, of whatever
    template. It is complete when there are as many as asked for, all of its template, and no more of them are away than
    may be (U6). Answers at once when the replicas cannot be made: the plugin is missing or disabled, or its artifacts
    were refused (409); and of `complete` also when the rollout is stuck, paused, or was taken back.
    """
    return await _waited_for(call, "Deployment", query)


async def wait_for_plugin(call: Call, query: PluginWaiting) -> Answer:
    """`GET /plugins/{name}/wait`: Wait until a plugin is ready, deleted, or exists.

    It is ready when all its artifacts are in the cache. Answers at once when one of them was refused (409): by its
    checksum, its size, or where it would come from.
    """
    return await _waited_for(call, "Plugin", query)


async def _waited_for(call: Call, kind: Kind, query: Waiting) -> Answer:
    key, goal = Key(kind, call.name), cast("Goal", query.state)
    bound_s = DEFAULT_TIMEOUT_S if query.timeout is UNSET else bound_of(query.timeout)
    found = call.store.find(key)
    if found is None and goal not in ("exists", "deleted"):
        raise NotFound(kind, call.name)
    if found is None and not is_name(call.name):
        message = "expected a DNS label: nothing else can be the name of an object"
        field = {"path": "{name}", "message": message}
        raise Invalid(f"cannot wait for {kind} {call.name[:64]!r}: {message}", fields=[field])
    ending = await reach(call, key, _pin(found, query), goal, bound_s, gone=call.gone)
    return _answer(call, key, query, ending)


def _pin(found: Object | None, query: Waiting) -> Since:
    asked = 0 if query.generation is UNSET else query.generation
    if found is None or query.state == "exists":
        return Since(generation=asked)
    pin = since(found)
    return pin if query.generation is UNSET else replace(pin, generation=asked)


def _answer(call: Call, key: Key, query: Waiting, ending: Ending) -> Answer:
    obj = ending.obj
    if ending.end == "reached":
        return Answer(204) if obj is None else shown(call, _view(call, obj), obj.meta)
    if ending.end == "stopping":
        raise Unavailable(f"cannot wait for {key.kind} {key.name}: the daemon is stopping", code="stopping")
    details = {"name": key.name, "state": query.state, **_standing(obj)}
    if ending.why is not None:
        details |= {"reason": ending.why.reason, "message": ending.why.message}
        message = f"cannot wait until {key.kind} {key.name} is {_in_words(query)}: {_because(ending.why)}"
        raise Conflict(message, code=ending.why.code, details=details)
    message = f"cannot say that {key.kind} {key.name} is {_in_words(query)}: not so within the timeout"
    raise WaitTimeout(message, details=details)


def _because(why: OutOfReach) -> str:
    return why.message or why.reason


def _in_words(query: Waiting) -> str:
    return "there" if query.state == "exists" else query.state


def _standing(obj: Object | None) -> dict[str, Any]:
    """How it stands, for whoever has to decide what to do about it."""
    if obj is None:
        return {"status": None}
    said = {"generation": obj.meta.generation, "observed_generation": obj.status.observed_generation}
    found = None if isinstance(obj, Sync) else condition(obj.status.conditions, SPEAKS[obj.meta.kind])
    words = {} if found is None else {"reason": found.reason, "message": found.message}
    return {"status": _word(obj), **said, **words}


def _word(obj: Object) -> str:
    if isinstance(obj, VM):
        return status_word(obj)
    if isinstance(obj, Deployment):
        return phase(obj)
    if isinstance(obj, Sync):
        return obj.status.state
    return "ready" if is_true(obj.status.conditions, plugins.READY) else "not_ready"


def _view(call: Call, obj: Object) -> Struct:
    if isinstance(obj, VM):
        return vm_view(obj, call.deps.last_check(obj))
    if isinstance(obj, Deployment):
        return view_of(call.store, obj, call.deps.network_mode)
    return sync_view(obj) if isinstance(obj, Sync) else plugin_view(obj)
