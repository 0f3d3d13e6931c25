"""Health: how a plugin wants its guests probed, and what a row of outcomes says about a guest. Pure.

    Prober ──outcome──▶ observe ──▶ Outcomes ──health──▶ VMStatus.health

Three probes, as Kubernetes has them. `startup` holds the other two back until it has succeeded once. `readiness` says
whether the guest counts as a ready replica and never restarts anything. `liveness` that fails ends the guest, and so
does `startup` (P4). An outcome is unknown when the probe itself could not run; it changes nothing (P5).

A verdict changes after so many equal outcomes in a row. Until its first, readiness counts as failed and liveness as
succeeded. When to probe is not known here, nor who does it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Instant
from volant.model.meta import Misfit
from volant.model.vm import FailedProbe, Health, HealthWord

ProbeKind = Literal["startup", "readiness", "liveness"]
ProbeOutcome = Literal["success", "failure", "unknown"]
ProbeType = Literal["http", "tcp"]
Port = Annotated[int, Constraint(ge=1, le=65535)]
Path = Annotated[
    str,
    # No blank and no line break: the path stands in the first line of a request.
    Constraint(pattern=r"^/[!-~]*$(?!\n)", max_length=1024, description="An absolute path in visible ASCII."),
]

KINDS: tuple[ProbeKind, ...] = ("startup", "readiness", "liveness")


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often to ask, and what to make of the answers. The defaults are those of Kubernetes (P3).

    `initial_delay_s` counts from the start of the guest.
    """

    initial_delay_s: Annotated[float, Constraint(ge=0, le=3600)] = 0.0
    period_s: Annotated[float, Constraint(ge=0.1, le=3600)] = 10.0
    timeout_s: Annotated[float, Constraint(ge=0.1, le=60)] = 1.0
    success_threshold: Annotated[int, Constraint(ge=1, le=1000)] = 1
    failure_threshold: Annotated[int, Constraint(ge=1, le=10_000)] = 3


class HealthCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is asked, and by which probes. Type and port are the workload's own unless given.

    A check that names no probe is a readiness probe with the defaults: to be restarted is asked for, never implied.
    """

    type: ProbeType | None = None
    path: Path = "/"
    port: Port | None = None
    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None

    def __post_init__(self) -> None:
        for kind, probe in (("startup", self.startup), ("liveness", self.liveness)):
            if probe is not None and probe.success_threshold != 1:
                message = f"the success_threshold of a {kind} probe must be 1"
                raise Misfit(f"/{kind}/success_threshold", message)

    def probe(self, kind: ProbeKind) -> Probe | None:
        """The probe of that kind, if there is one."""
        if kind == "readiness" and self.startup is None and self.liveness is None:
            return self.readiness or Probe()
        return {"startup": self.startup, "readiness": self.readiness, "liveness": self.liveness}[kind]

    @property
    def gates(self) -> bool:
        """Whether a guest has to pass before it counts as ready. Liveness counts as success until it fails (P4)."""
        return self.startup is not None or self.probe("readiness") is not None


class Target(Struct, frozen=True, kw_only=True):
    """What is asked: a port of the guest, and for `http` a path on it."""

    type: ProbeType
    port: int
    path: str = "/"


class Streak(Struct, frozen=True, kw_only=True):
    """What one probe says (None: nothing yet), and how many equal outcomes it has had in a row."""

    verdict: bool | None = None
    last: bool | None = None
    length: int = 0


class Outcomes(Struct, frozen=True, kw_only=True):
    """All that is remembered of the probes of one guest. `last_check`: when one last said something."""

    startup: Streak = Streak()
    readiness: Streak = Streak()
    liveness: Streak = Streak()
    last_check: Instant | None = None

    def streak(self, kind: ProbeKind) -> Streak:
        """That of one probe."""
        return {"startup": self.startup, "readiness": self.readiness, "liveness": self.liveness}[kind]


def resume(check: HealthCheck, stored: Health | None) -> Outcomes:
    """What is known of a guest of which the store says `stored`: that holds until a probe says otherwise.

    `health(check, resume(check, stored))` is `stored` again, so a daemon that is restarted writes nothing.
    """
    stored = stored or Health()
    verdict = {"healthy": True, "unhealthy": False, "unknown": None}[stored.status]
    is_started = check.startup is None or stored.has_started or stored.status == "healthy"
    return Outcomes(
        startup=Streak(verdict=False if stored.failed == "startup" else True if is_started else None),
        readiness=Streak(verdict=verdict),
        liveness=Streak(verdict=False if stored.failed == "liveness" else True if verdict else None),
        last_check=stored.last_check,
    )


def active(check: HealthCheck, outcomes: Outcomes) -> tuple[ProbeKind, ...]:
    """The probes that are to run now: startup alone until it has succeeded, and none once the guest has to go."""
    if failed_probe(outcomes) is not None:
        return ()
    if check.startup is not None and outcomes.startup.verdict is None:
        return ("startup",)
    return tuple(kind for kind in KINDS if kind != "startup" and check.probe(kind) is not None)


def observe(check: HealthCheck, outcomes: Outcomes, kind: ProbeKind, outcome: ProbeOutcome, now: Instant) -> Outcomes:
    """The outcomes with one more. A probe that is not active, and an unknown outcome, change nothing. Total."""
    probe = check.probe(kind)
    if outcome == "unknown" or probe is None or kind not in active(check, outcomes):
        return outcomes
    streak = _longer(outcomes.streak(kind), probe, is_success=outcome == "success")
    return replace(outcomes, **{kind: streak}, last_check=now)


def _longer(streak: Streak, probe: Probe, *, is_success: bool) -> Streak:
    length = streak.length + 1 if streak.last is is_success else 1
    threshold = probe.success_threshold if is_success else probe.failure_threshold
    # No longer than it has to be, so that a guest that is well for a year leaves the same state every time.
    return Streak(
        verdict=is_success if length >= threshold else streak.verdict, last=is_success, length=min(length, threshold)
    )


def failed_probe(outcomes: Outcomes) -> FailedProbe | None:
    """Which probe wants the guest ended, if one does."""
    if outcomes.startup.verdict is False:
        return "startup"
    return "liveness" if outcomes.liveness.verdict is False else None


def health(check: HealthCheck, outcomes: Outcomes) -> Health:
    """What the outcomes say, as it is stored."""
    return Health(
        status=_word(check, outcomes),
        last_check=outcomes.last_check,
        has_started=check.startup is not None and outcomes.startup.verdict is True,
        failed=failed_probe(outcomes),
    )


def _word(check: HealthCheck, outcomes: Outcomes) -> HealthWord:
    said = {kind: outcomes.streak(kind).verdict for kind in KINDS if check.probe(kind) is not None}
    if False in said.values():
        return "unhealthy"
    order: tuple[ProbeKind, ...] = ("readiness", "startup", "liveness")
    decisive = next(kind for kind in order if kind in said)
    return "healthy" if said[decisive] else "unknown"
