"""What clients read of a deployment."""

from __future__ import annotations

from msgspec import Struct

from volant.model.deployment import Phase
from volant.model.meta import Time
from volant.model.rollout import RolloutWord, Strategy
from volant.model.views.configs import ConfigView
from volant.model.views.vms import ConditionView
from volant.model.vm import Endpoint, RestartPolicy


class DeploymentStatusView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reference's `status` of a deployment."""

    phase: Phase
    conditions: tuple[ConditionView, ...]
    observed_generation: int


class RevisionView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template that a deployment has or had. `cause` is what was asked for when it came to be.

    `reverted`: it was taken back by itself, and no apply brings it again. `template` is its digest: the same for all
    that means the same.
    """

    revision: int
    created_at: Time
    cause: str
    current: bool
    complete: bool
    reverted: bool = False
    plugin: str
    labels: dict[str, str] = {}
    restart_policy: RestartPolicy
    config: ConfigView
    template: str


class DeploymentView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployment as the API shows it. `vms` are those that are there to stay, in the order of their ordinals.

    `updated_replicas` of them are made of its template, whose revision is `template_revision`, and whose digest they
    have in their `template`.
    """

    name: str
    plugin: str
    replicas: int
    ready_replicas: int
    vms: list[str]
    created_at: Time
    scaling: bool
    status: DeploymentStatusView
    uid: str
    generation: int
    revision: int
    labels: dict[str, str] = {}
    restart_policy: RestartPolicy
    config: ConfigView
    strategy: Strategy
    template: str
    template_revision: int
    updated_replicas: int
    rollout: RolloutWord
    deleting_since: Time | None = None


class ReplicaView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One VM that requests may be sent to. `ports` are where its published ports are reached.

    `template_revision` is that of the template which it is made of; left out where that one is no longer kept.
    """

    vm: str
    uid: str
    ip: str | None = None
    node: str | None = None
    template_revision: int | None = None
    ports: tuple[Endpoint, ...] = ()


class EndpointsView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where requests for a deployment may be sent, as of a revision of the store, after which events can be followed.

    The replicas that are ready and not on their way out, in the order of their creation.
    """

    deployment: str
    revision: int
    endpoints: tuple[ReplicaView, ...]
