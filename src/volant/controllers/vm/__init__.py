"""The VM controller: a guest is there, or is not, as its VM says.

    plan.py        what is needed next        pure, total; the table at its top is the whole behaviour
    steps.py       what a plan can ask for    values
    reports.py     what a status can say      pure
    restarts.py    when to start again        pure
    reconciler.py  looks, asks, acts          the only file here that awaits

Promises: a guest is asked to stop only after the end of its grace period is in the store, and killed only when it is
wanted gone; a daemon that dies at any point goes on where it was; a guest that runs as it should is left alone.

Deliberately absent: deployments, garbage and probes. Who owns a VM makes no difference to it; how its guest fares, it
reads from the status.
"""

from volant.controllers.vm.reconciler import VMReconciler

__all__ = ["VMReconciler"]
