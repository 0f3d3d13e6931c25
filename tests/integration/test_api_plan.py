"""`POST /plan` and `volant plan`, with the forecast made in a process of its own, as the daemon makes it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import Result
from structlog.testing import capture_logs
from tests.builders.commands import run
from tests.builders.engines import Alive, alive
from tests.builders.forecasts import a_deployment, a_vm_manifest
from tests.builders.server import serving

from volant.daemon.forecast.process import WAITING, Forecaster
from volant.daemon.forecast.question import Bounds
from volant.drivers.simulated import Behaviour
from volant.errors import Unavailable

GUESTS = Behaviour(boot_s=0.05, stop_s=0.05)
NEW = {"env": {"LEVEL": "2"}}


async def installed(daemon: Alive, images: Path) -> None:
    """The plugin hello."""
    images.mkdir(exist_ok=True)
    (images / "disk.raw").write_bytes(b"no guest of the simulation reads this".ljust(512, b"\0"))
    rootfs = {"format": "raw", "url": (images / "disk.raw").as_uri()}
    manifest = {"name": "hello", "version": "1", "workload": {"type": "http", "port": 8080}, "rootfs": rootfs}
    answer = await daemon.served.post("/plugins?wait=ready", **manifest)
    assert answer.status_code == 201, answer.text


def asked(*objects: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body of an apply."""
    return {"set": "infra", "objects": objects, **more}


async def applied(daemon: Alive, *objects: dict[str, Any]) -> None:
    """Done, and ready."""
    assert (await daemon.served.post("/apply", **asked(*objects))).status_code == 200
    for one in objects:
        noun, goal = ("deployments", "available") if one["kind"] == "Deployment" else ("vms", "ready")
        found = await daemon.served.get(f"/{noun}/{one['metadata']['name']}/wait?state={goal}&timeout=30s")
        assert found.status_code == 200, found.text


async def test_a_plan_says_what_would_be_done_and_what_would_come_of_it(tmp_path: Path) -> None:
    """A4: the plan is that of a dry run, its token is good, and nothing was written for it."""
    async with alive(tmp_path, behaviour=GUESTS, root=tmp_path / "images") as daemon:
        await installed(daemon, tmp_path / "images")
        await applied(daemon, a_deployment("api", 3))
        vm = (await daemon.served.get("/vms/api-1")).json()
        assert set(vm["timings"]) == {"waited_s", "launch_s", "boot_s", "ready_s"}
        revision, log = daemon.served.store.revision, list(daemon.host.log)

        body = asked(a_deployment("api", 3, config=NEW, strategy={"max_surge": 1, "max_unavailable": 0}))
        answer = await daemon.served.post("/plan", **body)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        dry = (await daemon.served.post("/apply?dry_run=true", **body)).json()
        assert said["plan"] == dry
        timeline = said["timeline"]
        assert timeline["end"] == "settled"
        assert timeline["lowest"] == [{"deployment": "api", "ready": 3, "at_s": 0.0, "before": 3, "after": 3}]
        assert [(one["plugin"], one["boots"], one["stops"]) for one in timeline["pace"]] == [("hello", 3, 0)]
        replaced = [step["name"] for step in timeline["steps"] if step["what"] == "stopping"]
        assert replaced == ["api-3", "api-2", "api-1"]
        assert (daemon.served.store.revision, list(daemon.host.log)) == (revision, log)

        done = await daemon.served.post("/apply", **{**body, "plan": said["plan"]["token"]})
        assert done.status_code == 200, done.text


async def test_an_apply_that_is_refused_has_no_plan_either(tmp_path: Path) -> None:
    async with alive(tmp_path) as daemon:
        answer = await daemon.served.post("/plan", **asked(a_vm_manifest("db", plugin="nowhere")))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        nothing = await daemon.served.post("/plan", **asked())
        assert nothing.json()["timeline"] == {"end": "settled", "total_s": 0.0, "looked_ahead_s": 0.0, "steps": []}


async def test_too_many_objects_for_a_forecast_are_said_to_be(tmp_path: Path) -> None:
    """By the API as 422; `volant plan` shows the plan all the same."""
    with capture_logs():
        async with alive(tmp_path, root=tmp_path / "images", bounds=Bounds(objects=0)) as daemon:
            await installed(daemon, tmp_path / "images")
            answer = await daemon.served.post("/plan", **asked(a_vm_manifest("db")))
            assert (answer.status_code, answer.json()["code"]) == (422, "forecast_too_large")
            assert answer.json()["details"] == {"objects": 1, "limit": 0}
            (tmp_path / "db.json").write_text(json.dumps(a_vm_manifest("db")))
            done = await volant(daemon, "plan", "--set", "infra", "-f", str(tmp_path / "db.json"))
            assert done.exit_code == 0
            assert done.stdout.splitlines()[0] == "+ vm/db to be created"
            assert done.stderr.startswith("No timeline: cannot forecast: there are 1 objects")
            told = await volant(daemon, "plan", "--set", "infra", "-f", str(tmp_path / "db.json"), "-o", "json")
            assert told.exit_code == 1


async def test_the_command_prints_the_timeline(tmp_path: Path) -> None:
    with capture_logs():
        async with alive(tmp_path, behaviour=GUESTS, root=tmp_path / "images") as daemon:
            await installed(daemon, tmp_path / "images")
            file = tmp_path / "db.json"
            file.write_text(json.dumps(a_vm_manifest("db")))
            printed = (await volant(daemon, "plan", "--set", "infra", "-f", str(file))).stdout.splitlines()
            assert printed[:2] == ["+ vm/db to be created", "    plugin: hello"]
            start = printed.index("What would happen")
            assert printed[start + 1 : start + 6] == [
                "  at 0 s          vm/db created",
                "  at 5.1 s        vm/db started",
                "  at 5.1 s        vm/db ready",
                "done after 5.1 s",
                "guests of hello: 5.1 s until ready (assumed: none was seen), 2 s to stop (assumed: none was seen)",
            ]
            whole = json.loads((await volant(daemon, "plan", "--set", "infra", "-f", str(file), "-o", "json")).stdout)
            assert [step["what"] for step in whole["timeline"]["steps"]] == ["created", "started", "ready"]
            plan = json.loads(
                (await volant(daemon, "plan", "--set", "infra", "-f", str(file), "--no-timeline", "-o", "json")).stdout
            )
            assert plan["token"] == whole["plan"]["token"]


async def test_a_process_that_breaks_or_is_late_is_said_to_and_leaves_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        nowhere = Forecaster(tmp_path / "nothing.db", clock=served.deps.clock, mode="user", pools={})
        told = await refusal(nowhere)
        assert (told.code, told.message.split(":")[0]) == ("forecast_failed", "cannot read nothing.db")
        late = Forecaster(served.store.path, clock=served.deps.clock, mode="user", pools={}, late_s=0.0)
        assert "it took over 0 s" in (await refusal(late)).message


async def test_who_waits_for_a_forecast_is_one_of_a_few(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        late = Forecaster(served.store.path, clock=served.deps.clock, mode="user", pools={}, late_s=0.0)
        codes = [one.code for one in await asyncio.gather(*(refusal(late) for _ in range(WAITING + 3)))]
        assert sorted(codes) == ["forecast_busy"] * 2 + ["forecast_failed"] * (WAITING + 1)


async def refusal(forecaster: Forecaster) -> Unavailable:
    """What it says."""
    try:
        await forecaster.of(b"{}")
    except Unavailable as error:
        return error
    raise AssertionError("it was not refused")


async def volant(daemon: Alive, *words: str) -> Result:
    """The command, while the daemon goes on."""
    return await asyncio.to_thread(run, f"http://127.0.0.1:{daemon.served.port}", *words)
