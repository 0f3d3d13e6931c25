"""The daemon: the only place that knows everybody.

    run ─▶ data directory locked ─▶ port bound ─▶ drivers chosen ─▶ store opened ─▶ engine + server ─▶ until SIGTERM

In this order because whatever can go wrong at start should go wrong before anything is changed, and with one sentence.
At the end: no new requests, a `bye` on every stream, turns under way finished, the store closed. Guests run on.

A daemon that another one has taken the data directory from ends in the same order, with one sentence and status 1.

    engine   the controllers, wired; the same object runs in the simulation
    storewatch  whether the store may be written, and whether it is still ours
    health   what `/healthz` and `/readyz` say
    parts    which adapters, from the settings
    server   uvicorn with our signals and socket
    facts    what `system/info` says
    standings  what controllers know of an object, for whoever asks why
    documents  where the OpenAPI documents of guests are got from
    consoles what guests say and are typed, in the API's words
    syncs    the sets that the daemon keeps as files say them
    forecast  what would come of an apply, made in a process of its own
    guests   what guests are told, and what their disks may be
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import platform
import random
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from volant.api.app import create_app
from volant.api.deps import Deps
from volant.bus import Bus
from volant.clock import SystemClock, random_uid
from volant.config import Settings
from volant.daemon import health, holder, parts
from volant.daemon.consoles import Consoles
from volant.daemon.documents import Documents
from volant.daemon.engine import Engine
from volant.daemon.facts import build, facts
from volant.daemon.forecast.process import Forecaster
from volant.daemon.guests import check_artifact, check_told, seed_of
from volant.daemon.server import Server, bind, url_of
from volant.daemon.standings import Standings
from volant.daemon.syncs import InProcess, configured
from volant.drivers import Network
from volant.errors import StartupError
from volant.store import DataDirLock, Store, StoreSettings
from volant.telemetry import logger

log = logger("volant.daemon")

DRAIN_S = 0.5
"""How long turns under way may take at the end. What they leave undone, the next start finds."""
HESITATION_S = 10.0
"""What a predecessor that may still live is given to find out that it is deposed: twice as long as it takes at most."""
GC_THRESHOLD = 5_000
"""Young objects before they are looked through: a millisecond or two. Fewer is more often, more is a pause."""


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit status.

    Raises StartupError when it cannot start, Fenced once it has ended because another daemon took over.
    """
    _prepare(settings.data_dir)
    _allow_descriptors()
    lock = DataDirLock.acquire(settings.data_dir)
    try:
        sock = bind(*settings.address)
        try:
            return asyncio.run(_serve(settings, sock))
        finally:
            sock.close()
    finally:
        lock.release()


def _prepare(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "cache").mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise StartupError(f"cannot use {data_dir} as data directory: {exc.strerror}. Use --data-dir.") from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise StartupError(f"cannot use {data_dir} as data directory: it is not writable. Use --data-dir.")


def _allow_descriptors() -> None:
    """Take what the host allows: each guest and each stream costs descriptors, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings, sock: socket.socket) -> int:
    syncs = configured(settings.sync, settings.data_dir, os.environ)  # noqa: TID251  git needs HOME and PATH
    clock, rng = SystemClock(), random.Random()  # noqa: S311  spreads retries; no secret hangs on it
    bus = Bus()
    port = sock.getsockname()[1]
    hypervisor, network, disks, prober, pages, consoles = await parts.drivers(settings, clock, rng, api_port=port)
    cache = parts.cache(settings, clock)
    await cache.sweep()
    store = _open_store(settings, bus, clock, network)
    to_ourselves = InProcess()
    engine = Engine(
        store=store,
        bus=bus,
        hypervisor=hypervisor,
        network=network,
        disks=disks,
        prober=prober,
        seed=seed_of,
        check_artifact=check_artifact,
        cache=cache,
        clock=clock,
        rng=rng,
        node=platform.node(),
        hesitation_s=_hesitation_s(store),
        alarm_mb=settings.database_alarm_mb,
        syncs=syncs,
        send=to_ourselves.send,
    )
    stopping = asyncio.Event()
    made = build()
    app = create_app(
        Deps(
            store=store,
            bus=bus,
            clock=clock,
            stopping=stopping,
            info=lambda: facts(hypervisor.info, network, made),
            health=lambda: health.report(engine, is_stopping=stopping.is_set()),
            last_check=engine.last_check,
            attempts=engine.attempts,
            sync_now=engine.sync_now,
            document=Documents(pages, cache.path).of,
            consoles=Consoles(consoles),
            forecast=Forecaster(store.path, clock=clock, mode=network.mode, pools=network.pools).of,
            facts=Standings(engine, store, clock, cache.progress).of,
            network_mode=network.mode,
            check_network=network.check,
            check_told=check_told,
            lacks_kvm=settings.require_kvm and hypervisor.info.accelerator == "tcg",
            api_port=port,
            allowed_hosts=settings.allowed_host,
        )
    )
    to_ourselves.reach(app)
    server = Server(app, stopping)
    try:
        await _run_until_signalled(engine, server, sock, settings.data_dir / "api.url")
    finally:
        await to_ourselves.close()
        await hypervisor.close()
        await network.close()
        await store.close()
    if store.fenced is not None:
        raise store.fenced
    log.info("daemon.stopped")
    return 0


def _hesitation_s(store: Store) -> float:
    before = store.predecessor
    if before is None or not holder.may_live(before):
        return 0.0
    log.warning("daemon.takes_over", predecessor=str(before), acts_in_s=HESITATION_S)
    return HESITATION_S


def _open_store(settings: Settings, bus: Bus, clock: SystemClock, network: Network) -> Store:
    kept = StoreSettings(event_keep=settings.event_keep, event_keep_s=settings.event_keep_days * 86400)
    path = settings.data_dir / "volant.db"
    return Store.open(
        path,
        bus=bus,
        clock=clock,
        uids=random_uid,
        pool=network.pools,
        mode=network.mode,
        settings=kept,
        holder=holder.myself(),
    )


async def _run_until_signalled(engine: Engine, server: Server, sock: socket.socket, url_file: Path) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    # What is there now stays for good: collecting it again and again would only stop the loop.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    with _announced(url_file, url_of(sock)):
        async with asyncio.TaskGroup() as tasks:
            controllers = tasks.create_task(engine.run(), name="engine")
            deposition = tasks.create_task(_stop_when_deposed(engine.store, server), name="deposition")
            try:
                await server.serve(sockets=[sock])
                await engine.drain(DRAIN_S)
            finally:
                controllers.cancel()
                deposition.cancel()


async def _stop_when_deposed(store: Store, server: Server) -> None:
    await store.deposed.wait()
    server.stop()


@contextlib.contextmanager
def _announced(file: Path, url: str) -> Iterator[None]:
    """Keep the API's address in `file` while it can be reached there."""
    file.write_text(url + "\n", encoding="utf-8")
    log.info("daemon.started", url=url)
    try:
        yield
    finally:
        # A successor may have written its own meanwhile.
        with contextlib.suppress(OSError):
            if file.read_text(encoding="utf-8").strip() == url:
                file.unlink()
