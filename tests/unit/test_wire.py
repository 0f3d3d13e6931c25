"""The wire form is the reference's, field by field, with ours behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_manifest, a_plugin, a_vm, owner_of, running_status

from volant.clock import rfc3339
from volant.model.conditions import Condition
from volant.model.deployment import DeploymentStatus
from volant.model.history import ConfigChange
from volant.model.plugin import Artifact, PluginStatus, Workload
from volant.model.requests import AskedConfig, AskedResources, resolve
from volant.model.views import Stats, SystemFacts
from volant.model.vm import CloudInit, Endpoint, Exit, Health, NetworkConfig, Resources, VMConfig, VMStatus
from volant.model.wire import config_change_view, deployment_view, plugin_view, system_view, vm_config_view, vm_view

CREATED = rfc3339(NOW)
FACTS = SystemFacts(
    version="0.1.0",
    commit="abc123",
    build_date="2025-01-15T00:00:00Z",
    python_version="3.11.2",
    platform="linux/amd64",
    cpu_count=8,
    memory_total_mb=16384,
    memory_available_mb=8192,
    hypervisor="simulated",
    hypervisor_version="1",
    accelerator="simulated",
    isolation="none",
    network="user",
)


def shown(view: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view))
    return decoded


def test_a_new_vm_has_the_fields_of_the_reference_in_its_order() -> None:
    view = shown(vm_view(a_vm("my-vm", plugin="nginx-alpine", address="10.0.0.12")))
    assert list(view)[:5] == ["name", "status", "plugin", "ip", "created_at"]
    assert {k: view[k] for k in list(view)[:5]} == {
        "name": "my-vm",
        "status": "starting",
        "plugin": "nginx-alpine",
        "ip": "10.0.0.12",
        "created_at": CREATED,
    }


def test_a_running_vm_has_the_fields_of_the_reference_in_its_order() -> None:
    health = Health(status="healthy", last_check=NOW)
    view = shown(vm_view(a_vm(address="10.0.0.10", status=running_status(pid=12345, health=health))))
    assert list(view)[:8] == ["name", "status", "plugin", "ip", "pid", "created_at", "resources", "health"]
    assert view["status"] == "running"
    assert view["pid"] == 12345
    assert view["resources"] == {"vcpu": 1, "memory_mb": 256}
    assert view["health"] == {"status": "healthy", "last_check": CREATED}


def test_the_last_check_is_the_latest_that_is_known() -> None:
    health = Health(status="unhealthy", last_check=NOW, has_started=True, failed="liveness")
    vm = a_vm(status=running_status(health=health))
    assert shown(vm_view(vm, NOW + 60))["health"] == {"status": "unhealthy", "last_check": rfc3339(NOW + 60)}
    assert shown(vm_view(vm, None))["health"] == {"status": "unhealthy", "last_check": CREATED}
    assert "health" not in shown(vm_view(a_vm(), NOW))
    assert shown(vm_view(a_vm(status=running_status(health=Health()))))["health"] == {"status": "unknown"}


def test_what_a_vm_has_nothing_to_say_about_is_left_out() -> None:
    view = shown(vm_view(a_vm()))
    assert set(view) == {
        *("name", "status", "plugin", "created_at", "resources", "uid", "generation", "revision"),
        *("restart_policy", "restart_required", "restarts"),
    }


def test_what_is_ours_stands_behind_the_reference_s_fields() -> None:
    status = running_status(
        restarts=2,
        next_restart_at=NOW + 1.5,
        exit=Exit(reason="killed", at=NOW, code=-9),
        endpoints=(Endpoint(address="127.88.0.10", port=8080, guest_port=8080),),
        accelerator="tcg",
        isolation="none",
    )
    owner = a_deployment("web")
    view = shown(vm_view(a_vm(status=status, owner=owner, meta={"labels": {"app": "web"}, "generation": 3})))
    assert view["owner"] == {"kind": "Deployment", "name": "web", "uid": owner.meta.uid}
    assert view["labels"] == {"app": "web"}
    assert view["generation"] == 3
    assert view["restarts"] == 2
    assert view["next_restart_at"] == "2023-11-14T22:13:21.500Z"
    assert view["exit"] == {"reason": "killed", "at": CREATED, "code": -9}
    assert view["endpoints"] == [{"address": "127.88.0.10", "port": 8080, "guest_port": 8080}]
    assert (view["accelerator"], view["isolation"]) == ("tcg", "none")
    assert view["conditions"] == [
        {"type": "ready", "status": "true", "last_update": CREATED, "reason": "Running", "observed_generation": 0}
    ]


def test_a_vm_booted_with_another_config_needs_a_restart() -> None:
    vm = a_vm(status=running_status(), config=VMConfig(resources=Resources(vcpu=4)))
    assert vm_view(vm).restart_required
    assert vm_config_view(vm, "user").restart_required


@pytest.mark.parametrize(
    ("status", "shown_vcpu"),
    [
        (running_status(), 1),
        (running_status(stop_deadline=NOW), 1),
        (replace(running_status(), pid=None), 4),
        (VMStatus(), 4),
    ],
)
def test_resources_are_those_of_the_guest_while_one_runs(status: VMStatus, shown_vcpu: int) -> None:
    vm = a_vm(status=status, config=VMConfig(resources=Resources(vcpu=4)))
    assert vm_view(vm).resources.vcpu == shown_vcpu
    assert vm_view(vm).restart_required == (shown_vcpu == 1)
    assert vm_config_view(vm, "user").resources.vcpu == 4


def test_an_entry_of_the_history_has_the_fields_of_the_reference_in_its_order() -> None:
    changed = {"resources.vcpu": {"old": None, "new": 4}}
    change = ConfigChange(at=NOW, author="api", changes=changed, generation=2, request_id="r")
    view = shown(config_change_view(change))
    assert list(view) == ["timestamp", "changes", "author", "request_id", "generation"]
    assert (view["timestamp"], view["changes"]) == (CREATED, changed)
    created = ConfigChange(at=NOW, author="deployment", changes={"created": True}, generation=1)
    assert shown(config_change_view(created)) == {
        "timestamp": CREATED,
        "changes": {"created": True},
        "author": "deployment",
        "generation": 1,
    }


def test_a_config_shows_the_daemon_s_network_mode_when_none_was_asked_for() -> None:
    vm = a_vm(config=VMConfig(cloud_init=CloudInit()))
    assert shown(vm_config_view(vm, "bridge")) == {
        "resources": {"vcpu": 1, "memory_mb": 256},
        "network": {"mode": "bridge"},
        "cloud_init": {"enabled": True},
        "restart_required": False,
    }


def test_a_config_shows_what_was_asked_for() -> None:
    network = NetworkConfig(mode="bridge", bridge_name="volbr0")
    told = CloudInit(enabled=False, user_data="#cloud-config", meta_data="m", network_config="n")
    vm = a_vm(config=VMConfig(network=network, cloud_init=told, env={"A": "1"}))
    view = shown(vm_config_view(vm, "user"))
    assert view["network"] == {"mode": "bridge", "bridge_name": "volbr0"}
    assert view["cloud_init"] == {
        "enabled": False,
        "user_data": "#cloud-config",
        "meta_data": "m",
        "network_config": "n",
    }
    assert view["env"] == {"A": "1"}


def test_a_deployment_has_the_fields_of_the_reference_in_its_order() -> None:
    condition = Condition(type="available", status="true", reason="AllReady", last_update=NOW)
    status = DeploymentStatus(observed_generation=1, replicas=3, ready_replicas=3, conditions=(condition,))
    deployment = a_deployment("api", plugin="user-api", replicas=3, status=status)
    view = shown(deployment_view(deployment, ["api-1", "api-2", "api-3"], 3, "user"))
    reference = ["name", "plugin", "replicas", "ready_replicas", "vms", "created_at"]
    assert list(view)[:6] == reference
    assert [view[k] for k in reference] == ["api", "user-api", 3, 3, ["api-1", "api-2", "api-3"], CREATED]
    assert view["status"]["phase"] == "running"
    assert view["status"]["conditions"][0] | {"reason": ""} == {
        "type": "available",
        "status": "true",
        "last_update": CREATED,
        "reason": "",
        "observed_generation": 0,
    }
    assert view["scaling"] is False


def test_a_deployment_whose_spec_was_not_acted_on_yet_is_scaling() -> None:
    view = deployment_view(a_deployment(replicas=5), [], 0, "user")
    assert view.scaling
    assert view.vms == []


def test_the_vms_of_a_deployment_stand_in_the_order_of_their_ordinals() -> None:
    view = deployment_view(a_deployment("a"), ["a-10", "a-2", "a-1"], 0, "user")
    assert view.vms == ["a-1", "a-2", "a-10"]


def test_a_plugin_has_the_fields_of_the_reference_in_its_order() -> None:
    manifest = a_manifest("nginx-alpine", description="NGINX", resources=Resources(vcpu=1, memory_mb=256))
    view = shown(plugin_view(a_plugin("nginx-alpine", manifest=manifest)))
    reference = ["name", "version", "description", "workload", "resources", "installed_at"]
    assert list(view)[:6] == reference
    assert [view[k] for k in reference] == [
        "nginx-alpine",
        "1.0.0",
        "NGINX",
        {"type": "http", "port": 8080},
        {"vcpu": 1, "memory_mb": 256},
        CREATED,
    ]
    assert view["enabled"] is True


def test_a_plugin_shows_every_artifact_of_its_manifest() -> None:
    ready = Artifact(state="ready", digest="ab" * 32, size_bytes=7, url="http://user:secret@127.0.0.1/k")
    view = plugin_view(a_plugin(status=PluginStatus(artifacts={"kernel": ready})))
    assert shown(view)["artifacts"] == {
        "kernel": {"state": "ready", "digest": "ab" * 32, "size_bytes": 7},
        "initramfs": {"state": "pending"},
    }


def test_a_workload_without_a_port_says_its_type() -> None:
    assert shown(plugin_view(a_plugin(manifest=a_manifest(workload=Workload()))))["workload"] == {"type": "none"}


def test_system_information_has_the_reference_s_fields_and_a_null_go_version() -> None:
    stats = Stats(total_vms=12, running_vms=10, total_deployments=3, total_plugins=5)
    view = shown(system_view(FACTS, stats))
    assert list(view)[:7] == ["version", "commit", "build_date", "go_version", "platform", "stats", "resources"]
    assert view["go_version"] is None
    assert view["python_version"] == "3.11.2"
    assert view["stats"] == {"total_vms": 12, "running_vms": 10, "total_deployments": 3, "total_plugins": 5}
    assert view["resources"] == {"cpu_count": 8, "memory_total_mb": 16384, "memory_available_mb": 8192}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (AskedResources(), Resources(vcpu=2, memory_mb=512)),
        (AskedResources(vcpu=4), Resources(vcpu=4, memory_mb=512)),
        (AskedResources(memory_mb=64), Resources(vcpu=2, memory_mb=64)),
        (AskedResources(vcpu=1, memory_mb=128), Resources(vcpu=1, memory_mb=128)),
    ],
)
def test_what_is_not_asked_for_is_the_plugin_s(asked: AskedResources, expected: Resources) -> None:
    manifest = a_manifest(resources=Resources(vcpu=2, memory_mb=512))
    assert resolve(AskedConfig(resources=asked), manifest).resources == expected


def test_two_readers_of_one_revision_see_the_same() -> None:
    vm = a_vm(status=replace(VMStatus(), restarts=1), owner=owner_of(a_deployment("web")))
    assert msgspec.json.encode(vm_view(vm)) == msgspec.json.encode(vm_view(vm))
