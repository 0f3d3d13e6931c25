"""Health: the guests that run are asked how they are, and the store says what came of it.

    VM, plugin ──▶ plan: which probe, when ──▶ Prober ──▶ model.health: what it means ──▶ plan: what to write
                          ▲                                                                     │
                          └──────────────── Again(until the next is due) ◀──────────────────────┘

What it promises:

* It writes a verdict, never an outcome: a guest that fares as it did costs probes and no write (L7).
* It ends nobody. A guest that has to go because of its probes is marked as such in the store, with one write, and the
  VM controller does what follows: deadline, stop, delay, start. A daemon that dies in between loses nothing.
* What could not be asked changes nothing (P5), and neither does a daemon that is restarted: what the store says of a
  guest holds until its probes say otherwise. Counts towards a verdict begin anew, because they are not stored.
* Probes are spread over their period by the VM's uid, from the first one on and after any pause (P6).
* Only the guest's own address is ever asked, at the port that was published for it.

Whether a VM is ready is not written here: that is the VM controller's to say, and it reads the verdict.
"""

from volant.controllers.health.reconciler import HealthReconciler

__all__ = ["HealthReconciler"]
