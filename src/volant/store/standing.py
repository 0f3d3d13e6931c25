"""What the objects of a set are judged by, read from their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from volant.clock import Instant
from volant.model.apply.sets import Named
from volant.model.apply.standing import Standing
from volant.model.conditions import is_true
from volant.model.deployment import Deployment
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import READY, Plugin
from volant.store.rows import Rows


def standings(rows: Rows, named: Iterable[Named], now: Instant) -> list[Standing]:
    """Each object that an apply named, as the rows have it."""
    plugin = cache(lambda name: rows.find(Key("Plugin", name)))  # one of them has many deployments
    return [_standing(rows, one, plugin, now) for one in named]


def _standing(rows: Rows, named: Named, plugin: Callable[[str], Object | None], now: Instant) -> Standing:
    obj = rows.find(named.key)
    obj = obj if obj is not None and obj.meta.uid == named.uid else None
    if not isinstance(obj, Deployment):
        return Standing(named, obj)
    found = plugin(obj.spec.plugin)
    # Counting costs with the number of VMs, and matters only where some may have nothing to boot, or have to ripen.
    unready = found if isinstance(found, Plugin) and not is_true(found.status.conditions, READY) else None
    min_ready_s = obj.spec.strategy.min_ready_s
    if unready is None and not min_ready_s:
        return Standing(named, obj)
    children = [child for child in rows.children(obj.meta.uid) if not child.is_deleting]
    ripe = sum(child.is_ready and (child.ready_since or 0.0) <= now - min_ready_s for child in children)
    running = sum(child.is_running for child in children)
    return Standing(named, obj, unready, running, ripe if min_ready_s else None)
