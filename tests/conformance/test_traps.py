"""What the reference says in passing, and what is easily broken: one test a sentence."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.builders.daemon import until
from tests.conformance.asking import ask, plain_request, send
from tests.conformance.presumed import presume
from tests.conformance.reference import reference
from tests.conformance.shapes import INSTANT
from tests.conformance.world import World

REFERENCE = reference()
LISTS = [op for op in REFERENCE.operations if isinstance(op.answer, list) and "{" not in op.path]
NAME = REFERENCE.operation("POST /api/v1/vms").body["name"]
VM = f"/vms/{NAME}"


@pytest.fixture
def vm(world: World) -> dict[str, Any]:
    """The reference's VM, running and healthy."""
    world.vm(NAME)
    found: dict[str, Any] = world.get(VM)
    return found


def changed(resources: dict[str, int], **more: int) -> dict[str, Any]:
    """A body that changes resources."""
    return {"resources": {**resources, **more}}


@pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.key)
def test_a_list_is_a_bare_array_whatever_is_asked_of_it(world: World, operation: Any) -> None:
    for query in ("", "limit=1", "limit=1&offset=1", "limit=0", "offset=1000"):
        assert isinstance(ask(world, plain_request(operation)._replace(query=query)).json(), list)


def test_without_a_limit_everything_is_listed(world: World) -> None:
    """No hidden size of a page."""
    plugin = world.plugin_names[0]
    names = [f"many-{number}" for number in range(1, 121)]
    world.no_deployment("many")
    world.post("/deployments", {"name": "many", "plugin": plugin, "replicas": len(names)})
    until("all are made", lambda: len(world.get("/deployments/many")["vms"]) == len(names))
    assert {vm["name"] for vm in world.get("/vms")} >= set(names)
    assert len(world.get("/vms?limit=50")) == 50
    world.no_deployment("many")


def test_plugins_are_an_object_of_names(world: World) -> None:
    world.plugins()
    assert world.get("/plugins?limit=1")["plugins"] == world.plugin_names[:1]


def test_a_created_vm_starts_and_runs_by_itself(world: World) -> None:
    asked = plain_request(REFERENCE.operation("POST /api/v1/vms"))
    presume(world, asked)
    assert ask(world, asked).json()["status"] == "starting"
    world.until_running(asked.name)


def test_a_stop_answers_when_the_guest_is_gone(world: World, vm: dict[str, Any]) -> None:
    assert "pid" in vm
    stopped = world.post(f"{VM}/stop")
    assert stopped["status"] == world.get(VM)["status"] == "stopped"
    assert "pid" not in stopped


def test_a_delete_answers_when_nothing_is_left(world: World, vm: dict[str, Any]) -> None:
    answer = send(world, "DELETE", f"/api/v1{VM}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert world.find(VM) is None
    assert vm["name"] not in {one["name"] for one in world.get("/vms")}


def test_a_stopped_vm_keeps_its_address(world: World, vm: dict[str, Any]) -> None:
    assert world.post(f"{VM}/stop")["ip"] == world.post(f"{VM}/start")["ip"] == vm["ip"]


def test_a_restart_starts_a_stopped_vm(world: World) -> None:
    world.stopped(NAME)
    assert world.post(f"{VM}/restart")["status"] == "restarting"
    world.until_running(NAME)


def test_a_restart_is_another_guest(world: World, vm: dict[str, Any]) -> None:
    world.post(f"{VM}/restart")
    until("another guest runs", lambda: world.get(VM).get("pid") not in (None, vm["pid"]))


def test_a_disabled_plugin_makes_no_new_vms(world: World) -> None:
    world.plugin(world.plugin_names[0])
    world.post(f"/plugins/{world.plugin_names[0]}/enabled", {"enabled": False})
    world.no_vm("another")
    for path, more in (("/api/v1/vms", {}), ("/api/v1/deployments", {"replicas": 1})):
        body = {"name": "another", "plugin": world.plugin_names[0], **more}
        assert send(world, "POST", path, body).status_code == 409
    world.plugin(world.plugin_names[0])


def test_a_deployment_goes_with_all_its_vms(world: World) -> None:
    asked = plain_request(REFERENCE.operation("DELETE /api/v1/deployments/{name}"))
    presume(world, asked)
    names = world.get(f"/deployments/{asked.name}")["vms"]
    assert names
    assert ask(world, asked).status_code == 204
    assert not {vm["name"] for vm in world.get("/vms")} & set(names)


def test_a_condition_is_true_in_letters(world: World) -> None:
    asked = plain_request(REFERENCE.operation("GET /api/v1/deployments/{name}"))
    presume(world, asked)
    for condition in ask(world, asked).json()["status"]["conditions"]:
        assert condition["status"] in ("true", "false", "unknown")
        assert INSTANT.fullmatch(condition["last_update"])


def test_the_printed_checksum_is_refused_by_name(world: World) -> None:
    """`sha256:abc123...` is no checksum."""
    operation = REFERENCE.operation("POST /api/v1/plugins")
    presume(world, plain_request(operation))
    answer = send(world, "POST", operation.path, operation.body)
    assert answer.status_code == 400
    assert [field["path"] for field in answer.json()["details"]["fields"]] == ["/rootfs/checksum"]
    assert world.find(f"/plugins/{operation.body['name']}") is None


def test_go_is_not_what_this_is_written_in(world: World) -> None:
    info = world.get("/system/info")
    assert info["go_version"] is None
    assert re.fullmatch(r"3\.\d+\.\d+\S*", info["python_version"])


def test_commit_and_build_date_are_real(world: World) -> None:
    info = world.get("/system/info")
    assert re.fullmatch(r"[0-9a-f]{6,40}", info["commit"])
    assert INSTANT.fullmatch(info["build_date"])


def test_the_figures_of_the_system_are_those_of_the_lists(world: World) -> None:
    world.listed()
    stats, vms = world.get("/system/info")["stats"], world.get("/vms")
    assert stats == {
        "total_vms": len(vms),
        "running_vms": sum(vm["status"] == "running" for vm in vms),
        "total_deployments": len(world.get("/deployments")),
        "total_plugins": len(world.get("/plugins")["plugins"]),
    }


def test_a_changed_config_is_merged_and_not_yet_what_runs(world: World, vm: dict[str, Any]) -> None:
    """`PATCH` takes a part of it; `GET` of the VM shows what the guest was booted with until it is restarted."""
    booted = vm["resources"]
    answer = world.patch(f"{VM}/config", {"resources": {"vcpu": booted["vcpu"] + 1}})
    assert answer["resources"] == {**booted, "vcpu": booted["vcpu"] + 1}
    assert answer["restart_required"] is True
    assert world.get(f"{VM}/config")["resources"] == answer["resources"]
    assert world.get(VM)["resources"] == booted
    assert [one["resources"] for one in world.get("/vms") if one["name"] == NAME] == [booted]


def test_a_restart_takes_the_config_and_nothing_is_required_any_more(world: World, vm: dict[str, Any]) -> None:
    wanted = world.patch(f"{VM}/config", {"resources": {"vcpu": vm["resources"]["vcpu"] + 1}})["resources"]
    world.post(f"{VM}/restart")
    until("another guest runs", lambda: world.get(VM).get("pid") not in (None, vm["pid"]))
    assert world.get(VM)["resources"] == wanted
    assert world.get(f"{VM}/config")["restart_required"] is False


def test_a_config_that_is_changed_back_requires_nothing(world: World, vm: dict[str, Any]) -> None:
    world.patch(f"{VM}/config", {"resources": {"vcpu": vm["resources"]["vcpu"] + 1}})
    assert world.patch(f"{VM}/config", {"resources": vm["resources"]})["restart_required"] is False


def test_a_stopped_vm_needs_no_restart_for_its_config(world: World) -> None:
    world.stopped(NAME)
    resources = world.get(f"{VM}/config")["resources"]
    answer = world.patch(f"{VM}/config", {"resources": {"vcpu": resources["vcpu"] + 1}})
    assert answer["restart_required"] is False


def test_history_is_newest_first_with_dotted_paths(world: World, vm: dict[str, Any]) -> None:
    first = vm["resources"]
    world.patch(f"{VM}/config", {"resources": {"vcpu": first["vcpu"] + 1}})
    world.patch(f"{VM}/config", {"resources": {"vcpu": first["vcpu"] + 2, "memory_mb": first["memory_mb"] * 2}})
    history = world.get(f"{VM}/config/history")
    assert [entry["changes"] for entry in history] == [
        {
            "resources.vcpu": {"old": first["vcpu"] + 1, "new": first["vcpu"] + 2},
            "resources.memory_mb": {"old": first["memory_mb"], "new": first["memory_mb"] * 2},
        },
        {"resources.vcpu": {"old": first["vcpu"], "new": first["vcpu"] + 1}},
        {"created": True},
    ]
    stamps = [entry["timestamp"] for entry in history]
    assert all(INSTANT.fullmatch(stamp) for stamp in stamps)
    assert stamps == sorted(stamps, reverse=True)


def test_a_config_that_is_asked_for_as_it_is_leaves_no_entry(world: World, vm: dict[str, Any]) -> None:
    world.patch(f"{VM}/config", {"resources": vm["resources"]})
    assert len(world.get(f"{VM}/config/history")) == 1


def test_the_history_of_a_vm_is_its_own(world: World, vm: dict[str, Any]) -> None:
    """Another VM of the same name begins anew."""
    world.patch(f"{VM}/config", {"resources": {"vcpu": vm["resources"]["vcpu"] + 1}})
    world.vm(NAME)
    assert [entry["changes"] for entry in world.get(f"{VM}/config/history")] == [{"created": True}]


@pytest.mark.parametrize("operation", [op for op in REFERENCE.operations if not op.is_stream], ids=lambda op: op.key)
def test_every_answer_says_that_it_is_json(world: World, operation: Any) -> None:
    asked = plain_request(operation)
    presume(world, asked)
    answer = ask(world, asked)
    assert answer.headers.get("content-type", "").partition(";")[0] == (
        "" if answer.status_code == 204 else operation.media
    )
