"""The VM: one microVM that should be running or stopped.

The word users read as `status` is derived here, by `status_word`, from what was asked and what was observed. It is
never stored, so it can never disagree with either.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct, field
from msgspec.structs import replace

from volant.clock import Instant
from volant.model.conditions import Conditions, condition
from volant.model.meta import Meta, Misfit
from volant.model.timings import Timings

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
DiskMb = Annotated[int, Constraint(ge=1, le=1 << 24, description="Size of a disk in MiB.")]
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


Cidr = Annotated[
    str,
    Constraint(
        pattern=r"^[0-9a-f.:]{2,43}/[0-9]{1,3}$(?!\n)", description="An IPv4 or IPv6 network, such as 10.1.0.0/16."
    ),
]
Egress = Literal["deny", "public", "all"] | Annotated[tuple[Cidr, ...], Constraint(max_length=32)]
"""Where a guest may begin connections to.

deny    nowhere; it answers those who reach it
public  addresses of the internet: none that is private, shared, link-local, loopback, multicast or reserved
all     everywhere but the host itself
[CIDR]  those networks and nothing else
"""
PublishedPort = Annotated[int, Constraint(ge=1, le=65535)]


class Publish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One TCP port of the guest, offered on an address of the host. On 127.0.0.1 unless said otherwise."""

    guest_port: PublishedPort
    host_port: PublishedPort
    host_ip: Annotated[str, Constraint(pattern=r"^[0-9.]{7,15}$(?!\n)", description="An IPv4 address of the host.")] = (
        "127.0.0.1"
    )


MAX_PUBLISHED = 32
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 -- compared with, never bound
"""Every address of the host."""
PublishedPorts = Annotated[tuple[Publish, ...], Constraint(max_length=MAX_PUBLISHED)]


class NetworkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the guest is attached. Left out: as the daemon's settings say.

    `bridge_name` belongs to the modes bridge and dhcp.
    """

    mode: NetworkMode | None = None
    bridge_name: BridgeName | None = None
    egress: Egress | None = None
    publish: PublishedPorts = ()


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


class DiskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One disk of a VM. `size_mb` of the root disk: at least what its image has, and that when left out."""

    size_mb: DiskMb | None = None


ROOT = "root"
"""The name of the disk that a plugin's `rootfs` is the beginning of. Every other disk begins empty."""
SEED = "seed"
"""The name of the disk that tells a guest who it is; no other disk is called so."""
MAX_DISKS = 8

DiskName = Annotated[
    str,
    Constraint(
        pattern=r"^[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?$(?!\n)",
        description="Letters, digits and '-', at most 20. The guest finds the disk by it: /dev/disk/by-id/virtio-NAME.",
    ),
]
DisksConfig = Annotated[
    dict[DiskName, DiskConfig],
    Constraint(max_length=MAX_DISKS, description=f"Disks by name, at most {MAX_DISKS}; 'root' is that of the plugin."),
]


class VMConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a guest is started with. A running guest keeps the config that it was booted with until it is restarted."""

    resources: Resources = field(default_factory=Resources)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    cloud_init: CloudInit | None = None
    env: Env = {}
    disks: DisksConfig = {}


def settled(config: VMConfig, mode: NetworkMode) -> VMConfig:
    """The config with its network mode said: `mode` where it says none. A VM keeps the one that it was made with."""
    if config.network.mode is not None:
        return config
    return replace(config, network=replace(config.network, mode=mode))


def check_config(config: VMConfig, *, has_rootfs: bool) -> None:
    """Raises Misfit, with the path below the config, for what no field alone can tell is wrong."""
    check_env(config.env)
    check_disks(config.disks, has_rootfs=has_rootfs)
    check_publish(config.network.publish)


def check_disks(disks: dict[str, DiskConfig], *, has_rootfs: bool) -> None:
    """Raises Misfit below `/disks`."""
    if len(disks) > MAX_DISKS:
        raise Misfit("/disks", f"expected at most {MAX_DISKS} disks, not {len(disks)}")
    for name, disk in disks.items():
        if name == SEED:
            raise Misfit(f"/disks/{SEED}", "the disk of that name is cloud-init's; give it another name")
        if name == ROOT and not has_rootfs:
            raise Misfit(f"/disks/{ROOT}", "the plugin has no rootfs to begin as; give the disk another name")
        if name != ROOT and disk.size_mb is None:
            raise Misfit(f"/disks/{name}/size_mb", "expected a size in MiB: nothing else says how large the disk is")


def check_growth(old: VMConfig, new: VMConfig) -> None:
    """Raises Misfit below `/disks` for a disk that would have to shrink."""
    for name, disk in new.disks.items():
        before = old.disks[name].size_mb if name in old.disks else None
        if before is not None and (disk.size_mb or 0) < before:
            raise Misfit(f"/disks/{name}/size_mb", f"expected at least {before}: a disk does not shrink")


def check_publish(publish: tuple[Publish, ...]) -> None:
    """Raises Misfit below `/network/publish` for an address that is none, and for a place that is taken twice."""
    for at, said in enumerate(publish):
        try:
            address = IPv4Address(said.host_ip)
        except ValueError:
            raise Misfit(f"/network/publish/{at}/host_ip", "expected an IPv4 address of the host") from None
        if address.is_multicast:
            raise Misfit(f"/network/publish/{at}/host_ip", "nothing can listen on a multicast address")
        for other in publish[:at]:
            is_same_place = said.host_ip == other.host_ip or ANY_ADDRESS in (said.host_ip, other.host_ip)
            if said.host_port == other.host_port and is_same_place:
                raise Misfit(f"/network/publish/{at}/host_port", f"{said.host_port} is published twice")


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
    and released when the row goes. `template` is the digest of the deployment's template that the VM was made of.
    `drain_s` is how long its guest goes on serving once the VM is being deleted: whoever asks for that says so.
    """

    plugin: str
    config: VMConfig = field(default_factory=VMConfig)
    power: Power = "running"
    restart_nonce: int = 0
    restart_policy: RestartPolicy = "always"
    grace_s: float = 30.0
    force: bool = False
    drain_s: float = 0.0
    address: str | None = None
    template: str | None = None


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
    """What a guest was started with: kept beside the process, copied into the status when it is seen.

    `address` is the one it was attached with: another one than the spec's after a change of the network mode.
    """

    config: VMConfig
    restart_nonce: int
    address: str | None = None


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
    Before that `drain_deadline` is, in the same way, where the guest goes on serving for a while.
    """

    observed_generation: int = 0
    pid: int | None = None
    node: str | None = None
    booted: Booted | None = None
    started_at: Instant | None = None
    restarts: int = 0
    failures: int = 0
    next_restart_at: Instant | None = None
    drain_deadline: Instant | None = None
    stop_deadline: Instant | None = None
    exit: Exit | None = None
    endpoints: tuple[Endpoint, ...] = ()
    accelerator: str | None = None
    isolation: str | None = None
    health: Health | None = None
    timings: Timings | None = None
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


def ready_since(vm: VM) -> Instant | None:
    """Since when the VM counts as a ready replica; None while it does not."""
    ready = condition(vm.status.conditions, READY)
    return ready.last_update if ready is not None and is_ready(vm) else None


def running_address(vm: VM) -> str | None:
    """The address of the guest that runs; while none does, the one that the next guest gets."""
    status = vm.status
    booted = status.booted.address if status.booted is not None and status.pid is not None else None
    return booted or vm.spec.address


def running_config(vm: VM) -> VMConfig:
    """The config of the guest that runs; while none does, the one asked for, which the next guest gets."""
    status = vm.status
    return status.booted.config if status.booted is not None and status.pid is not None else vm.spec.config


def restart_required(vm: VM) -> bool:
    """Whether the running guest was booted with another config than the one asked for now. Clears itself."""
    return running_config(vm) != vm.spec.config


ERROR_REASONS = frozenset({"DriverRefused", "ArtifactRefused", "PluginMissing", "PluginFailed", "Exited"})
"""Reasons of `ready=false` that will not pass by waiting: the word is `error` and somebody has to look."""
