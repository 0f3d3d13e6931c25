"""The API and the store without controllers: what one durable `POST /vms` costs by itself.

    python -m bench.admission FILE    serves on a free port of 127.0.0.1 and writes the URL into FILE when it listens

The same route table, store and server configuration as the daemon's. Nobody acts on what is written, so nothing but the
request competes for the core: this is the figure to set beside other stores, the daemon's is the one that users get.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

from volant.api.app import create_app
from volant.api.deps import Deps, HealthReport
from volant.bus import Bus
from volant.clock import SystemClock, random_uid
from volant.daemon.facts import Build, facts
from volant.daemon.server import Server, bind, url_of
from volant.drivers.simulated import SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.model.event import Happening
from volant.model.meta import Meta
from volant.model.plugin import KernelSource, Manifest, Plugin, PluginSpec, Source
from volant.store import Store


async def main(file: Path) -> None:
    """Serve until SIGTERM."""
    clock, bus, stopping = SystemClock(), Bus(), asyncio.Event()
    host = SimulatedHost(clock, random.Random(1))
    hypervisor, network = SimulatedHypervisor(host, clock), SimulatedNetwork(host, clock)
    path = file.with_suffix(".db")
    store = Store.open(path, bus=bus, clock=clock, uids=random_uid, pool=network.pools)
    manifest = Manifest(
        name="bench", version="1", kernel=KernelSource(url="file:///kernel"), initramfs=Source(url="file:///initramfs")
    )
    meta = Meta(name="bench", uid=random_uid(), kind="Plugin", created_at=clock.now())
    await store.create(Plugin(meta=meta, spec=PluginSpec(manifest=manifest)), Happening(type="plugin.installed"))
    deps = Deps(
        store=store,
        bus=bus,
        clock=clock,
        stopping=stopping,
        info=lambda: facts(hypervisor.info, network, Build()),
        health=lambda: HealthReport(is_live=True, is_ready=True),
    )
    server = Server(create_app(deps), stopping)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    sock = bind("127.0.0.1", 0)
    file.write_text(url_of(sock))
    await server.serve(sockets=[sock])
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
