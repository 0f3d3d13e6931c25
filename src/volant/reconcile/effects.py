"""The seam that every effect of a controller passes: writes to the store and calls that change the host.

    reconciler ──act(op, target, fn)──▶ before ──▶ fn() ──▶ after

A simulation hands in a hook and ends the daemon, or fails a call, before or after any effect it likes: "before" is a
crash with nothing done, "after" one with everything done and nobody told. In production there is no hook, and the seam
costs one comparison.

Reads do not pass here: not having looked changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

T = TypeVar("T")

Moment = Literal["before", "after"]
Hook = Callable[[Moment, str, object], None]
"""Called with the moment, the operation (`hypervisor.kill`) and its target (a uid or a key). May raise anything."""


class Effects:
    """Does effects, and lets a hook see each of them."""

    def __init__(self, hook: Hook | None = None) -> None:
        self.hook = hook

    async def act(self, op: str, target: object, fn: Callable[[], Awaitable[T]]) -> T:
        """What `fn` gives. `op` is the port and its method, `store.finalize`; `target` what it is done to."""
        hook = self.hook
        if hook is None:
            return await fn()
        hook("before", op, target)
        result = await fn()
        hook("after", op, target)
        return result
