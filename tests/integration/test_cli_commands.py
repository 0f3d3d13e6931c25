"""The commands against a daemon with simulated guests: what they print, and how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.builders.commands import run
from tests.builders.daemon import RunningDaemon, daemon, until

from volant.cli.ending import DONE, ERROR, FAILED, GONE, TIMED_OUT, USAGE


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with the plugins `hello`, which is ready, and `bad`, which can never be."""
    place = tmp_path_factory.mktemp("cli")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    wrong = {**source, "checksum": "sha256:" + "0" * 64}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        running.post("/plugins", {"name": "bad", "version": "1", "kernel": source, "initramfs": wrong})
        yield running


@pytest.fixture
def clean(host: RunningDaemon) -> Iterator[RunningDaemon]:
    """The same, with neither VMs nor deployments before and after."""
    yield host
    for noun in ("deployments", "vms"):
        for one in host.get(f"/{noun}"):
            host.api.delete(f"/{noun}/{one['name']}?{'force=true' if noun == 'vms' else ''}")


def done(host: RunningDaemon, *words: str, stdin: str | None = None) -> str:
    """Standard output of a command that succeeds."""
    result = run(host.url, *words, stdin=stdin)
    assert result.exit_code == DONE, result.output
    return result.stdout


def test_an_empty_host_has_no_vms_and_that_is_no_error(host: RunningDaemon) -> None:
    result = run(host.url, "vms", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (DONE, "", "No VMs\n")
    assert done(host, "vms", "list", "-o", "json") == "[]\n"
    assert run(host.url, "deployments", "list").stderr == "No deployments\n"


def test_a_vm_from_its_creation_to_its_end(clean: RunningDaemon) -> None:
    words = ("--plugin", "hello", "--vcpu", "2", "--env", "A=1=2", "--label", "app=x", "--grace", "5s", "--wait")
    assert done(clean, "vms", "create", "web", *words) == "vm web created, ready\n"
    head, row = done(clean, "vms", "list").splitlines()
    assert head.split() == ["NAME", "STATUS", "HEALTH", "PLUGIN", "RESTARTS", "IP", "AGE"]
    assert row.split()[:4] == ["web", "running", "-", "hello"]
    assert yaml.safe_load(done(clean, "vms", "config", "get", "web"))["env"] == {"A": "1=2"}
    assert done(clean, "vms", "stop", "web") == "vm web stopped\n"
    assert done(clean, "vms", "start", "web", "--wait") == "vm web ready\n"
    assert done(clean, "vms", "restart", "web", "--wait") == "vm web ready\n"
    assert run(clean.url, "vms", "start", "web").exit_code == ERROR
    assert done(clean, "vms", "delete", "web") == "vm web deleted\n"
    assert clean.get("/vms") == []


def test_every_shape_shows_the_same_objects(clean: RunningDaemon) -> None:
    for name in ("a", "b"):
        done(clean, "vms", "create", name, "--plugin", "hello", "--wait")
    assert done(clean, "vms", "list", "-o", "name", "--sort", "name", "--order", "desc").split() == ["b", "a"]
    assert [one["name"] for one in json.loads(done(clean, "vms", "list", "-o", "json"))] == ["a", "b"]
    assert json.loads(done(clean, "vms", "list", "-o", "json")) == clean.get("/vms")
    assert yaml.safe_load(done(clean, "vms", "get", "a", "-o", "yaml"))["name"] == "a"
    assert "ENDPOINTS" in done(clean, "vms", "get", "a", "b", "-o", "wide")


def test_a_deployment_is_scaled_and_each_replica_has_a_line(clean: RunningDaemon) -> None:
    made = run(clean.url, "deployments", "create", "api", "--plugin", "hello", "--replicas", "2", "--wait")
    assert (made.exit_code, made.stdout) == (DONE, "deployment api created, available\n")
    scaled = run(clean.url, "deployments", "scale", "api", "4", "--wait")
    assert (scaled.exit_code, scaled.stdout) == (DONE, "deployment api scaled to 4, available\n")
    lines = [re.sub(r" \(\d+ s\)$", "", line) for line in scaled.stderr.splitlines()]
    assert lines[0] == "api: 2 of 4 ready"
    assert lines[-1] == "api: 4 of 4 ready"
    assert set(lines[1:-1]) >= {"api-3: starting", "api-3: ready", "api-4: starting", "api-4: ready"}
    assert not [line for line in lines if line.startswith(("api-1:", "api-2:"))]
    assert done(clean, "deployments", "list").splitlines()[1].split()[:2] == ["api", "4/4"]
    assert done(clean, "vms", "list", "--owner", "api", "-o", "name").split() == [f"api-{n}" for n in range(1, 5)]
    assert done(clean, "deployments", "scale", "api", "1", "-o", "name") == "api\n"
    assert done(clean, "deployments", "delete", "api") == "deployment api deleted\n"


def test_a_body_may_come_from_a_file_and_options_beat_it(clean: RunningDaemon, tmp_path: Path) -> None:
    body = {"name": "web", "plugin": "hello", "config": {"resources": {"vcpu": 3, "memory_mb": 64}, "env": {"A": "1"}}}
    (tmp_path / "vm.json").write_text(json.dumps(body))
    done(clean, "vms", "create", "-f", str(tmp_path / "vm.json"), "--vcpu", "2", "--env", "B=2")
    config = clean.get("/vms/web/config")
    assert config["resources"] == {"vcpu": 2, "memory_mb": 64}
    assert config["env"] == {"A": "1", "B": "2"}
    done(clean, "vms", "create", "other", "-f", "-", stdin=json.dumps(body))
    assert run(clean.url, "vms", "create", "-f", "-", stdin="[]").exit_code == ERROR
    assert run(clean.url, "vms", "create", "-f", str(tmp_path / "none")).exit_code == ERROR


def test_config_is_set_by_paths_and_remembered(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello", "--wait")
    result = run(clean.url, "vms", "config", "set", "web", "resources.vcpu=4", "env.PORT=8080", "env.NO=no")
    assert (result.exit_code, result.stdout) == (DONE, "vm web configured\n")
    assert "volant vms restart web" in result.stderr
    assert done(clean, "vms", "config", "set", "web", "env.NO=no") == "vm web unchanged\n"
    config = clean.get("/vms/web/config")
    assert (config["resources"]["vcpu"], config["env"]) == (4, {"PORT": "8080", "NO": "no"})
    done(clean, "vms", "config", "set", "web", "--unset", "env.NO", "--unset", "resources.vcpu")
    assert clean.get("/vms/web/config")["env"] == {"PORT": "8080"}
    lines = done(clean, "vms", "config", "history", "web").splitlines()
    assert lines[0].split() == ["GENERATION", "TIME", "BY", "CHANGES"]
    assert "resources.vcpu: 4 → 1" in lines[1]
    assert len(json.loads(done(clean, "vms", "config", "history", "web", "--limit", "1", "-o", "json"))) == 1
    wrong = run(clean.url, "vms", "config", "set", "web", "resources.vcpus=4")
    assert wrong.exit_code == ERROR
    assert "Did you mean 'vcpu'?" in wrong.stderr


def test_plugins_are_installed_switched_and_removed(clean: RunningDaemon, tmp_path: Path) -> None:
    manifest = {**_manifest(clean), "name": "other"}
    (tmp_path / "other.json").write_text(json.dumps(manifest))
    assert (
        done(clean, "plugins", "create", "-f", str(tmp_path / "other.json"), "--wait")
        == "plugin other created, ready\n"
    )
    assert "other" in done(clean, "plugins", "list", "-o", "name").split()
    assert done(clean, "plugins", "disable", "other") == "plugin other disabled\n"
    refused = run(clean.url, "vms", "create", "a", "--plugin", "other")
    assert refused.exit_code == ERROR
    assert done(clean, "plugins", "enable", "other") == "plugin other enabled\n"
    done(clean, "vms", "create", "a", "--plugin", "other")
    held = run(clean.url, "plugins", "delete", "other")
    assert held.exit_code == ERROR
    assert "  vms: a" in held.stderr
    done(clean, "vms", "delete", "a")
    assert done(clean, "plugins", "delete", "other") == "plugin other deleted\n"


def test_several_are_deleted_by_their_labels(clean: RunningDaemon) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        done(clean, "vms", "create", name, "--plugin", "hello", "--label", f"app={label}", "--wait")
    assert done(clean, "vms", "delete", "-l", "app=x") == "vm a deleted\nvm b deleted\n"
    assert done(clean, "vms", "list", "-o", "name") == "c\n"
    assert run(clean.url, "vms", "delete").exit_code == USAGE
    assert run(clean.url, "vms", "delete", "c", "-l", "app=y").exit_code == USAGE


def test_one_that_fails_keeps_no_other(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "a", "--plugin", "hello", "--wait")
    result = run(clean.url, "vms", "delete", "nope", "a")
    assert (result.exit_code, result.stdout) == (GONE, "vm a deleted\n")
    assert "VM not found: nope" in result.stderr
    assert done(clean, "vms", "delete", "nope", "--ignore-not-found") == ""


def test_what_is_found_is_shown_beside_what_is_not(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello")
    result = run(clean.url, "vms", "get", "nope", "web", "-o", "name")
    assert (result.exit_code, result.stdout) == (GONE, "web\n")
    assert "VM not found: nope" in result.stderr
    none = run(clean.url, "vms", "get", "nope", "neither")
    assert (none.exit_code, none.stdout, none.stderr.count("Error: ")) == (GONE, "", 2)


def test_several_are_stopped_and_started_by_their_labels(clean: RunningDaemon) -> None:
    for name in ("a", "b"):
        done(clean, "vms", "create", name, "--plugin", "hello", "--label", "app=x", "--wait")
    assert done(clean, "vms", "stop", "--force", "-l", "app=x").splitlines() == ["vm a stopped", "vm b stopped"]
    assert done(clean, "vms", "start", "-l", "app=x", "--wait").splitlines() == ["vm a ready", "vm b ready"]
    none = run(clean.url, "vms", "restart", "-l", "app=zzz")
    assert (none.exit_code, none.output) == (DONE, "No VMs match\n")


def test_where_there_are_no_sets_it_is_said(host: RunningDaemon) -> None:
    result = run(host.url, "sets", "list")
    assert (result.exit_code, result.stdout, result.stderr[:7]) == (DONE, "", "No sets")


def test_what_is_not_there_ends_with_its_status_and_a_name_like_it(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello")
    result = run(clean.url, "vms", "get", "webb")
    assert result.exit_code == GONE
    assert "Did you mean web?" in result.stderr
    assert run(clean.url, "wait", "vm", "../plugins/hello").exit_code == GONE


def test_what_cannot_come_true_has_a_status_and_what_is_late_another(clean: RunningDaemon) -> None:
    until("it is refused", lambda: run(clean.url, "wait", "plugin", "bad", "--timeout", "1").exit_code == FAILED)
    done(clean, "vms", "create", "web", "--plugin", "hello", "--wait")
    late = run(clean.url, "wait", "vm", "web", "--for", "stopped", "--timeout", "100ms")
    assert late.exit_code == TIMED_OUT
    assert "`volant why web` says more." in late.stderr
    failed = run(clean.url, "deployments", "create", "api", "--plugin", "bad", "--wait")
    assert failed.exit_code == FAILED
    assert done(clean, "wait", "vm", "web") == "vm web is ready\n"
    assert done(clean, "wait", "vm", "nobody", "--for", "deleted") == "vm nobody is deleted\n"


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("--frob",),
        ("vms", "frobnicate"),
        ("vms", "list", "--frob"),
        ("vms", "get"),
        ("vms", "create"),
        ("vms", "create", "a", "--plugin", "p", "--env", "A"),
        ("vms", "create", "a", "--plugin", "p", "--publish", "80"),
        ("vms", "config", "set", "a"),
        ("vms", "config", "set", "a", "b=1", "b.c=2"),
        ("wait", "vm", "a", "--for", "available"),
        ("wait", "vm", "a", "--timeout", "soon"),
        ("wait", "vm", "a", "--timeout", "25h"),
        ("events", "vm"),
        ("events", "web"),
        ("events", "-f", "--limit", "3"),
        ("wait", "web"),
        ("vms", "create", "a", "--plugin", "p", "--memory", "512X"),
        ("vms", "stop"),
        ("vms", "stop", "a", "-l", "app=x"),
        ("sync", "--dir", ".", "--set", "x", "--interval", "0"),
        ("events", "vm", "a", "--since", "3"),
        ("events", "vm", "a", "--since", "0"),
        ("deployments", "scale", "a", "-1"),
        ("completion", "tcsh"),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_a_status_of_its_own(host: RunningDaemon, words: tuple[str, ...]) -> None:
    result = run(host.url, *words)
    assert result.exit_code == USAGE, result.output
    assert "Error: " in result.stderr


def test_without_a_daemon_it_is_said_how_to_start_one() -> None:
    result = run("http://127.0.0.1:1", "vms", "list")
    assert result.exit_code == ERROR
    assert "volant serve" in result.stderr
    assert run("127.0.0.1:1", "vms", "list").exit_code == ERROR


def test_the_data_directory_says_where_the_daemon_is(host: RunningDaemon) -> None:
    result = run("", "vms", "list", "--data-dir", str(host.data_dir))
    assert (result.exit_code, result.stderr) == (DONE, "No VMs\n")


def test_events_of_an_object_are_listed(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello", "--wait")
    lines = done(clean, "events", "vm", "web").splitlines()
    assert [line.split()[1] for line in lines][:2] == ["vm.created", "vm.started"]
    told = [json.loads(line) for line in done(clean, "events", "vm", "web", "-o", "json").splitlines()]
    assert [one["type"] for one in told] == [line.split()[1] for line in lines]
    assert run(clean.url, "events", "vm", "nope").exit_code == GONE
    assert done(clean, "events", "vm/web") == done(clean, "events", "vms", "web") == done(clean, "events", "vm", "web")


def test_the_newest_events_of_everything_are_listed(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello", "--wait")
    done(clean, "vms", "stop", "web", "--force")
    found = [json.loads(line) for line in done(clean, "events", "-o", "json").splitlines()]
    assert [one["id"] for one in found] == sorted({one["id"] for one in found})
    assert found[-1]["type"] == "vm.stopped"
    assert len(done(clean, "events", "--limit", "2").splitlines()) == 2


def test_the_host_and_what_is_given_out_of_it_are_shown(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello", "--vcpu", "2", "--wait")
    assert "simulated" in done(clean, "info")
    assert json.loads(done(clean, "info", "-o", "json"))["stats"]["total_vms"] == 1
    lines = done(clean, "top").splitlines()
    assert lines[0].startswith("1 VMs with 2 CPUs and 256 MiB")
    assert lines[-1].split()[:3] == ["web", "running", "2"]


def test_why_and_drain_speak_to_the_same_daemon(clean: RunningDaemon) -> None:
    done(clean, "vms", "create", "web", "--plugin", "hello", "--memory", "1G", "--wait")
    assert clean.get("/vms/web")["resources"]["memory_mb"] == 1024
    assert "VM web is ready" in done(clean, "why", "web")
    assert "VM web is ready" in done(clean, "why", "vm/web")
    assert json.loads(done(clean, "why", "vm", "web", "--json")) | {"at": ""} == clean.get("/vms/web/why") | {"at": ""}
    assert done(clean, "drain") == "web: stopped\n"
    assert run(clean.url, "why", "nobody").exit_code == GONE


def _manifest(host: RunningDaemon) -> dict[str, Any]:
    source = {"url": f"file://{host.data_dir.parent}/files/a"}
    return {"version": "1", "kernel": source, "initramfs": source}
