"""What clients read of a VM."""

from __future__ import annotations

from msgspec import Struct

from volant.model.conditions import Tristate
from volant.model.meta import Owner, Time
from volant.model.timings import Timings
from volant.model.vm import Endpoint, ExitReason, HealthWord, Resources, RestartPolicy, StatusWord


class ConditionView(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One condition."""

    type: str
    status: Tristate
    last_update: Time
    reason: str
    message: str = ""
    observed_generation: int


class HealthView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of the probes."""

    status: HealthWord
    last_check: Time | None = None


class ExitView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the last guest ended."""

    reason: ExitReason
    at: Time
    code: int | None = None
    message: str = ""


class VMView(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A VM as the API shows it. `template` is the digest of what its deployment made it of."""

    name: str
    status: StatusWord
    plugin: str
    ip: str | None = None
    pid: int | None = None
    created_at: Time
    resources: Resources
    health: HealthView | None = None
    uid: str
    generation: int
    revision: int
    labels: dict[str, str] = {}
    owner: Owner | None = None
    template: str | None = None
    restart_policy: RestartPolicy
    restart_required: bool
    restarts: int
    started_at: Time | None = None
    next_restart_at: Time | None = None
    deleting_since: Time | None = None
    exit: ExitView | None = None
    endpoints: tuple[Endpoint, ...] = ()
    node: str | None = None
    accelerator: str | None = None
    isolation: str | None = None
    timings: Timings | None = None
    conditions: tuple[ConditionView, ...] = ()
