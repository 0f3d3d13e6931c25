"""The controllers: one room a kind, each making the host match what the store says should be.

    bus, watchers, resync ──key──▶ reconcile ──▶ look ──▶ plan ──▶ act one step ──▶ look again ...
                                                  │                  │
                                        store, drivers         store (status), drivers

In every room `plan` decides and `reconciler` acts. A plan is pure and total: it is given what is desired, what is
reported and what is seen, and answers with the next step or with None, which means rest. A reconciler looks, asks
the plan, takes that one step and looks again, so a plan can never be stale by more than one step.

What every room promises:

* It may be killed between any two effects. Whatever it finds afterwards has an answer.
* At rest it writes nothing and touches nothing.
* What ends or removes something is done only while the store still holds the revision that it was decided on.
* Specs are read here, never written; a status is written by its own controller only.

Deliberately absent: knowledge of one room in another. They meet in the store.
"""
