"""`GET /manifests`: what there is, in the words of an apply."""

from __future__ import annotations

from msgspec import UNSET

from volant.api.call import Answer, Call, plain
from volant.errors import NotFound
from volant.model.apply.exported import exported
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.model.queries import Exporting

ORDER: tuple[Kind, ...] = ("Plugin", "VM", "Deployment")


async def list_manifests(call: Call, query: Exporting) -> Answer:
    """`GET /manifests`: List objects as manifests that make them again.

    Applied back, they change nothing. What is so by itself is left out, and so are objects on their way out and the VMs
    of deployments, unless they are named. Texts for cloud-init and variables are in the clear, as in a config.
    """
    found = sorted(_chosen(call, query), key=lambda obj: (ORDER.index(obj.meta.kind), obj.meta.name))
    return plain([exported(obj) for obj in found if not obj.meta.is_deleting])


def _chosen(call: Call, query: Exporting) -> list[Object]:
    store = call.store
    if query.set is not UNSET:
        members = store.members(query.set)
        if not members:
            raise NotFound("Set", query.set, code="set_not_found")
        keys = [Key(one.kind, one.name) for one in members]
    elif query.name is not UNSET:
        keys = [Key(kind, query.name) for kind in _kinds(query)]
    else:
        keys = [key for kind in _kinds(query) for key in store.keys(kind)]
    found = [obj for obj in map(store.find, keys) if obj is not None]
    is_named = query.name is not UNSET
    return [
        obj
        for obj in found
        if obj.meta.kind in _kinds(query)
        and (query.name is UNSET or obj.meta.name == query.name)
        and (is_named or obj.meta.owner is None)
    ]


def _kinds(query: Exporting) -> tuple[Kind, ...]:
    return ORDER if query.kind is UNSET else (query.kind,)
