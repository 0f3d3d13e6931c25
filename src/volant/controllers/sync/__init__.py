"""Syncs: sets that the daemon keeps as a directory or a branch of a repository says them, because its settings say so.

    settings ──▶ Sync objects (made, changed and removed as the settings are)
    interval, `now` ──▶ render (a thread, git a child process) ──turn──▶ calls of the API, in process ──▶ plan ▸ report

What it promises:

* It applies as everybody does: through the API, with the same checks, plans, ownership and events.
* What cannot be read whole changes nothing, and is said in the status until it can.
* After failures it tries less often, at most ten intervals apart; nothing is tried while the store cannot be written.
* At rest it writes nothing: an attempt that finds all as it should be leaves no trace in the store.

Deliberately absent: a way to make a sync through the API. Whoever may apply is not by that allowed to have the daemon
read any directory of its host, or fetch any address, with the daemon's rights.
"""

from volant.controllers.sync.reconciler import Configured, SyncReconciler

__all__ = ["Configured", "SyncReconciler"]
