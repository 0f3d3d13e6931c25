"""`apply`: a set of 1,000 objects in one request, the first time and when nothing has changed.

    first      POST /apply of 900 VMs and 100 deployments that are not there: one transaction
    second     the same again: read, compared, nothing written
    dry run    what it would do with 1,000 other objects
    lone       the same number of VMs, a POST each, one after the other; and from 64 connections, group commits
    SQLite     as many object rows and event rows in one transaction: what no store can beat

API and store without controllers (`bench.admission`), so that nothing but the request is measured. Every round has a
new database.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.commits import together
from bench.figures import Spread, ratios
from bench.host import usage
from bench.load import closed
from bench.report import NotMeasured
from bench.rounds import CONNECTIONS
from bench.run import Run
from bench.servers import PLUGIN, Server, admission, temporary
from bench.wire import API, request

Seconds = defaultdict[str, list[float]]
"""What was measured -> one figure a round."""

OBJECTS, DEPLOYMENTS = 1_000, 100
GOAL_SECOND = 0.5
GOAL_LONE = 1.0


def measure(run: Run) -> None:
    """Print it."""
    took, cpu = Seconds(list), Seconds(list)
    with temporary() as directory:
        for _ in range(run.pick(5, 2)):
            _round(directory, took, cpu)
    out = run.out
    for name, seconds in took.items():
        used = (
            f", of the server's processor {Spread.of(one * 1e3 for one in cpu[name]).text('ms')}" if cpu[name] else ""
        )
        out.row(name, Spread.of(one * 1e3 for one in seconds).text("ms") + used)
    first, second = took["apply, first time"], took["apply, second time"]
    by_cpu = ratios(cpu["apply, second time"], cpu["apply, first time"])
    out.goal("second time / first time, by processor", by_cpu, GOAL_SECOND, "<=")
    out.row("second time / first time", ratios(second, first).text("x"))
    out.goal(
        "first time / lone POSTs, one connection", ratios(first, took["lone POSTs, one connection"]), GOAL_LONE, "<="
    )
    out.row("first time / lone POSTs, 64 connections", ratios(first, took["lone POSTs, 64 connections"]).text("x"))
    out.row("first time / one SQLite transaction", ratios(first, took["one SQLite transaction"]).text("x"))
    out.row("second time / one SQLite transaction", ratios(second, took["one SQLite transaction"]).text("x"))


def _round(directory: Path, took: Seconds, cpu: Seconds) -> None:
    steps: dict[str, Callable[[Server], float]] = {
        "apply, first time": lambda server: _apply(server, "a", "create"),
        "apply, second time": lambda server: _apply(server, "a", "unchanged"),
        "apply, dry run of others": lambda server: _apply(server, "b", "create", "?dry_run=true"),
        "lone POSTs, one connection": lambda server: _lone(server, "one", 1),
        "lone POSTs, 64 connections": lambda server: _lone(server, "many", CONNECTIONS),
    }
    with admission() as server:
        for name, step in steps.items():
            before = usage(server.pid).cpu_s
            took[name].append(step(server))
            cpu[name].append(usage(server.pid).cpu_s - before)
    took["one SQLite transaction"].append(together(directory, OBJECTS))


def _manifests(prefix: str) -> list[dict[str, Any]]:
    vms = [
        {
            "kind": "VM",
            "metadata": {"name": f"{prefix}-vm-{n}", "labels": {"app": prefix}},
            "spec": {"plugin": PLUGIN, "config": {"resources": {"vcpu": 1, "memory_mb": 128}, "env": {"N": str(n)}}},
        }
        for n in range(OBJECTS - DEPLOYMENTS)
    ]
    return vms + [
        {"kind": "Deployment", "metadata": {"name": f"{prefix}-d-{n}"}, "spec": {"plugin": PLUGIN, "replicas": 3}}
        for n in range(DEPLOYMENTS)
    ]


def _apply(server: Server, prefix: str, expected: str, query: str = "") -> float:
    body = json.dumps({"set": prefix, "objects": _manifests(prefix)})
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    began = time.perf_counter()
    try:
        connection.request("POST", f"{API}/apply{query}", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    took = time.perf_counter() - began
    if answer.status != 200:
        raise NotMeasured(f"POST /apply: {answer.status} {text.decode(errors='replace')[:300]}")
    if json.loads(text)["summary"][expected] != OBJECTS:
        raise NotMeasured(f"expected {OBJECTS} x {expected}, got {json.loads(text)['summary']}")
    return took


def _lone(server: Server, prefix: str, connections: int) -> float:
    bodies = [{"name": f"{prefix}-{n}", "plugin": PLUGIN, "labels": {"app": prefix}} for n in range(OBJECTS)]
    requests = [request(server.address, "POST", "/vms", body) for body in bodies]
    load = closed(server.address, iter(requests), connections=connections, seconds=60).check(201)
    if load.count != OBJECTS:
        raise NotMeasured(f"{load.count} of {OBJECTS} VMs were made")
    return load.seconds
