"""Published ports: what may not be taken from the host, from the API and from other VMs (F4).

A real daemon with real drivers; no guest has to run, because all this is said before one starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, until

FREE = 30_080
SOURCE = {"url": "file:///nonexistent"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon on the user network, with a plugin that is never ready."""
    directory = tmp_path_factory.mktemp("ports")
    with daemon(directory / "data", artifact_root=directory) as found:
        found.post("/plugins", {"name": "p", "version": "1", "kernel": SOURCE, "initramfs": SOURCE})
        yield found


@pytest.fixture
def ask(running: RunningDaemon) -> Iterator[Any]:
    """`POST /vms` with these published ports. What was made is gone afterwards."""
    made: list[str] = []

    def post(*publish: dict[str, Any], name: str = "a", **network: Any) -> Any:
        config = {"network": {"publish": list(publish), **network}}
        reply = running.api.post("/vms", json={"name": name, "plugin": "p", "config": config})
        if reply.status_code == 201:
            made.append(name)
        return reply

    yield post
    for name in made:
        running.delete(f"/vms/{name}")


def at(host_port: int, host_ip: str | None = None, guest_port: int = 80) -> dict[str, Any]:
    where = {"guest_port": guest_port, "host_port": host_port}
    return where if host_ip is None else {**where, "host_ip": host_ip}


def refused(reply: Any, path: str) -> None:
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid"), reply.text
    assert [field["path"] for field in reply.json()["details"]["fields"]] == [path]


def api_port(running: RunningDaemon) -> int:
    return int(running.url.rpartition(":")[2])


@pytest.mark.parametrize("port", [1, 22, 53, 80, 443, 1023])
@pytest.mark.parametrize("address", [None, "0.0.0.0", "127.0.0.9"])
def test_a_port_of_the_privileged_is_not_published(ask: Any, port: int, address: str | None) -> None:
    """F4"""
    refused(ask(at(port, address)), "/config/network/publish/0/host_port")


@pytest.mark.parametrize("address", [None, "127.0.0.1", "0.0.0.0"])
def test_the_port_of_the_api_is_not_published(running: RunningDaemon, ask: Any, address: str | None) -> None:
    """F4: neither by a new VM nor by a change of an old one."""
    port = api_port(running)
    refused(ask(at(FREE), at(port, address)), "/config/network/publish/1/host_port")
    assert ask(at(FREE)).status_code == 201
    reply = running.api.patch("/vms/a/config", json={"network": {"publish": [at(port, address)]}})
    refused(reply, "/network/publish/0/host_port")


TWICE = [
    ("127.0.0.1", None),
    ("127.0.0.1", "127.0.0.1"),
    ("0.0.0.0", "127.0.0.1"),
    ("127.0.0.2", "0.0.0.0"),
]


@pytest.mark.parametrize(("one", "two"), TWICE)
def test_a_place_is_published_once(ask: Any, one: str, two: str | None) -> None:
    """F4: within a VM 400, between two of them 409; every address is as good as any."""
    refused(ask(at(FREE, one), at(FREE, two, 81)), "/config/network/publish/1/host_port")
    assert ask(at(FREE, one)).status_code == 201
    reply = ask(at(FREE, two), name="b")
    assert (reply.status_code, reply.json()["code"]) == (409, "port_taken")
    assert reply.json()["details"]["name"] == "a"


def test_two_addresses_are_two_places(ask: Any) -> None:
    """F4: or the above would only show that nothing is published."""
    assert ask(at(FREE, "127.0.0.2"), at(FREE, "127.0.0.3"), at(FREE + 1, "127.0.0.2")).status_code == 201
    assert ask(at(FREE), name="b").status_code == 201


def test_a_place_is_free_again_when_its_vm_lets_go_of_it(running: RunningDaemon, ask: Any) -> None:
    """F4: by a change of its config as much as by its end."""
    assert ask(at(FREE)).status_code == 201
    assert ask(at(FREE), name="b").status_code == 409
    assert running.api.patch("/vms/a/config", json={"network": {"publish": []}}).status_code == 200
    assert ask(at(FREE), name="b").status_code == 201


ADDRESSES = ["localhost", "::1", "127.1", "0x7f.0.0.1", "127.0.0.01", "127.0.0.1 ", "127.0.0.1\n", "1.2.3", "224.0.0.1"]
STRANGE = ["", "127.0.0.1,hostfwd=tcp::22-:22", "-", "0.0.0.0/0", "[::]", "*", "\u0661.0.0.1"]


@pytest.mark.parametrize("address", [*ADDRESSES, *STRANGE])
def test_what_is_no_address_is_not_published_on(ask: Any, address: str) -> None:
    """F4, B6, B7"""
    refused(ask(at(FREE, address)), "/config/network/publish/0/host_ip")


@pytest.mark.parametrize("port", [0, -1, 65536, 1.5, "80", None, True, 10**30])
@pytest.mark.parametrize("field", ["host_port", "guest_port"])
def test_what_is_no_port_is_not_published(ask: Any, field: str, port: Any) -> None:
    """F4, B7"""
    refused(ask({**at(FREE), field: port}), f"/config/network/publish/0/{field}")


def test_no_more_than_so_many_are_published(ask: Any) -> None:
    """F4"""
    refused(ask(*(at(FREE + n) for n in range(33))), "/config/network/publish")


def test_an_address_that_the_host_has_not_is_said(running: RunningDaemon) -> None:
    """F4: the guest does not start, and who reads its status knows why."""
    for name in ("kernel", "initramfs"):
        (running.data_dir.parent / name).write_bytes(b"x")
    source = {name: {"url": (running.data_dir.parent / name).as_uri()} for name in ("kernel", "initramfs")}
    running.post("/plugins", {"name": "q", "version": "1", **source})
    until("q is ready", lambda: running.get("/plugins/q").get("conditions", [{}])[0].get("status") == "true")
    config = {"network": {"publish": [at(FREE, "192.0.2.1")]}}
    running.post("/vms", {"name": "far", "plugin": "q", "config": config})
    until("it is said", lambda: "cannot publish 192.0.2.1" in running.api.get("/vms/far").text)
    running.delete("/vms/far")
    running.delete("/plugins/q")


def test_a_plugin_publishes_nothing_of_its_own(running: RunningDaemon) -> None:
    """F4: two VMs of it could not have the same place."""
    manifest = {"name": "r", "version": "1", "kernel": SOURCE, "initramfs": SOURCE, "network": {"publish": [at(FREE)]}}
    refused(running.api.post("/plugins", json=manifest), "/network/publish")


def test_two_replicas_publish_nothing(running: RunningDaemon) -> None:
    """F4: the same place twice."""
    body = {"name": "d", "plugin": "p", "replicas": 2, "config": {"network": {"publish": [at(FREE)]}}}
    refused(running.api.post("/deployments", json=body), "/config/network/publish")


@pytest.mark.parametrize("egress", ["public", "all", ["10.0.0.0/8"], ["0.0.0.0/0"]])
def test_the_user_network_opens_nothing(ask: Any, egress: Any) -> None:
    """F1, F2: without the restriction a guest would reach the host's own loopback, the API included."""
    refused(ask(egress=egress), "/config/network/egress")


@pytest.mark.parametrize(
    "network", [["10.0.0.0/33"], ["10.0.0.1/8"], ["x/8"], ["::/129"], ["1.2.3.4"], [""], "some", 1]
)
def test_an_egress_that_is_none_is_refused(ask: Any, network: Any) -> None:
    """F2, B7"""
    reply = ask(egress=network)
    assert reply.status_code == 400
    assert reply.json()["details"]["fields"][0]["path"].startswith("/config/network/egress")


@pytest.mark.parametrize("mode", ["bridge", "dhcp"])
def test_a_bridge_that_nobody_set_up_is_not_offered(ask: Any, mode: str) -> None:
    """B7: and no name of an interface of the host is as good as any."""
    refused(ask(mode=mode, bridge_name="eth0"), "/config/network/mode")


@pytest.mark.parametrize(
    "rest", ["agent", "exec", "qmp", "monitor", "serial", "proxy/80/", "ports/80", "init", "agent.sock"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "CONNECT"])
def test_no_path_of_the_api_leads_to_what_controls_a_guest(
    running: RunningDaemon, ask: Any, method: str, rest: str
) -> None:
    """E9: its agent and its VMM are reached by sockets in a directory of the daemon's own, and by nothing else."""
    assert ask().status_code == 201
    assert running.api.request(method, f"/vms/a/{rest}").status_code in (404, 405)
