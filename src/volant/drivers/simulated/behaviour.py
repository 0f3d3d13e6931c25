"""What a simulated guest does, said before it is launched; and how often guests do what, drawn from a seed."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct

from volant.model.vm import ExitReason

LaunchFault = Literal["refused", "unavailable", "dies"]
Answers = Literal["healthy", "unhealthy", "mute"]
"""How a guest takes its probes: well, badly, or not at all."""


class Behaviour(Struct, frozen=True, kw_only=True):
    """The life of one guest.

    launch_s        how long `launch` takes
    boot_s          from the launch to a running guest
    launch          how the launch goes wrong: refused or unavailable (nothing is left), or the VMM dies at once
    ends_after_s    when the guest ends by itself, counted from the launch, and `ends_how`; None: it never does
    stop_s          how long it takes to shut down when asked
    loses_stops     how many requests to stop it does not hear
    ignores_stops   whether it hears none at all
    answers         how it takes its probes, from `answers_after_s` after its boot on; badly until then
    """

    launch_s: float = 0.0
    boot_s: float = 0.0
    launch: LaunchFault | None = None
    ends_after_s: float | None = None
    ends_how: ExitReason = "guest_panic"
    stop_s: float = 0.0
    loses_stops: int = 0
    ignores_stops: bool = False
    answers: Answers = "healthy"
    answers_after_s: float = 0.0


class Faults(Struct, frozen=True, kw_only=True):
    """Chances, each between 0 and 1, and spans in seconds that are drawn evenly from 0 to the figure.

    refused, unavailable, dies   of a launch
    ends                         that a guest ends by itself within `ends_within_s`
    hangs, loses_stop            that a guest hears no request to stop, or not the first
    stale                        that a look shows the guest as it was at the look before
    """

    refused: float = 0.0
    unavailable: float = 0.0
    dies: float = 0.0
    ends: float = 0.0
    ends_within_s: float = 120.0
    hangs: float = 0.0
    loses_stop: float = 0.0
    stale: float = 0.0
    launch_within_s: float = 0.0
    boot_within_s: float = 0.0
    stop_within_s: float = 0.0

    def behaviour(self, rng: random.Random) -> Behaviour:
        """The life of the next guest. Draws as often whatever comes out, so one chance does not shift the others."""
        ends_after_s = rng.random() * self.ends_within_s
        how: ExitReason = rng.choice(("guest_panic", "guest_shutdown", "guest_reset", "killed"))
        return Behaviour(
            launch=self._launch(rng.random()),
            ends_after_s=ends_after_s if rng.random() < self.ends else None,
            ends_how=how,
            ignores_stops=rng.random() < self.hangs,
            loses_stops=1 if rng.random() < self.loses_stop else 0,
            launch_s=rng.random() * self.launch_within_s,
            boot_s=rng.random() * self.boot_within_s,
            stop_s=rng.random() * self.stop_within_s,
        )

    def _launch(self, drawn: float) -> LaunchFault | None:
        if drawn < self.refused:
            return "refused"
        if drawn < self.refused + self.unavailable:
            return "unavailable"
        if drawn < self.refused + self.unavailable + self.dies:
            return "dies"
        return None
