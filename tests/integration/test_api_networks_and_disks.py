"""Networks and disks in the config of a VM, over HTTP: what is kept, what is refused, and who has which port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.objects import a_manifest
from tests.builders.server import Served, serving

from volant.model.plugin import Rootfs
from volant.model.vm import DiskConfig

WEB = {"guest_port": 80, "host_port": 18080}
DISKY = a_manifest(rootfs=Rootfs(url="file:///root.qcow2", format="qcow2"), disks={"root": DiskConfig(size_mb=512)})


async def made(api: Served, name: str, **config: Any) -> Any:
    return await api.post("/vms", name=name, plugin="hello", config=config)


def path_of(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.text
    return [field["path"] for field in answer.json()["details"]["fields"]]


async def test_the_mode_is_settled_when_the_vm_is_made(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        assert (await made(api, "a")).json()["ip"] == "127.88.0.10"
        assert api.store.vm("a").spec.config.network.mode == "user"
        unattached = await made(api, "b", network={"mode": "none"})
        assert "ip" not in unattached.json()
        attached = await api.patch("/vms/b/config", network={"mode": "user"})
        assert attached.json()["network"] == {"mode": "user"}
        assert (await api.get("/vms/b")).json()["ip"] == "127.88.0.11"


async def test_a_published_port_is_kept_shown_and_ones_own(tmp_path: Path) -> None:
    """F4: bound to 127.0.0.1 unless said otherwise; a second VM is refused, with the name of the first."""
    async with serving(tmp_path) as api:
        await api.installed()
        assert (await made(api, "a", network={"publish": [WEB]})).status_code == 201
        config = (await api.get("/vms/a/config")).json()
        assert config["network"]["publish"] == [{"guest_port": 80, "host_port": 18080}]
        taken = await made(api, "b", network={"publish": [WEB]})
        assert (taken.status_code, taken.json()["code"]) == (409, "port_taken")
        assert taken.json()["details"] == {"name": "a", "host_ip": "127.0.0.1", "host_port": 18080}
        assert (await api.get("/vms/b")).status_code == 404
        other = await made(api, "b", network={"publish": [{**WEB, "host_ip": "127.0.0.9"}]})
        assert other.status_code == 201
        refused = await api.patch("/vms/b/config", network={"publish": [{**WEB, "host_ip": "0.0.0.0"}]})
        assert refused.json()["code"] == "port_taken"
        assert (await api.patch("/vms/a/config", network={"publish": None})).status_code == 200
        assert (await api.patch("/vms/b/config", network={"publish": [WEB]})).status_code == 200


@pytest.mark.parametrize(
    ("network", "path"),
    [
        ({"mode": "bridge"}, "/config/network/mode"),
        ({"egress": "all"}, "/config/network/egress"),
        ({"egress": ["10.0.0.0/8"]}, "/config/network/egress"),
        ({"publish": [{**WEB, "host_port": 80}]}, "/config/network/publish/0/host_port"),
        ({"publish": [WEB, WEB]}, "/config/network/publish/1/host_port"),
        ({"publish": [WEB, {**WEB, "host_ip": "0.0.0.0"}]}, "/config/network/publish/1/host_port"),
        ({"publish": [{**WEB, "host_ip": "999.1.1.1"}]}, "/config/network/publish/0/host_ip"),
        ({"publish": [{**WEB, "host_ip": "224.0.0.1"}]}, "/config/network/publish/0/host_ip"),
        ({"publish": [{**WEB, "host_port": 8080}]}, "/config/network/publish/0/host_port"),
        ({"publish": [{**WEB, "host_port": 0}]}, "/config/network/publish/0/host_port"),
        ({"mode": "none", "publish": [WEB]}, "/config/network/publish"),
    ],
)
async def test_a_network_that_no_vm_can_have_is_refused(tmp_path: Path, network: dict[str, Any], path: str) -> None:
    """F4, B7: with the path of the field; 8080 is the API's own here."""
    async with serving(tmp_path, api_port=8080) as api:
        await api.installed()
        assert path_of(await made(api, "a", network=network)) == [path]
        await made(api, "b")
        assert path_of(await api.patch("/vms/b/config", network=network)) == [path.removeprefix("/config")]
        assert (
            path_of(await api.post("/deployments", name="d", plugin="hello", config={"network": network})) == [path]
            or "publish" in path
        )


async def test_what_is_many_cannot_have_one_place_on_the_host(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        network = {"publish": [WEB]}
        answer = await api.post("/deployments", name="d", plugin="hello", config={"network": network})
        assert path_of(answer) == ["/config/network/publish"]
        manifest = {
            "name": "p",
            "version": "1",
            "kernel": {"url": "file:///k"},
            "initramfs": {"url": "file:///i"},
            "network": network,
        }
        assert path_of(await api.post("/plugins", **manifest)) == ["/network/publish"]


async def test_disks_are_the_plugins_and_the_vms(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed(manifest=DISKY)
        assert (await made(api, "a", disks={"data": {"size_mb": 100}})).status_code == 201
        config = (await api.get("/vms/a/config")).json()
        assert config["disks"] == {"root": {"size_mb": 512}, "data": {"size_mb": 100}}
        await api.runs("a")
        grown = (await api.patch("/vms/a/config", disks={"data": {"size_mb": 200}, "more": {"size_mb": 1}})).json()
        assert (grown["disks"]["data"], grown["restart_required"]) == ({"size_mb": 200}, True)
        fewer = (await api.patch("/vms/a/config", disks={"more": None})).json()
        assert set(fewer["disks"]) == {"root", "data"}


@pytest.mark.parametrize(
    ("disks", "path"),
    [
        ({"data": {}}, "/disks/data/size_mb"),
        ({"seed": {"size_mb": 1}}, "/disks/seed"),
        ({"data": {"size_mb": 0}}, "/disks/data/size_mb"),
        ({"root": {"size_mb": 511}}, "/disks/root/size_mb"),
        ({"Data": {"size_mb": 1}}, "/disks/Data"),
        ({"a,file=b": {"size_mb": 1}}, "/disks/a,file=b"),
        ({f"d{n}": {"size_mb": 1} for n in range(8)}, "/disks"),
    ],
)
async def test_a_disk_that_cannot_be_is_refused(tmp_path: Path, disks: dict[str, Any], path: str) -> None:
    """B3: nothing of a disk's name but a few letters ever reaches a command line; and a disk does not shrink."""
    async with serving(tmp_path) as api:
        await api.installed(manifest=DISKY)
        await made(api, "a")
        assert path_of(await api.patch("/vms/a/config", disks=disks)) == [path]
        if "root" not in disks:
            assert path_of(await made(api, "b", disks=disks)) == ["/config" + path]


async def test_a_guest_from_memory_has_no_root_disk(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        assert path_of(await made(api, "a", disks={"root": {"size_mb": 1}})) == ["/config/disks/root"]
        assert (await made(api, "a", disks={"data": {"size_mb": 1}})).status_code == 201


@pytest.mark.parametrize(
    ("cloud_init", "path"),
    [
        ({"meta_data": "- a list"}, "/cloud_init/meta_data"),
        ({"meta_data": "a: [b"}, "/cloud_init/meta_data"),
        ({"network_config": "just words"}, "/cloud_init/network_config"),
        ({"network_config": "a: !!python/object:os.system x"}, "/cloud_init/network_config"),
    ],
)
async def test_texts_that_no_guest_can_be_told_are_refused_and_not_repeated(
    tmp_path: Path, cloud_init: dict[str, str], path: str
) -> None:
    """E1, E5: at once, with the path of the field, and without a word of what stands there."""
    async with serving(tmp_path) as api:
        await api.installed()
        refused = await made(api, "a", cloud_init=cloud_init)
        assert path_of(refused) == ["/config" + path]
        assert not any(text in refused.text for text in cloud_init.values())
        assert (await made(api, "a", cloud_init={**cloud_init, "enabled": False})).status_code == 201
        assert path_of(await api.patch("/vms/a/config", cloud_init={"enabled": True})) == [path]


async def test_where_kvm_is_required_and_missing_no_vm_is_made(tmp_path: Path) -> None:
    """A14: said at the request, not by a VM that never starts."""
    async with serving(tmp_path, lacks_kvm=True) as api:
        await api.installed()
        deployment = {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"plugin": "hello"}}
        for answer in (
            await made(api, "a"),
            await api.post("/deployments", name="d", plugin="hello"),
            await api.post("/apply", set="s", objects=[deployment]),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "kvm_required")
