"""Query parameters: one Struct a route, in the words of the reference first.

    ?plugin=hello&limit=5 ──api.body.decode_query──▶ query Struct

An unknown parameter is refused like an unknown field, because a misspelt filter that is ignored shows everything. UNSET
is a parameter that was not given.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec import Meta as Constraint

from volant.model.goals import DeploymentGoal, PluginGoal, VMGoal
from volant.model.meta import Kind, Name
from volant.model.vm import StatusWord

MOST = 1 << 53
"""The largest whole number that every JSON reader reads exactly."""

Count = Annotated[int, Constraint(ge=0, le=MOST)]
Limit = Annotated[int, Constraint(ge=0, le=MOST, description="At most so many; without it, everything.")]
Offset = Annotated[int, Constraint(ge=0, le=MOST, description="How many to leave out at the beginning.")]
PluginName = Annotated[str, Constraint(description="Those of this plugin only.")]
DeploymentName = Annotated[str, Constraint(description="Those of this deployment only.")]
Order = Annotated[Literal["asc", "desc"], Constraint(description="The direction of `sort`.")]


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route without query parameters."""


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list. Without `limit` everything."""

    limit: Limit | UnsetType = UNSET
    offset: Offset = 0


Fields = Annotated[
    str,
    Constraint(
        min_length=1,
        max_length=2048,
        description="Which fields to show: names with commas between, dotted for parts (name,resources.vcpu).",
    ),
]
LabelSelector = Annotated[
    str, Constraint(description="Which objects, by their labels: app=web,tier!=db,env in (a,b),!gpu.")
]
NamePart = Annotated[str, Constraint(max_length=63, description="A part of the name.")]
Token = Annotated[str, Constraint(max_length=512, description="From the `Link` of the page before.")]
OwnerRef = Annotated[
    str, Constraint(max_length=63, description="The name of a deployment, or the uid of an owner; empty: without one.")
]


class Chosen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object, whole or in part."""

    fields: Fields | UnsetType = UNSET


BY = "What to sort by. Equal ones stand in the order of creation."


class ListQuery(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every list takes. `after` is the token of a page, which stands for all that came before it."""

    label_selector: LabelSelector | UnsetType = UNSET
    q: NamePart | UnsetType = UNSET
    fields: Fields | UnsetType = UNSET
    order: Order = "asc"
    after: Token | UnsetType = field(name="continue", default=UNSET)


class VMQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms`."""

    plugin: PluginName | UnsetType = UNSET
    status: Annotated[StatusWord, Constraint(description="Those of this status only.")] | UnsetType = UNSET
    deployment: DeploymentName | UnsetType = UNSET
    owner: OwnerRef | UnsetType = UNSET
    sort: Annotated[
        Literal["created_at", "name", "plugin", "status", "started_at", "restarts"],
        Constraint(description=BY),
    ] = "created_at"


class DeploymentQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /deployments`."""

    sort: Annotated[
        Literal["created_at", "name", "plugin", "status", "replicas", "ready_replicas"],
        Constraint(description=BY),
    ] = "created_at"


class PluginQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /plugins`."""

    sort: Annotated[
        Literal["created_at", "name", "enabled"],
        Constraint(description=BY),
    ] = "created_at"


DURATION = (
    r"^(0{0,6}([1-5]?[0-9]{1,2}(\.[0-9]{1,9})?|600(\.0{1,9})?)s?"
    r"|0{0,3}([1-5]?[0-9]{1,5}(\.[0-9]{1,9})?|600000(\.0{1,9})?)ms"
    r"|0{0,7}([0-9](\.[0-9]{1,9})?|10(\.0{1,9})?)m)$"
)
"""At most 600 seconds, in any unit."""


class OpenAPIQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /openapi`."""

    version: Annotated[Literal["3.0", "3.1"], Constraint(description="Of OpenAPI: 3.0 is 3.0.3, 3.1 is 3.1.0.")] = "3.0"


Duration = Annotated[
    str,
    Constraint(
        max_length=16,
        description="A duration: 30, 30s, 500ms or 2m; at most 600 s.",
        extra_json_schema={"pattern": DURATION},
    ),
]
"""Read by `goals.seconds`, which says in better words what is wrong than a pattern does."""


GOAL = "Answer when it is so, or when `timeout` has passed; `none`: at once. Without it, as the operation says."


class Writing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every write. `wait` is a goal of `goals`, or `none`; UNSET is what the route does by itself.

    `dry_run`: everything but the write itself.
    """

    wait: str | UnsetType = UNSET
    timeout: Duration | UnsetType = UNSET
    dry_run: Annotated[
        bool,
        Constraint(description="Check everything and change nothing: the answer is the object as it would be."),
    ] = False


class VMWriting(Writing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A write of a VM."""

    wait: (
        Annotated[Literal["running", "ready", "stopped", "deleted", "none"], Constraint(description=GOAL)] | UnsetType
    ) = UNSET


class DeploymentWriting(Writing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A write of a deployment."""

    wait: Annotated[Literal["available", "complete", "deleted", "none"], Constraint(description=GOAL)] | UnsetType = (
        UNSET
    )


TAKE_OVER = "Take over fields that other managers say otherwise."


class VMPutting(VMWriting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT /vms/{name}`."""

    force: Annotated[bool, Constraint(description=TAKE_OVER)] = False


class DeploymentPutting(DeploymentWriting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT /deployments/{name}`."""

    force: Annotated[bool, Constraint(description=TAKE_OVER)] = False


class PluginWriting(Writing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A write of a plugin."""

    wait: Annotated[Literal["ready", "deleted", "none"], Constraint(description=GOAL)] | UnsetType = UNSET


class Force(VMWriting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop and delete: with `force` without asking the guest first."""

    force: Annotated[bool, Constraint(description="Without asking the guest first.")] = False


STATE = "What to wait for; `exists` and `deleted` need no object to begin with."


class Waiting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET .../wait`."""

    state: str = "exists"
    generation: (
        Annotated[
            int,
            Constraint(ge=0, le=MOST, description="Of this generation or a later; without it, of that at the time."),
        ]
        | UnsetType
    ) = UNSET
    timeout: Duration | UnsetType = UNSET


class VMWaiting(Waiting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms/{name}/wait`."""

    state: Annotated[VMGoal, Constraint(description=STATE)] = "running"


class DeploymentWaiting(Waiting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /deployments/{name}/wait`."""

    state: Annotated[DeploymentGoal, Constraint(description=STATE)] = "available"


class PluginWaiting(Waiting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /plugins/{name}/wait`."""

    state: Annotated[PluginGoal, Constraint(description=STATE)] = "ready"


Since = Annotated[
    int, Constraint(ge=0, le=MOST, description="Begin after this revision; `Last-Event-ID` comes before it.")
]
Types = Annotated[str, Constraint(description="Events of these types only, with commas between.")]
Kinds = Annotated[str, Constraint(description="Objects of these kinds only, with commas between.")]


class PluginEventQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events/plugins`. All filters must hold; those in the plural are lists with commas.

    `since` is the revision after which to begin. With `initial` the stream begins with the objects as they are, unless
    it is told where to begin.
    """

    since: Since | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    name: Annotated[str, Constraint(description="Of the object of this name only.")] | UnsetType = UNSET
    names: Annotated[str, Constraint(description="Of these objects only, with commas between.")] | UnsetType = UNSET
    label_selector: LabelSelector | UnsetType = UNSET
    initial: Annotated[
        bool, Constraint(description="Begin with the objects as they are, then a `bookmark`, then what happens.")
    ] = False


class DeploymentEventQuery(PluginEventQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events/deployments`."""

    plugin: PluginName | UnsetType = UNSET


class VMEventQuery(DeploymentEventQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events/vms`. `deployment` is the name of their owner."""

    deployment: DeploymentName | UnsetType = UNSET


class ConfigHistoryQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms/{name}/config/history`. The newest so many entries; without `limit` everything that is kept."""

    limit: Limit | UnsetType = UNSET


class LastEventsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms/{name}/events` and the like: the newest so many."""

    limit: Annotated[int, Constraint(ge=1, le=500, description="At most so many; without it, 50.")] = 50


class LogsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms/{name}/logs`."""

    tail: Annotated[int, Constraint(ge=0, le=MOST, description="Only the last so many lines.")] | UnsetType = UNSET
    follow: Annotated[
        bool, Constraint(description="Go on with what the guest says from now on, until the VM is deleted.")
    ] = False
    previous: Annotated[bool, Constraint(description="Of the guest before the one that runs: why it ended, say.")] = (
        False
    )


class ConsoleQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms/{name}/console`."""

    force: Annotated[bool, Constraint(description="Take the place of whoever is attached.")] = False


class EventQuery(VMEventQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events`."""

    kind: Annotated[Kind, Constraint(description="Objects of this kind only.")] | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET


class Applying(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a write to a set takes."""

    dry_run: Annotated[bool, Constraint(description="Only say what would be done.")] = False


class SyncNow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /syncs/{name}/sync`."""

    wait: Annotated[
        Literal["tried", "none"], Constraint(description="What to wait for: that it was tried, or nothing.")
    ] = "none"
    timeout: Duration | UnsetType = UNSET


class Exporting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /manifests`. Without any of them, every object."""

    kind: (
        Annotated[Literal["VM", "Deployment", "Plugin"], Constraint(description="Objects of this kind only.")]
        | UnsetType
    ) = UNSET
    name: Annotated[Name, Constraint(description="Objects of this name only.")] | UnsetType = UNSET
    set: Annotated[Name, Constraint(description="Objects of this set only.")] | UnsetType = UNSET
