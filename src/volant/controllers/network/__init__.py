"""Network: what running guests are attached by stands, whoever takes it away.

    netlink ─▶ Network.watch ─┐
    VM events, resync ────────┴─▶ is it a guest that is to run on? ─▶ is_attached? ──no──▶ ensure ▸ reattach

What it promises:

* A tap, an address or a rule that somebody removes under a running guest is back, and the guest goes on: same process,
  same address, some lost packets.
* It writes nothing to the store, and asks nothing of a host where all is as it should be but to be looked at.
* It attaches nobody for the first time and detaches nobody: the VM controller does, before a launch and at the end.

A guest is attached as it was booted, not as its spec says by now: what has changed waits for its restart.
"""

from volant.controllers.network.reconciler import NetworkReconciler

__all__ = ["NetworkReconciler"]
