"""Sets that were applied as one are watched until they are healthy, or taken back as a whole.

    members of a set that progresses ──▶ plan (pure) ──▶ Settle:   healthy; what it no longer names goes
                                                     └─▶ TakeBack: as it was before, in one transaction

What it promises:

* An atomic set ends healthy, or as it was: nothing of it stays behind but what others have said since, or taken.
* It is taken back at its deadline, which is stored, or as soon as one object has failed for good.
* What the set no longer names goes once it is healthy, and not before, so that nothing is lost by taking it back.
* A revision ends once. A daemon that dies on the way has done all of it or nothing.
* Where no set progresses it costs one look-up a commit; at rest it writes nothing (L7).

This is the one room that writes specs of all kinds: each as it was before somebody asked for it to be taken back.
"""

from volant.controllers.sets.reconciler import SetKey, SetReconciler

__all__ = ["SetKey", "SetReconciler"]
