"""The VM: one microVM that should be running or stopped.

The word users read as `status` is derived here, by `status_word`, from what was asked and what was observed. It is
never stored, so it can never disagree with either.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct, field

from volant.clock import Instant
from volant.model.conditions import Conditions, condition
from volant.model.meta import Meta, Misfit

Power = Literal["running", "stopped"]
RestartPolicy = Literal["always", "on_failure", "never"]
NetworkMode = Literal["user", "bridge", "dhcp", "none"]
StatusWord = Literal["starting", "running", "stopping", "stopped", "restarting", "error"]
HealthWord = Literal["unknown", "healthy", "unhealthy"]
FailedProbe = Literal["startup", "liveness"]
ExitReason = Literal[
    "guest_shutdown", "guest_panic", "guest_reset", "killed", "launch_failed", "unhealthy", "asked", "unknown"
]

FINALIZER = "volant/vm"
"""Held by the VM controller from admission on: the row outlives every process, address and file of the VM (D3)."""

READY = "ready"
"""The condition that sums a VM up."""

Vcpu = Annotated[int, Constraint(ge=1, le=64, description="Virtual CPUs.")]
MemoryMb = Annotated[int, Constraint(ge=32, le=1 << 20, description="Guest memory in MiB.")]


class Resources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the guest gets of the host."""

    vcpu: Vcpu = 1
    memory_mb: MemoryMb = 256


BridgeName = Annotated[
    str,
    Constraint(
        pattern=r"^[a-z0-9][a-z0-9-]{0,14}$(?!\n)",
        description="An interface name: letters, digits, '-', at most 15.",
    ),
]


class NetworkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the guest is attached. Left out: as the daemon's `--network` says."""

    mode: NetworkMode | None = None
    bridge_name: BridgeName | None = None


UserData = Annotated[str, Constraint(max_length=65536, description="User data for cloud-init, as it stands.")]
SeedText = Annotated[str, Constraint(max_length=16384, description="A file of cloud-init's seed, as it stands.")]


class CloudInit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What cloud-init in the guest is told."""

    enabled: bool = True
    user_data: UserData | None = None
    meta_data: SeedText | None = None
    network_config: SeedText | None = None


MAX_VARIABLES = 64
MAX_ENV_BYTES = 32 << 10

EnvName = Annotated[
    str,
    Constraint(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$(?!\n)",
        description="The name of a variable: letters, digits and '_', no digit first, at most 128 characters.",
    ),
]
EnvValue = Annotated[
    str,
    Constraint(
        pattern=r"^[^\x00\r\n]*$(?!\n)",
        max_length=8192,
        description="One line of text without NUL, at most 8192 characters.",
    ),
]
Env = Annotated[
    dict[EnvName, EnvValue],
    Constraint(max_length=MAX_VARIABLES, description=f"Environment variables, at most {MAX_VARIABLES}."),
]


class VMConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a guest is started with. A running guest keeps the config that it was booted with until it is restarted."""

    resources: Resources = field(default_factory=Resources)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    cloud_init: CloudInit | None = None
    env: Env = {}


def check_env(env: dict[str, str]) -> None:
    """Raises Misfit at `/env` for more variables or more text than a VM may have."""
    if len(env) > MAX_VARIABLES:
        raise Misfit("/env", f"expected at most {MAX_VARIABLES} variables in all, not {len(env)}")
    size = sum(len(name.encode()) + len(value.encode()) for name, value in env.items())
    if size > MAX_ENV_BYTES:
        raise Misfit("/env", f"expected at most {MAX_ENV_BYTES} bytes in all, not {size}")


class VMSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Desired. `restart_nonce` grows by one for each restart asked for; `force` turns the next stop into a kill.

    `address` is handed out at admission in the transaction that creates the VM (as a Service's cluster IP is), unique,
    and released when the row goes.
    """

    plugin: str
    config: VMConfig = field(default_factory=VMConfig)
    power: Power = "running"
    restart_nonce: int = 0
    restart_policy: RestartPolicy = "always"
    grace_s: float = 30.0
    force: bool = False
    address: str | None = None


class Exit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the last guest ended. `code` is the VMM's exit status where it is known (negative: the signal).

    `of` is the `started_at` of the instance that ended: it tells an end that was reported from one that was not.
    """

    reason: ExitReason
    at: Instant
    of: Instant | None = None
    code: int | None = None
    message: str = ""


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of the probes of the guest that runs. Gone with it: the next guest begins anew.

    `last_check` is that of the probe which last changed any of this. `has_started` once a startup probe has succeeded.
    `failed` names the probe because of which the guest has to go: it is stored before the guest is asked to, so that
    no crash of the daemon forgets it, and none makes it count twice.
    """

    status: HealthWord = "unknown"
    last_check: Instant | None = None
    has_started: bool = False
    failed: FailedProbe | None = None


class Booted(Struct, frozen=True, kw_only=True):
    """What a guest was started with: kept beside the process, copied into the status when it is seen."""

    config: VMConfig
    restart_nonce: int


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where one port of the guest is reached on the host."""

    address: str
    port: int
    guest_port: int


class VMStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Observed, written by the VM controller, but for `health`, whose content is the health controller's.

    `booted` is what the running guest was started with, or the last one if none runs; None once the VM was stopped, but
    not between the two guests of a restart.
    `pid` is set iff a running guest was seen. `failures` counts the crashes since the guest was last well for
    ten minutes: restart delays grow with it, and it is stored so that a daemon restart does not reset them (P2).
    `stop_deadline` is stored before the guest is asked to stop, so that the grace period does not start again (P7).
    """

    observed_generation: int = 0
    pid: int | None = None
    node: str | None = None
    booted: Booted | None = None
    started_at: Instant | None = None
    restarts: int = 0
    failures: int = 0
    next_restart_at: Instant | None = None
    stop_deadline: Instant | None = None
    exit: Exit | None = None
    endpoints: tuple[Endpoint, ...] = ()
    accelerator: str | None = None
    isolation: str | None = None
    health: Health | None = None
    conditions: Conditions = ()


class VM(Struct, frozen=True, kw_only=True):
    """One microVM: what should be, and what is."""

    meta: Meta
    spec: VMSpec
    status: VMStatus = field(default_factory=VMStatus)


def status_word(vm: VM) -> StatusWord:
    """The reference's `status`, derived. Total: every pair of spec and status has a word."""
    status = vm.status
    if vm.meta.is_deleting:
        return "stopping"
    is_current = status.observed_generation >= vm.meta.generation
    if vm.spec.power == "stopped":
        return "stopped" if is_current and status.pid is None else "stopping"
    if status.pid is not None:
        # A stop that nobody asked for is that of a guest which failed its probes.
        return "running" if is_as_asked(vm) and status.stop_deadline is None else "restarting"
    ready = condition(status.conditions, READY)
    if is_current and ready is not None and ready.reason in ERROR_REASONS:
        return "stopped" if _shut_itself_down(vm) and ready.reason == "Exited" else "error"
    return "starting" if status.booted is None else "restarting"


def _shut_itself_down(vm: VM) -> bool:
    # Its restart policy let it end, and it ended well: nobody has to look.
    return vm.status.exit is not None and vm.status.exit.reason == "guest_shutdown"


def is_as_asked(vm: VM) -> bool:
    """Whether the running guest was booted after the last restart that was asked for."""
    return vm.status.booted is not None and vm.status.booted.restart_nonce >= vm.spec.restart_nonce


def is_ready(vm: VM) -> bool:
    """Whether the VM counts as a ready replica."""
    ready = condition(vm.status.conditions, READY)
    return status_word(vm) == "running" and ready is not None and ready.status == "true"


def running_config(vm: VM) -> VMConfig:
    """The config of the guest that runs; while none does, the one asked for, which the next guest gets."""
    status = vm.status
    return status.booted.config if status.booted is not None and status.pid is not None else vm.spec.config


def restart_required(vm: VM) -> bool:
    """Whether the running guest was booted with another config than the one asked for now. Clears itself."""
    return running_config(vm) != vm.spec.config


ERROR_REASONS = frozenset({"DriverRefused", "ArtifactRefused", "PluginMissing", "PluginFailed", "Exited"})
"""Reasons of `ready=false` that will not pass by waiting: the word is `error` and somebody has to look."""
