"""How the daemon is: what `/healthz` and `/readyz` say, part by part.

    live    worth keeping: nothing is wrong that only a restart would mend
    ready   worth sending requests to: live, the first look is done, writes are taken, every watcher lives

A note beside a part that is well is for people. Nothing is measured here, and nothing waited for.
"""

from __future__ import annotations

from volant.api.deps import Check, HealthReport
from volant.daemon.engine import Engine
from volant.reconcile import ControllerStats

_OTHERS = frozenset({"controller.plugin", "controller.sync"})
STUCK_S = 60.0
"""A key that waits longer than this for a worker makes the daemon unhealthy."""


def report(engine: Engine, *, is_stopping: bool = False) -> HealthReport:
    """The truth of this moment (S5)."""
    has_looked, store = engine.observed.is_set(), engine.store
    checks = {
        "daemon": _unless(is_stopping, "the daemon is stopping"),
        "observed": _unless(not has_looked, "first look under way"),
        "store": Check(ok=store.healthy, message=store.trouble or ""),
        "store.owner": _unless(store.deposed.is_set(), "another daemon has taken over: this one is ending"),
        "store.size": Check(ok=True, message=engine.store_watch.size_note),
    }
    for watcher in engine.health.watchers():
        checks[f"watcher.{watcher.name}"] = Check(ok=watcher.fault is None, message=watcher.fault or "")
    # Behind a closed gate every key waits, and for good reason.
    may_turn = engine.gate.is_open and has_looked
    for stats in engine.stats():
        checks[f"controller.{stats.name}"] = _turns(stats, may_turn=may_turn)
    # Plugins and syncs wait for servers of others: that is no reason to restart this daemon.
    own = [name for name in checks if name.startswith("controller.") and name not in _OTHERS]
    is_live = all(checks[name].ok for name in [*own, "store.owner"])
    is_ready = is_live and engine.is_ready and not is_stopping
    return HealthReport(is_live=is_live, is_ready=is_ready, checks=checks)


def _turns(stats: ControllerStats, *, may_turn: bool) -> Check:
    is_stuck = may_turn and stats.oldest_age_s > STUCK_S
    return _unless(is_stuck, f"a key has waited for {stats.oldest_age_s:.0f} s")


def _unless(is_wrong: bool, message: str) -> Check:
    return Check(ok=not is_wrong, message=message if is_wrong else "")
