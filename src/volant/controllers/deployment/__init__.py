"""Deployments: so many VMs of one plugin, kept alive.

    Deployment row ──┐
    children rows  ──┼──▶ plan (pure) ──▶ create | delete | finalize | revert, in one transaction ──▶ report
    plugin row     ──┘

What it promises:

* Never more VMs than asked for because of what it did itself and did not see (R1): what to create is decided in the
  transaction that creates it, on the rows which that transaction holds.
* Whom a scale-down takes is a rule, and the event of each deletion says which (R6).
* A changed template replaces the VMs, never beyond the bounds of its strategy (U1): `rolling` has the arithmetic.
* A VM is a child by the uid of its owner, never by its name (D5); nobody else's VM is ever adopted (D7).
* At rest it writes nothing (L7).

It starts and stops no guest: a child is a row, and the VM controller makes it so. There is no record of what was
created lately and no expectation to expire (R2): the rows are read, each time.
"""

from volant.controllers.deployment.reconciler import DeploymentReconciler

__all__ = ["DeploymentReconciler"]
