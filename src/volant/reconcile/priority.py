"""Which of two waiting keys goes first (Q10).

Two lines are enough: somebody is waiting for it, or nobody is. More would have to be explained to whoever adds a key.
"""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Lower values go first."""

    FRESH = 0
    """Somebody asked for a change, or the host changed."""
    ROUTINE = 1
    """Start-up, resync and retries: nobody is waiting for it."""
