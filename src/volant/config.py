"""Settings of the daemon: flag beats environment variable beats TOML file beats default.

One definition drives all four: a setting is a field of `Settings`; its variable is `VOLANT_` and the name in capitals,
its flag the name with dashes, its TOML key the name itself. Lists are written with commas in a variable, as arrays in
TOML, and by repeating the flag. A sync is a table in TOML, and a text of `name=value` words elsewhere. Every mistake is
one sentence that names where the value came from.

Deliberately absent: reading `os.environ` or the command line. Both are handed in, so a test sets what it likes.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from volant.errors import StartupError

LAST_UID = (1 << 32) - 2

VMM_UIDS = "2100000000-2100065535"
"""Where nobody else gives out uids: above those of containers (systemd: to 1879048191), subordinate uids (shadow: to
600100000) and directories (SSSD, FreeIPA: to 2000200000), below what systemd keeps for images (from 2147352576)."""


class SyncSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set that the daemon keeps as files say it: `[[sync]]` in the file.

    set             the set, which the sync is called after
    dir, git        a directory of this host, or a repository: https, ssh, or a path here; one of the two
    branch, path    of the repository, unless it is its own; below the root
    interval        between two attempts, such as 30s; after failures up to ten times as long
    prune, force, confirm_delete, atomic, deadline   as the options of `volant sync`
    """

    set: str
    dir: str = ""
    git: str = ""
    branch: str | None = None
    path: str = ""
    interval: str = "30s"
    prune: bool = False
    force: bool = False
    confirm_delete: Annotated[int, Meta(ge=0)] | None = None
    atomic: bool = False
    deadline: str = "10m"

    @property
    def deadline_s(self) -> float | None:
        """Seconds that a commit has to become healthy; None: it is not taken back."""
        return _seconds(self.deadline) if self.atomic else None

    @property
    def interval_s(self) -> float:
        """Seconds between two attempts."""
        return _seconds(self.interval) or 0.0


class Settings(Struct, frozen=True, kw_only=True):
    """What `volant serve` runs with.

    listen            address and port of the API, `127.0.0.1:8080`; port 0 takes a free one
    data_dir          the database, the artifact cache and the run directories
    artifact_allow    hosts, addresses or CIDR networks that artifacts may be fetched from although they are loopback,
                      link-local or private
    artifact_root     directories below which `file:` artifacts may be read
    artifact_checksums whether a manifest has to say the digest of what comes over a network
    network           the network mode of a VM that asks for none; `bridge` makes the modes bridge and dhcp possible
    pool              IPv4 network that the addresses of the user network are of; empty: what the driver suggests
    bridge_name       the bridge that we make, and `bridge_pool` the IPv4 network on it, ours being its first address
    bridge_pool6      IPv6 network on it, a /64 to /112; empty: IPv4 only
    bridge_dns        IPv4 addresses of resolvers that guests on it are told of, and may ask
    bridge_allow      bridges of others that VMs may be attached to, with the mode dhcp
    bridge_mtu        bytes, of that bridge and its taps, which guests are told of; 0: what the kernel takes
    vmm_uids          `FIRST-LAST`, the uids (and gids) that QEMU runs as when the daemon is root: one of its own a VM
    vmm_uid           one uid that all of them share instead; weaker, because what is one's may be read by another
    cgroup_parent     where control groups of VMs are made, below the root of the cgroup v2 hierarchy; empty: `volant`
    require_kvm       refuse to start a VM where it would be emulated, which isolates nothing
    start_limit       guests that may be starting at one time; 0: the number of cores
    event_keep        how many events are kept at most, and `event_keep_days` for how long
    sync              sets that the daemon itself keeps as a directory or a repository says them
    database_alarm_mb how large, in MiB, the database may become before the log and `/readyz` say so
    """

    listen: str = "127.0.0.1:8080"
    data_dir: Path = Path("/var/lib/volant")
    hypervisor: Literal["qemu", "simulated"] = "qemu"
    network: Literal["user", "bridge"] = "user"
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    artifact_allow: tuple[str, ...] = ()
    artifact_root: tuple[Path, ...] = ()
    artifact_max_mb: Annotated[int, Meta(ge=1)] = 16_384
    artifact_checksums: Literal["required", "optional"] = "required"
    allowed_host: tuple[str, ...] = ()
    qemu: str = "qemu-system-x86_64"
    pool: str = ""
    bridge_name: str = "volbr0"
    bridge_pool: str = "10.127.0.0/22"
    bridge_pool6: str = ""
    bridge_dns: tuple[str, ...] = ()
    bridge_allow: tuple[str, ...] = ()
    bridge_mtu: Annotated[int, Meta(ge=0)] = 0
    vmm_uids: str = VMM_UIDS
    vmm_uid: Annotated[int, Meta(ge=1, le=LAST_UID)] | None = None
    cgroup_parent: str = ""
    require_kvm: bool = False
    start_limit: Annotated[int, Meta(ge=0)] = 0
    event_keep: Annotated[int, Meta(ge=1)] = 200_000
    event_keep_days: Annotated[float, Meta(gt=0, lt=36_500)] = 7.0
    database_alarm_mb: Annotated[int, Meta(ge=1)] = 4096
    sync: tuple[SyncSettings, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def uids(self) -> range:
        """The users that VMMs run as when the daemon is root: a range of one is shared by all."""
        if self.vmm_uid is not None:
            return range(self.vmm_uid, self.vmm_uid + 1)
        first, _, last = self.vmm_uids.partition("-")
        return range(int(first), int(last) + 1)


_HOST = re.compile(r"(?=.*[a-zA-Z])[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")

_BRIDGE = re.compile(r"[a-z0-9][a-z0-9-]{0,14}")
_MIN_MTU, _MAX_MTU = 1280, 65521
"""What IPv6 needs; what a tap can have, whose frames of 65535 bytes have a header."""

_UIDS = re.compile(r"([0-9]{1,10})-([0-9]{1,10})")
_GROUP = re.compile(r"(?![.]{1,2}(?:/|$))[\w.@:-]+(?:/(?![.]{1,2}(?:/|$))[\w.@:-]+)*", re.ASCII)

_SET = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

LISTS = frozenset({"artifact_allow", "artifact_root", "allowed_host", "bridge_allow", "bridge_dns", "sync"})


def default_data_dir(uid: int, environ: Mapping[str, str]) -> Path:
    """`/var/lib/volant` for root, `$XDG_STATE_HOME/volant` for everybody else."""
    if uid == 0:
        return Path("/var/lib/volant")
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "state")
    return Path(state) / "volant"


def load(flags: Mapping[str, Any], environ: Mapping[str, str], *, uid: int) -> Settings:
    """The settings in force. Raises StartupError with one sentence for the first mistake."""
    merged: dict[str, Any] = {"data_dir": default_data_dir(uid, environ)}
    origin: dict[str, str] = {}
    config_file = flags.get("config") or environ.get("VOLANT_CONFIG")
    if config_file:
        _merge(merged, origin, _read_toml(Path(config_file)), str(config_file))
    _merge(merged, origin, _read_environ(environ), "the environment")
    _merge(
        merged, origin, {k: v for k, v in flags.items() if k != "config" and v not in (None, ())}, "the command line"
    )
    settings = _convert(merged, origin)
    _check_listen(settings.listen)
    _check_pool(settings.pool)
    _check_bridge(settings)
    _check_artifacts(settings)
    _check_confinement(settings)
    _check_syncs(settings.sync)
    return settings


def variable(name: str) -> str:
    """`data_dir` -> `VOLANT_DATA_DIR`."""
    return "VOLANT_" + name.upper()


def _merge(into: dict[str, Any], origin: dict[str, str], values: Mapping[str, Any], source: str) -> None:
    into.update(values)
    origin.update(dict.fromkeys(values, source))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise StartupError(f"cannot read the configuration file {path}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise StartupError(f"cannot read the configuration file {path}: {exc}") from None
    known = {field.name for field in msgspec.structs.fields(Settings)}
    for name in values:
        if name not in known:
            raise StartupError(f"cannot use {path}: unknown setting '{name}'. Known: {', '.join(sorted(known))}")
    return values


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = environ.get(variable(field.name))
        if text:
            values[field.name] = [p.strip() for p in text.split(",") if p.strip()] if field.name in LISTS else text
    return values


def _convert(merged: Mapping[str, Any], origin: Mapping[str, str]) -> Settings:
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in merged.items()}
    plain["artifact_root"] = [str(p) for p in plain.get("artifact_root", ())]
    plain["artifact_allow"] = list(plain.get("artifact_allow", ()))
    plain["allowed_host"] = list(plain.get("allowed_host", ()))
    plain["bridge_allow"] = list(plain.get("bridge_allow", ()))
    plain["bridge_dns"] = list(plain.get("bridge_dns", ()))
    plain["sync"] = [_sync(said, origin.get("sync", "the defaults")) for said in plain.get("sync", ())]
    try:
        return msgspec.convert(plain, Settings, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as exc:
        name = str(exc).rpartition("$.")[2].strip("`")
        setting = name.partition("[")[0]
        source = origin.get(setting, "the defaults")
        raise StartupError(f"cannot use the value of '{setting}' from {source}: {_expected(setting, exc)}") from None


def _sync(said: Any, source: str) -> Any:
    """A table as it is; a text, `set=infra git=https://... prune`, as the table that it is."""
    if not isinstance(said, str):
        return said
    try:
        words = shlex.split(said)
    except ValueError as exc:
        raise StartupError(f"cannot use the value of 'sync' from {source}: {exc}") from None
    found = {}
    for word in words:
        name, is_said, value = word.partition("=")
        found[name] = value if is_said else "true"
    return found


def _expected(setting: str, error: msgspec.ValidationError) -> str:
    """What would do, in words."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    choices = [choice for choice in get_args(kinds.get(setting)) if isinstance(choice, str)]
    return f"expected {' or '.join(choices)}" if choices else str(error).partition(" - at `")[0].replace("`", "")


def _decode_path(cls: type, value: Any) -> Any:
    if cls is Path and isinstance(value, str):
        if not value:
            raise ValueError("expected a directory, got nothing")
        return Path(value).expanduser().absolute()
    raise NotImplementedError


def _check_listen(listen: str) -> None:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise StartupError(f"cannot listen on '{listen}': expected ADDRESS:PORT, such as 127.0.0.1:8080")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise StartupError(f"cannot listen on '{listen}': '{host}' is not an IP address") from None
    if not address.is_loopback:
        # The API has no authentication of its own: whoever reaches it owns the host's guests (security checklist G1).
        raise StartupError(
            f"cannot listen on '{listen}': the API has no authentication, so it is offered on loopback only. "
            "Put a reverse proxy that authenticates in front of 127.0.0.1."
        )


def _check_pool(pool: str) -> None:
    if not pool:
        return
    try:
        network = ipaddress.IPv4Network(pool)
    except ValueError as exc:
        raise StartupError(f"cannot use the address pool '{pool}': {exc}") from None
    if not network.is_loopback:
        # The user network binds guests' ports on these addresses: elsewhere that would publish them to the world.
        raise StartupError(f"cannot use the address pool '{pool}': expected a network within 127.0.0.0/8")


def _check_bridge(settings: Settings) -> None:
    for name in (settings.bridge_name, *settings.bridge_allow):
        if not _BRIDGE.fullmatch(name):
            raise StartupError(f"cannot use '{name}' as a bridge: expected at most 15 of a-z, 0-9 and '-'")
    if settings.bridge_name in settings.bridge_allow:
        raise StartupError(f"cannot allow the bridge '{settings.bridge_name}': it is the one that Volant makes")
    try:
        network = ipaddress.IPv4Network(settings.bridge_pool)
    except ValueError as exc:
        raise StartupError(f"cannot use the bridge pool '{settings.bridge_pool}': {exc}") from None
    if not network.is_private or network.is_loopback or network.is_link_local:
        raise StartupError(f"cannot use the bridge pool '{network}': expected a private network, such as 10.127.0.0/22")
    if settings.bridge_mtu and not _MIN_MTU <= settings.bridge_mtu <= _MAX_MTU:
        raise StartupError(
            f"cannot use {settings.bridge_mtu} as the MTU of the bridge: expected {_MIN_MTU} to {_MAX_MTU}, or 0 for "
            "what the kernel takes"
        )
    for address in settings.bridge_dns:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            raise StartupError(f"cannot use '{address}' as a resolver: expected an IPv4 address") from None
    try:
        prefix6 = ipaddress.IPv6Network(settings.bridge_pool6).prefixlen if settings.bridge_pool6 else 64
    except ValueError as exc:
        raise StartupError(f"cannot use the bridge pool '{settings.bridge_pool6}': {exc}") from None
    if not 64 <= prefix6 <= 112:
        raise StartupError(f"cannot use the bridge pool '{settings.bridge_pool6}': expected a /64 to /112")


def _check_confinement(settings: Settings) -> None:
    found = _UIDS.fullmatch(settings.vmm_uids)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= LAST_UID:
        raise StartupError(f"cannot use the uids '{settings.vmm_uids}': expected FIRST-LAST, such as {VMM_UIDS}")
    if settings.cgroup_parent and not _GROUP.fullmatch(settings.cgroup_parent):
        raise StartupError(
            f"cannot use the control group '{settings.cgroup_parent}': expected a path below the root of the "
            "hierarchy, such as volant or system.slice/volant"
        )


def _check_artifacts(settings: Settings) -> None:
    for entry in settings.artifact_allow:
        if not _HOST.fullmatch(entry) and not _is_network(entry):
            raise StartupError(f"cannot allow artifacts from '{entry}': expected a host, an address or a CIDR network")
    for root in settings.artifact_root:
        if not root.is_dir():
            raise StartupError(f"cannot use {root} as artifact root: there is no such directory")


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S = 86_400.0


def _seconds(text: str) -> float | None:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?", text, re.ASCII)
    return None if found is None else float(found[1]) * _UNITS_S[found[2] or "s"]


def _check_syncs(syncs: tuple[SyncSettings, ...]) -> None:
    seen = set[str]()
    for sync in syncs:
        of = f"cannot sync the set '{sync.set}'"
        if not _SET.fullmatch(sync.set):
            raise StartupError(f"{of}: expected a name of lower-case letters, digits and '-', at most 63")
        if sync.set in seen:
            raise StartupError(f"{of}: it is said twice, and each would undo what the other does")
        if bool(sync.dir) == bool(sync.git):
            raise StartupError(f"{of}: say either dir or git")
        if sync.dir and not Path(sync.dir).is_absolute():
            raise StartupError(f"{of}: '{sync.dir}' is no absolute path")
        if sync.branch is not None and not sync.git:
            raise StartupError(f"{of}: a branch is of a repository: say git")
        interval_s = _seconds(sync.interval)
        if interval_s is None or not 1.0 <= interval_s <= _LONGEST_S:
            raise StartupError(f"{of}: expected an interval of 1s to 24h, such as 30s, got '{sync.interval}'")
        if sync.atomic and not 1.0 <= (_seconds(sync.deadline) or 0.0) <= _LONGEST_S:
            raise StartupError(f"{of}: expected a deadline of 1s to 24h, such as 10m, got '{sync.deadline}'")
        seen.add(sync.set)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
