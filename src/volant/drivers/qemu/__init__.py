"""MicroVMs by QEMU: one unprivileged process a guest, found again on the host after any crash of ours.

    Boot ─command─▶ argv ─process─▶ QEMU ──┬─ pidfd: it has ended
      └──rundir──▶ boot.json, instance.json └─ qmp: it is up, it was shut down, it panicked
                                       both ─▶ exits ─▶ exit.json

The room promises what the port `Hypervisor` asks, and this besides:

* No QEMU is started with the daemon's rights. Root becomes an ordinary user without capabilities before the program
  is loaded, one of its own for each VM; everybody's QEMU runs in a seccomp sandbox and can gain nothing.
* What a QEMU may take is bounded by limits of its process and, where the host has them, of its control group.
* QEMU opens nothing of ours by name. Its kernel, sockets and logs are opened by the driver and handed over as
  descriptors, so the run directory belongs to the daemon alone and a hostile QEMU cannot plant anything in it.
* No text of a user is ever parsed by QEMU as an option.

`driver` is what the daemon takes; `host` and `accelerator` say at its start whether this host can do it. There is
deliberately no reading of desired state, no retry and no timer here: controllers decide when to look again.
"""

from volant.drivers.qemu.accelerator import Choice, choose
from volant.drivers.qemu.cgroup import find as find_cgroups
from volant.drivers.qemu.confinement import Policy
from volant.drivers.qemu.consoles import QemuConsoles
from volant.drivers.qemu.driver import QemuHypervisor
from volant.drivers.qemu.host import Host, check_host

__all__ = ["Choice", "Host", "Policy", "QemuConsoles", "QemuHypervisor", "check_host", "choose", "find_cgroups"]
