"""A host in memory: guests that boot, fail, hang, lie and die when told to, from a seed.

    SimulatedHost        the world: guests, records, networks. Outlives drivers, as a real host outlives a daemon
    SimulatedHypervisor  a driver to it; keeps nothing but the hints nobody has taken yet
    SimulatedNetwork     the same for the network
    SimulatedProber      the same for probes
    SimulatedPages       the same for what guests serve
    SimulatedConsoles    the same for what guests say
    Behaviour, Faults    what one guest does; how often guests do what

It is a product, not a test double: `volant serve --hypervisor simulated`, the examples, the simulations and the scale
benchmarks run on it. It says so in its `info`, and its pids are numbers of its own.

Promises: every method keeps the promises of its port, apart from the faults that were asked for; the same seed and
the same calls give the same world; there is no task and no thread, so a guest costs a record and at most a timer.

Deliberately absent: anything real. No process, file or socket is touched.
"""

from volant.drivers.simulated.behaviour import Answers, Behaviour, Faults
from volant.drivers.simulated.consoles import SimulatedConsoles
from volant.drivers.simulated.disks import SimulatedDisks
from volant.drivers.simulated.host import FIRST_PID, Script, SimulatedHost
from volant.drivers.simulated.hypervisor import SimulatedHypervisor
from volant.drivers.simulated.network import SimulatedNetwork
from volant.drivers.simulated.pages import SimulatedPages
from volant.drivers.simulated.prober import SimulatedProber

__all__ = [
    "FIRST_PID",
    "Answers",
    "Behaviour",
    "Faults",
    "Script",
    "SimulatedConsoles",
    "SimulatedDisks",
    "SimulatedHost",
    "SimulatedHypervisor",
    "SimulatedNetwork",
    "SimulatedPages",
    "SimulatedProber",
]
