"""The ports: what Volant asks of a host, and the values that pass through.

    controllers ──launch, request_stop, kill, forget──▶ Hypervisor ──▶ processes
        ▲                                                   │
        └───────────── watch: "look at uid X" ◀─────────────┘

Every method is idempotent and safe to repeat after a crash at any point. Nothing is remembered: instances are found
again by uid on the host, so a driver made a moment ago by a restarted daemon answers as its predecessor did. A
driver never touches a process, address or file that does not carry our mark.

Adapters live beside this file, one folder or file each, and are chosen by `daemon` only. They raise `DriverUnavailable`
(worth another try) or `DriverRefused` (not until spec or host change), never the errors of the libraries they stand on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.model.health import ProbeOutcome
from volant.model.vm import Booted, Egress, Exit, NetworkConfig, NetworkMode

AS_IT_IS = NetworkConfig()
"""What somebody asks for who asks for nothing."""
BEAT_S = 10.0
"""How often a watch gives a sign of life at least."""

InstanceState = Literal["starting", "running", "unknown", "exited"]
Accelerator = Literal["kvm", "tcg", "simulated"]
Isolation = Literal["hardware", "none"]


class Forward(Struct, frozen=True, kw_only=True):
    """One TCP port of the guest, published on the host."""

    host_address: str
    host_port: int
    guest_port: int


class Attachment(Struct, frozen=True, kw_only=True):
    """How one VM is on the network: pure data, computed from the VM's address by `Network.attachment`.

    `address` is what users see as the VM's `ip`. `guest_address` (CIDR) and `gateway` are what the guest configures;
    with mode dhcp both are None and the guest asks for them. `forwards` are the ways to the guest's ports: those at
    `address` itself come first; on a bridge these need nothing to be made for them.

    `bridge` is what the VM's `tap` is a port of (modes bridge and dhcp). `egress` is what may leave through it.
    """

    mode: NetworkMode
    address: str | None = None
    guest_address: str | None = None
    gateway: str | None = None
    guest_address6: str | None = None
    gateway6: str | None = None
    dns: tuple[str, ...] = ()
    mac: str | None = None
    mtu: int | None = None
    bridge: str | None = None
    tap: str | None = None
    egress: Egress = "deny"
    forwards: tuple[Forward, ...] = ()


class DiskSpec(Struct, frozen=True, kw_only=True):
    """A disk that a VM is to have. `base` is the image that it begins as (a file of the cache), None for an empty one.

    `size_mb` None: as large as `base`. `base_digest` names the content of `base`: a disk keeps the base it was made of.
    """

    name: str
    size_mb: int | None = None
    base: Path | None = None
    base_format: Literal["raw", "qcow2"] | None = None
    base_digest: str | None = None


class DiskFile(Struct, frozen=True, kw_only=True):
    """A disk that is there: `path` is a qcow2 file of the VM's own, over `base` (read-only) where it has one."""

    name: str
    path: Path
    base: Path | None = None
    base_format: Literal["raw", "qcow2"] | None = None


class VMFiles(Struct, frozen=True, kw_only=True):
    """What `Disks.ensure` found or made, in the order it was asked for."""

    disks: tuple[DiskFile, ...] = ()
    seed: Path | None = None


class Boot(Struct, frozen=True, kw_only=True):
    """Everything needed to start one guest; written beside the process so that it can be found again.

    `cmdline` is the plugin's kernel command line; the driver adds console, addresses and name. `booted` is what the
    status will report as the running config. `kernel` and `initramfs` are files of the artifact cache, read-only for
    the VMM; without a kernel the disk named `root` boots itself. `seed` is a small read-only disk for cloud-init.
    """

    uid: Uid
    name: str
    booted: Booted
    attachment: Attachment
    kernel: Path | None = None
    initramfs: Path | None = None
    disks: tuple[DiskFile, ...] = ()
    seed: Path | None = None
    cmdline: str = ""


class Instance(Struct, frozen=True, kw_only=True):
    """A guest as found on the host.

    starting   the VMM process is there, its guest does not run yet
    running    the guest runs
    unknown    the VMM process is there but does not answer: may be running, cannot tell yet (P12)
    exited     the process is gone; `exit` says how, where that is known; `forget` removes what it left

    `booted` is None when the record beside the process is lost.
    """

    uid: Uid
    state: InstanceState
    pid: int | None = None
    started_at: Instant | None = None
    booted: Booted | None = None
    exit: Exit | None = None


class HypervisorInfo(Struct, frozen=True, kw_only=True):
    """What starts guests here. TCG is no isolation boundary, so `isolation` is `none` with it.

    `confinement` says, for people, what else keeps a VMM in its place: which user it is, which control group holds.
    """

    name: Literal["qemu", "simulated"]
    accelerator: Accelerator
    isolation: Isolation
    version: str
    detail: str = ""
    confinement: dict[str, str] = {}


class Hypervisor(Protocol):
    """The port to whatever runs guests."""

    @property
    def info(self) -> HypervisorInfo:
        """What this is."""
        ...

    async def launch(self, uid: Uid, boot: Boot) -> None:
        """Start the guest unless a live instance of `uid` exists. Returns when the VMM is up or known to have failed.

        Raises DriverRefused or DriverUnavailable with nothing left running; an instance that died at once is `exited`.
        """
        ...

    async def observe(self) -> list[Instance]:
        """Every instance with our mark, from one look at the host. Changes nothing."""
        ...

    async def inspect(self, uid: Uid) -> Instance | None:
        """One instance, from a fresh look at the host, or None when neither process nor record exists."""
        ...

    async def request_stop(self, uid: Uid) -> None:
        """Ask the guest to shut down by itself. Returns at once; asking again or asking a dead one is harmless."""
        ...

    async def kill(self, uid: Uid) -> None:
        """End the VMM now, and return when it is gone. Harmless when it is gone already."""
        ...

    async def forget(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """Remove every file an ended instance left. Refuses (DriverUnavailable) while its process lives.

        `keeps_console`: but for the end of what it said on its console, which goes when it is forgotten without that.
        """
        ...

    async def reattach(self, uid: Uid, attachment: Attachment) -> None:
        """Give a running guest the new tap that stands where its own was deleted. The guest is not disturbed.

        Harmless when it has its tap, has none or does not run. DriverUnavailable when it cannot be given one now.
        """
        ...

    def watch(self) -> AsyncIterator[Uid | None]:
        """Uids worth a look, as they come up: an exit is reported within milliseconds. Hints, never facts.

        None says that there was nothing to see and that it would have been seen: at the latest BEAT_S after whatever
        was said before. A watch that says nothing for longer is broken, and whoever listens begins another.
        """
        ...

    async def close(self) -> None:
        """Let go of descriptors and connections. Guests run on."""
        ...


class Transcript(Protocol):
    """What a guest has said on its serial console, read once from a place in it to its end."""

    async def read(self) -> bytes:
        """What comes next, 64 KiB at most; empty: nothing, for now or, unless it is followed, for good.

        Text that is gone by the time it would be read is replaced by one line that says so. Raises DriverUnavailable.
        """
        ...

    def close(self) -> None:
        """Let go of its files. Harmless when repeated."""
        ...


class Line(Protocol):
    """A serial console that somebody is attached to."""

    async def read(self) -> bytes:
        """What the guest says next; empty when its VMM is gone. Who does not read holds the guest up."""
        ...

    async def write(self, data: bytes) -> None:
        """Type it. Returns when the VMM has it, which takes as long as the guest does not read. DriverUnavailable."""
        ...

    def close(self) -> None:
        """Let go. No read or write may be under way."""
        ...


class Consoles(Protocol):
    """The port to the serial consoles of guests. Needs nothing but what lies beside a guest's process."""

    async def log(
        self, uid: Uid, *, tail: int | None = None, follows: bool = False, previous: bool = False
    ) -> Transcript | None:
        """What the guest of `uid` says, or the last one said; None when there is nothing. Raises DriverUnavailable.

        `tail`: only its last so many lines. `follows`: what it says from now on as well, and then what the next guest
        of `uid` says. `previous`: instead of the guest that has a process, the one before it.
        """
        ...

    async def attach(self, uid: Uid) -> Line:
        """Be on the console of the guest that runs; one at a time. DriverUnavailable when none runs."""
        ...


class Network(Protocol):
    """The port to whatever connects guests."""

    @property
    def mode(self) -> NetworkMode:
        """What a VM gets that does not ask for a mode."""
        ...

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """The modes that VMs may have besides `none`, each with the IPv4 network (CIDR) of its addresses.

        An empty network: addresses of that mode are not ours to hand out (dhcp).
        """
        ...

    @property
    def is_watched(self) -> bool:
        """Whether what `ensure` makes can be taken away under a running guest, and somebody has to look after it."""
        ...

    def check(self, asked: NetworkConfig) -> None:
        """Raise Misfit, with the path below `/network`, for what no VM can be given here. Pure."""
        ...

    def attachment(
        self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig = AS_IT_IS
    ) -> Attachment:
        """How a VM with that address, exposing those guest ports, is attached. Pure. DriverRefused where it cannot."""
        ...

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Make it so, or raise. DriverUnavailable names what is in the way (a port that is taken, say)."""
        ...

    async def is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        """Whether all that `ensure` makes is there, from one look at the host. Changes nothing."""
        ...

    async def ensure_absent(self, uid: Uid) -> None:
        """Remove whatever was made for `uid`. Harmless when nothing was."""
        ...

    async def observe(self) -> list[Uid]:
        """The uids that something on the host is made for."""
        ...

    def watch(self) -> AsyncIterator[Uid | None]:
        """Uids whose attachment was changed by somebody else; None as a sign of life, as of `Hypervisor.watch`."""
        ...

    async def close(self) -> None:
        """Let go of descriptors. What was made stays."""
        ...


class Disks(Protocol):
    """The port to whatever keeps the disks of VMs: files that outlive guests and daemons and go with the VM."""

    async def ensure(self, uid: Uid, wanted: tuple[DiskSpec, ...], seed: bytes | None) -> VMFiles:
        """Have each disk, and a fresh seed of exactly those bytes. What exists keeps its content and only ever grows.

        A disk that is not wanted any more stays until the VM goes. DriverRefused for one that would have to shrink or
        that was made of another base, DriverUnavailable when the host cannot now (a full disk, say).
        """
        ...

    async def has(self, uid: Uid) -> bool:
        """Whether any file is kept for `uid`: a seed that nobody wants any more, say."""
        ...

    async def ensure_absent(self, uid: Uid) -> None:
        """Remove every file of `uid`. Harmless when there is none."""
        ...

    async def observe(self) -> list[Uid]:
        """The uids that files are kept for."""
        ...


class Prober(Protocol):
    """The port to whatever asks guests how they are.

    It goes to the address and port it is given and nowhere else, follows nothing, and reads no more than it needs. An
    answer that means no, or none within `timeout_s`, is a failure; unknown is what could not be asked from here. Never
    raises.
    """

    async def http(self, address: str, port: int, path: str, timeout_s: float) -> ProbeOutcome:
        """GET `path` (absolute, visible ASCII): a success when the answer is 2xx or 3xx."""
        ...

    async def tcp(self, address: str, port: int, timeout_s: float) -> ProbeOutcome:
        """Connect: a success when somebody takes the call and does not hang up at once."""
        ...


class Pages(Protocol):
    """The port to whatever fetches what guests serve.

    It goes to the address and port it is given and nowhere else, and follows nothing.
    """

    async def page(self, address: str, port: int, path: str, *, max_bytes: int, timeout_s: float) -> bytes:
        """The body of a plain 200 to GET `path` (absolute, visible ASCII), of at most `max_bytes`, in `timeout_s`.

        Raises DriverUnavailable, with what the guest did instead, or DriverRefused for an address or path that is none.
        """
        ...
