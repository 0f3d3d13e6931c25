"""How a deployment changes its VMs for others: the template they are made of, and the bounds that a change keeps.

    spec ──template_of──▶ Template ──digest_of──▶ the word that each VM made of it carries
                              └──▶ Revision, one for each change, to go back to

Two templates are the same when they mean the same: what is left out and what is said as the default have one digest,
and the order of keys has no part in it (U11).
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType, field
from msgspec import Meta as Constraint

from volant.clock import Instant
from volant.model.meta import Misfit
from volant.model.vm import RestartPolicy, VMConfig

RolloutWord = Literal["complete", "rolling", "paused", "stalled"]
"""How far the VMs of a deployment are from its template, in one word."""

Share = (
    Annotated[int, Constraint(ge=0, le=10_000)]
    | Annotated[str, Constraint(pattern=r"^(100|[1-9]?[0-9])%$(?!\n)", description="A share of the replicas.")]
)
MinReadyS = Annotated[float, Constraint(ge=0, le=86_400, description="Seconds for which a VM has to be ready.")]
DeadlineS = Annotated[
    float, Constraint(gt=0, le=604_800, description="Seconds without progress after which a rollout is stuck.")
]
DrainS = Annotated[
    float, Constraint(ge=0, le=3600, description="Seconds between leaving the endpoints and being asked to stop.")
]
RevisionsKept = Annotated[int, Constraint(ge=0, le=100, description="Revisions kept besides the current one.")]


class Strategy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the template of a deployment rolls: how many VMs more, how many available ones less than asked for.

    Of a share in percent `max_surge` is rounded up, `max_unavailable` down. `auto_revert` goes back to the last
    template that was complete when `progress_deadline_s` have passed without progress. A ready VM that is replaced or
    scaled away is no endpoint from then on, and is asked to stop `drain_s` later.
    """

    max_surge: Share = "25%"
    max_unavailable: Share = "25%"
    min_ready_s: MinReadyS = 0.0
    progress_deadline_s: DeadlineS = 600.0
    drain_s: DrainS = 1.0
    paused: bool = False
    revisions_kept: RevisionsKept = 10
    auto_revert: bool = False


class StrategyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strategy of which any part may be left out; null is the default."""

    max_surge: Share | UnsetType | None = UNSET
    max_unavailable: Share | UnsetType | None = UNSET
    min_ready_s: MinReadyS | UnsetType | None = UNSET
    progress_deadline_s: DeadlineS | UnsetType | None = UNSET
    drain_s: DrainS | UnsetType | None = UNSET
    paused: bool | UnsetType | None = UNSET
    revisions_kept: RevisionsKept | UnsetType | None = UNSET
    auto_revert: bool | UnsetType | None = UNSET


def strategy_with(old: Strategy, patch: StrategyPatch) -> Strategy:
    """The strategy with the patch merged into it. Raises Misfit for what no field alone can tell is wrong (U2, U5)."""
    said = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not UNSET}
    default = msgspec.structs.asdict(Strategy())
    said = {name: default[name] if value is None else value for name, value in said.items()}
    new = msgspec.structs.replace(old, **said)
    if _share_of(new.max_surge, 100, up=True) == _share_of(new.max_unavailable, 100, up=True) == 0:
        raise Misfit("/max_unavailable", "expected more than 0, because max_surge is 0: nothing could be replaced")
    if new.progress_deadline_s <= new.min_ready_s:
        raise Misfit("/progress_deadline_s", f"expected more than min_ready_s, which is {new.min_ready_s:g}")
    return new


class Bounds(NamedTuple):
    """What a rollout keeps at every moment: at most so many VMs, at least so many of them available (U1)."""

    most: int
    least: int


def bounds_of(strategy: Strategy, replicas: int) -> Bounds:
    """The bounds for so many replicas. One may always be replaced: where both shares are none, one may be away (U2)."""
    surge = _share_of(strategy.max_surge, replicas, up=True)
    away = _share_of(strategy.max_unavailable, replicas, up=False)
    return Bounds(replicas + surge, max(0, replicas - (away if surge or away else 1)))


def _share_of(share: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(share, int):
        return share
    percent = int(share.removesuffix("%"))
    return -(-replicas * percent // 100) if up else replicas * percent // 100


class Template(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a deployment makes its VMs of. A grown `nonce` makes another one of the same content."""

    plugin: str
    config: VMConfig = field(default_factory=VMConfig)
    restart_policy: RestartPolicy = "always"
    labels: dict[str, str] = {}
    nonce: int = 0


def digest_of(template: Template) -> str:
    """16 hexadecimal digits that are the same for every way to say the same template (U11)."""
    return hashlib.sha256(_CANONICAL.encode(_said(template))).hexdigest()[:16]


_CANONICAL = msgspec.json.Encoder(order="deterministic")


def _said(value: Any) -> Any:
    """As builtins, without what is as it is by default: a field that a later Volant adds rolls nothing."""
    if isinstance(value, Struct):
        defaults = _defaults(type(value))
        return {k: _said(v) for k, v in msgspec.structs.asdict(value).items() if v != defaults.get(k, NODEFAULT)}
    if isinstance(value, dict):
        return {key: _said(part) for key, part in value.items()}
    return [_said(part) for part in value] if isinstance(value, list | tuple) else value


@cache
def _defaults(cls: type[Struct]) -> dict[str, Any]:
    fields = msgspec.structs.fields(cls)
    return {f.name: f.default if f.default_factory is NODEFAULT else f.default_factory() for f in fields}


class Revision(Struct, frozen=True, kw_only=True):
    """A template that a deployment has, or had. `number` grows with each change; `cause` is what was asked for."""

    number: int
    template: Template
    digest: str
    at: Instant
    cause: str
