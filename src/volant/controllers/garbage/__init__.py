"""Garbage: what nobody answers for any more, found by looking and removed after a while.

    host: instances, attachments ──┐                                ┌─▶ kill, forget, ensure_absent
    cache: files                 ──┼──▶ plan (pure): quarantine ──▶─┼─▶ remove
    store: uids, owners, digests ──┘                                └─▶ mark the orphan for deletion

What it promises:

* Only what carries our mark is ever looked at: drivers and cache list nothing else (P11).
* Nothing is destroyed because a list was empty or could not be had. Just before each destructive step the store is
  asked about that very uid, digest or owner, and says that it knows none (D9, V12).
* What is suspect is left alone for `quarantine_s` first, and the log says so.
* A guest that was launched a moment ago is safe: its row was written before the launch, and the rows are read after the
  host (R1, D3).

A run directory without a process is no garbage while its VM's row exists: it says how the guest ended. What belongs to
a living object is its controller's business.
"""

from volant.controllers.garbage.collector import SWEEP, GarbageCollector, SweepReport

__all__ = ["SWEEP", "GarbageCollector", "SweepReport"]
