"""The machinery of reconciling: it knows keys and time, and no kind.

    bus, drivers ──add(key)──▶ Workqueue ──▶ worker ──reconcile(key)──▶ DONE | Again(after_s) | raise
    resync ──────────────────────▲  ▲                                        │
                                 │  └──────── Backoff ◀── worth another try ─┘
                  Gate: closed while acting would be blind

What it promises to whoever reconciles:

* Alone: a key is with one worker at a time, whatever the number of workers.
* Never forgotten: a key added while it is worked on comes round again, a failure that may pass is tried again with
  backoff, and every key comes round at each resync, so a lost event costs at most one resync.
* Never blind: no turn begins before the first full look at the world, nor while the store cannot be written.
* Never hostage: a turn that hangs or raises costs its own key only.

What it asks in return: `reconcile` takes a key, looks at the world, makes at most a step, and may be cancelled.

A key is any hashable value. Payloads, event types, kinds and I/O are deliberately absent: a turn that knew *why* it was
called would act on news, and news gets lost.
"""

from volant.reconcile.backoff import Backoff, RetryLimiter, delay
from volant.reconcile.controller import DONE, Again, Controller, Outcome, Ready
from volant.reconcile.gate import Gate
from volant.reconcile.measures import ControllerStats, KeyStanding, Place, Spread
from volant.reconcile.priority import Priority
from volant.reconcile.story import Stories, Turn
from volant.reconcile.watchers import Beat, Health, WatcherHealth, supervise
from volant.reconcile.workqueue import ShutDown, Workqueue

__all__ = [
    "DONE",
    "Again",
    "Backoff",
    "Beat",
    "Controller",
    "ControllerStats",
    "Gate",
    "Health",
    "KeyStanding",
    "Outcome",
    "Place",
    "Priority",
    "Ready",
    "RetryLimiter",
    "ShutDown",
    "Spread",
    "Stories",
    "Turn",
    "WatcherHealth",
    "Workqueue",
    "delay",
    "supervise",
]
