"""`volant deployments rollout` and what goes with it, against simulated guests, piped and at a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace
from tests.builders.commands import Terminal, run, terminals
from tests.builders.daemon import RunningDaemon, daemon

from volant.cli.ending import DONE, ERROR, FAILED, GONE, TIMED_OUT, USAGE
from volant.cli.rollout_screen import Replica, drawn, standing
from volant.model.views import DeploymentView, VMView

STUCK = {"progress_deadline_s": 0.3}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with the plugins `hello`, which is ready, and `away`, whose artifacts nobody serves."""
    place = tmp_path_factory.mktemp("rollouts")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    away = {"url": "http://127.0.0.1:1/a", "checksum": "sha256:" + "0" * 64}
    flags = ("--hypervisor", "simulated", "--artifact-allow", "127.0.0.0/8")
    with daemon(place / "data", *flags, artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        running.post("/plugins", {"name": "away", "version": "1", "kernel": source, "initramfs": away})
        yield running


@pytest.fixture
def web(host: RunningDaemon) -> Iterator[RunningDaemon]:
    """The same with a deployment of two that is complete."""
    body = {"name": "web", "plugin": "hello", "replicas": 2, "config": {"env": {"LEVEL": "info"}}}
    host.post("/deployments?wait=complete", body)
    yield host
    host.api.delete("/deployments/web")


def done(host: RunningDaemon, *words: str, stdin: str | None = None) -> str:
    """Standard output of a command of `deployments` that succeeds."""
    result = run(host.url, "deployments", *words, stdin=stdin)
    assert result.exit_code == DONE, result.output
    return result.stdout


def ended(host: RunningDaemon, *words: str) -> tuple[int, str]:
    """Exit status and standard error of a command of `deployments`."""
    result = run(host.url, "deployments", *words)
    return result.exit_code, result.stderr


def test_a_change_rolls_and_each_replica_has_a_line(web: RunningDaemon) -> None:
    result = run(web.url, "deployments", "set", "web", "config.env.LEVEL=debug", "--wait")
    assert (result.exit_code, result.stdout) == (DONE, "deployment web changed, complete\n")
    lines = result.stderr.splitlines()
    assert lines[0] == "web: revision 1, 2 of 2 updated, 2 ready"
    assert "web-3: new, ready" in lines or "web-3: new, starting" in lines
    assert {line.partition(": ")[0] for line in lines} >= {"web", "web-3"}
    assert web.get("/deployments/web")["config"]["env"] == {"LEVEL": "debug"}
    assert done(web, "rollout", "status", "web") == "deployment web is complete: revision 2, 2 of 2 ready\n"
    head, row = done(web, "list").splitlines()
    assert head.split()[:4] == ["NAME", "READY", "UPDATED", "STATUS"]
    assert row.split()[:3] == ["web", "2/2", "2"]


def test_the_history_says_what_changed_and_undo_goes_back(web: RunningDaemon) -> None:
    """U7"""
    done(web, "set", "web", "config.env.LEVEL=debug", "labels.example.com/pool=x", "--wait")
    done(web, "set", "web", "config.resources.vcpu=2", "--wait")
    head, third, second, first = done(web, "rollout", "history", "web").splitlines()
    assert head.split() == ["REVISION", "AGE", "STATE", "CHANGE"]
    assert third.split()[0] == "3"
    assert third.endswith("current,complete  config.resources.vcpu: 1 → 2")
    assert "labels.example.com/pool: nothing → x" in second
    assert "config.env.LEVEL: sha256:" in second
    assert first.split()[0] == "1"
    assert first.endswith("created")
    assert [one["revision"] for one in json.loads(done(web, "rollout", "history", "web", "-o", "json"))] == [3, 2, 1]
    details = done(web, "rollout", "history", "web", "--revision", "1")
    assert "Going back to it from revision 3 would change:\n" in details
    assert "  config.resources.vcpu: 2 → 1\n" in details
    assert yaml.safe_load(details.partition("made of:\n")[2])["config"]["env"] == {"LEVEL": "info"}
    assert done(web, "rollout", "undo", "web", "--wait") == "deployment web rolled back, as revision 4, complete\n"
    assert web.get("/deployments/web")["config"]["resources"]["vcpu"] == 1
    assert done(web, "rollout", "undo", "web", "--to", "1") == "deployment web rolled back, as revision 5\n"
    assert web.get("/deployments/web")["config"]["env"] == {"LEVEL": "info"}
    code, said = ended(web, "rollout", "undo", "web", "--to", "99")
    assert (code, "`volant deployments rollout history web` shows" in said) == (ERROR, True)
    assert "not kept" in ended(web, "rollout", "history", "web", "--revision", "99")[1]


def test_who_is_paused_is_told_so_and_goes_on_when_resumed(web: RunningDaemon) -> None:
    """U8"""
    assert done(web, "rollout", "pause", "web") == "deployment web paused\n"
    assert done(web, "rollout", "status", "web").startswith("deployment web is complete")
    code, said = ended(web, "set", "web", "restart_policy=never", "--wait")
    assert code == FAILED
    assert "`volant deployments rollout resume web`" in said
    assert ended(web, "rollout", "status", "web")[0] == FAILED
    assert ended(web, "rollout", "undo", "web")[0] == ERROR
    assert done(web, "rollout", "resume", "web", "--wait") == "deployment web resumed, complete\n"


def test_a_restart_makes_every_vm_anew(web: RunningDaemon) -> None:
    before = {vm["uid"] for vm in web.get("/vms")}
    assert done(web, "restart", "web", "--wait") == "deployment web restarted, complete\n"
    assert before.isdisjoint(vm["uid"] for vm in web.get("/vms") if "deleting_since" not in vm)
    assert done(web, "rollout", "restart", "web", "-o", "name") == "web\n"
    assert "restart" in done(web, "rollout", "history", "web")


def test_a_rollout_that_is_stuck_fails_for_good_and_says_the_way_back(web: RunningDaemon) -> None:
    """U5: the old replicas are as available as ever."""
    (stuck,) = (json.dumps(value) for value in STUCK.values())
    code, said = ended(web, "set", "web", "plugin=away", f"strategy.progress_deadline_s={stuck}", "--wait")
    assert code == FAILED
    assert "`volant deployments rollout undo web`" in said
    assert run(web.url, "wait", "deployment", "web", "--for", "available").exit_code == DONE
    assert run(web.url, "wait", "deployment", "web", "--for", "complete").exit_code == FAILED
    assert done(web, "rollout", "undo", "web", "--wait") == "deployment web rolled back, as revision 3, complete\n"


def test_a_rollout_that_was_taken_back_is_no_success(web: RunningDaemon) -> None:
    """U10"""
    web.api.patch("/deployments/web", json={"strategy": {**STUCK, "auto_revert": True}})
    code, said = ended(web, "set", "web", "plugin=away", "--wait")
    assert code == FAILED
    assert "back to the template of revision 1" in said
    assert done(web, "rollout", "status", "web") == "deployment web is complete: revision 3, 2 of 2 ready\n"


def test_what_is_not_so_yet_is_not_so_in_time(web: RunningDaemon) -> None:
    web.api.patch("/deployments/web", json={"plugin": "away"})
    assert ended(web, "rollout", "status", "web", "--no-watch")[0] == TIMED_OUT
    assert ended(web, "rollout", "status", "web", "--timeout", "100ms")[0] == TIMED_OUT
    assert ended(web, "rollout", "status", "wbe")[0] == GONE


def test_a_change_may_come_from_a_file_and_words_beat_it(web: RunningDaemon, tmp_path: Path) -> None:
    file = tmp_path / "patch.yaml"
    file.write_text("config:\n  env: {A: '1'}\nstrategy: {max_surge: 50%}\nreplicas: 3\n")
    done(web, "set", "web", "-f", str(file), "replicas=1", "--unset", "config.env.LEVEL", "--wait")
    found = web.get("/deployments/web")
    assert (found["replicas"], found["config"]["env"], found["strategy"]["max_surge"]) == (1, {"A": "1"}, "50%")
    file.write_text("config:\n  env:\n    A: '1'\n  resources:\n    vcpus: 3\n")
    code, said = ended(web, "set", "web", "-f", str(file))
    assert code == ERROR
    assert f"{file}:5:5: /config/resources/vcpus: " in said
    assert ended(web, "set", "web")[0] == USAGE


def test_the_rollout_is_drawn_anew_at_a_terminal(web: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    """Each replica with its template and its word, until it is complete."""
    web.api.patch("/deployments/web", json={"plugin": "away"})
    shown = terminal("deployments", "rollout", "status", "web")
    lines = ("web: revision 2, 1 of 2 updated, 2 ready, 2 old to go, ", "web-1  old  ready", "web-3  new  starting")
    shown.read_until(lambda text: all(line in text for line in lines))
    web.api.post("/deployments/web/rollback", json={})
    assert shown.end() == FAILED
    assert "rolled back" in shown.text or "back to the template of revision 1" in shown.text
    again = terminal("deployments", "rollout", "status", "web")
    assert again.end() == DONE
    assert again.text.splitlines()[-1] == "deployment web is complete: revision 3, 2 of 2 ready"


def test_an_apply_that_waits_is_not_satisfied_by_old_replicas(host: RunningDaemon, tmp_path: Path) -> None:
    def applied(**spec: Any) -> tuple[int, str]:
        manifest = {"kind": "Deployment", "metadata": {"name": "app"}, "spec": {"plugin": "hello", **spec}}
        (tmp_path / "app.json").write_text(json.dumps(manifest))
        result = run(host.url, "apply", "-f", str(tmp_path / "app.json"), "--set", "app", "--wait")
        return result.exit_code, result.stderr.splitlines()[-1]

    assert applied() == (DONE, "deployment/app available")
    assert applied(restart_policy="never") == (DONE, "deployment/app complete")
    code, said = applied(plugin="away", strategy=STUCK)
    assert code == FAILED
    assert "deployment/app is not complete" in said
    host.api.delete("/deployments/app")


def test_where_there_is_no_room_for_all_those_that_are_ready_are_left_out() -> None:
    replicas = [Replica(f"web-{n}", "new", "ready" if n < 4 else "starting") for n in range(1, 6)]
    assert [line.split()[0] for line in drawn(replicas, 5, coloured=False)] == [one.name for one in replicas]
    assert list(drawn(replicas, 2, coloured=False)) == [
        "  web-4  new  starting",
        "  web-5  new  starting",
        "  and 3 more",
    ]


def test_what_is_deleted_meanwhile_is_gone(web: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    web.api.patch("/deployments/web", json={"plugin": "away"})
    shown = terminal("deployments", "rollout", "status", "web")
    shown.read_until(lambda text: "1 of 2 updated" in text)
    web.api.delete("/deployments/web")
    assert shown.end() == GONE


def test_a_watch_ends_with_ctrl_c(web: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    web.api.patch("/deployments/web", json={"plugin": "away"})
    shown = terminal("deployments", "rollout", "status", "web")
    shown.read_until(lambda text: "1 of 2 updated" in text)
    shown.interrupt()
    assert shown.end() == 130
    assert "Traceback" not in shown.text


@pytest.fixture
def terminal(host: RunningDaemon) -> Iterator[Callable[..., Terminal]]:
    """Starts commands at terminals."""
    with terminals(host.url) as start:
        yield start


def bodies() -> dict[str, dict[str, Any]]:
    return {
        "vms": {"plugin": "hello", "config": {"resources": {"vcpu": 2}}},
        "deployments": {"plugin": "hello", "replicas": 0, "config": {"resources": {"vcpu": 2}}},
    }


@pytest.mark.parametrize("noun", ["vms", "deployments"])
def test_what_is_made_may_be_said_as_yaml(host: RunningDaemon, tmp_path: Path, noun: str) -> None:
    """Also on standard input; JSON is read as before."""
    said = bodies()[noun]
    for number, text in enumerate([yaml.safe_dump(said), json.dumps(said, indent="\t")]):
        result = run(host.url, noun, "create", f"y{number}", "-f", "-", stdin=text)
        assert result.exit_code == DONE, result.output
        assert run(host.url, noun, "delete", f"y{number}").exit_code == DONE
    file = tmp_path / "one.yml"
    file.write_text("name: NO\nplugin: hello\nconfig:\n  resources:\n    vcpu: 0\n    memry_mb: 64\n")
    result = run(host.url, noun, "create", "-f", str(file))
    assert result.exit_code == ERROR
    assert f"{file}:1:7: /name: " in result.stderr
    assert f"{file}:5:11: /config/resources/vcpu: " in result.stderr
    assert f"{file}:6:5: /config/resources/memry_mb: " in result.stderr


def test_a_plugin_is_installed_from_yaml(host: RunningDaemon, tmp_path: Path) -> None:
    (spec,) = (one["spec"] for one in host.get("/manifests", kind="Plugin", name="hello"))
    file = tmp_path / "plugin.yaml"
    file.write_text(yaml.safe_dump({"name": "other", **spec}))
    assert run(host.url, "plugins", "create", "-f", str(file), "--wait").stdout == "plugin other created, ready\n"
    assert run(host.url, "plugins", "delete", "other").exit_code == DONE
    file.write_text("name: other\nversion: 1\n")
    result = run(host.url, "plugins", "create", "-f", str(file))
    assert (result.exit_code, f"{file}:2:10: /version: " in result.stderr) == (ERROR, True), result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n", "has to be an object"),
        ("a: 1\n---\nb: 2\n", "expected one object, not 2"),
        ("", "expected one object, not 0"),
        ('{"a": 1, "a": 2}', "given twice"),
        ("kind: VM\nspec: {plugin: hello}\n", "it is a manifest. `volant apply -f"),
    ],
)
def test_a_file_that_says_no_object_is_refused(host: RunningDaemon, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    for result in (
        run(host.url, "vms", "create", "a", "-f", str(tmp_path / "one.yaml")),
        run(host.url, "vms", "create", "a", "-f", "-", stdin=text),
    ):
        assert result.exit_code == ERROR
        assert says in result.stderr


def test_what_is_on_its_way_out_is_old(web: RunningDaemon) -> None:
    found = msgspec.convert(web.get("/deployments/web"), DeploymentView)
    stays, goes = msgspec.convert(web.get("/vms", deployment="web", sort="name"), list[VMView])
    shown = standing(found, [stays, replace(goes, deleting_since=found.created_at)])
    assert [(one.age, one.word) for one in shown.replicas] == [("new", "ready"), ("old", "stopping")]
