"""What is exported of an object is right, says what the object is, and nothing that is so by itself."""

from __future__ import annotations

import msgspec
import pytest
from tests.builders.objects import a_deployment, a_plugin, a_vm

from volant.manifests import check, read_text, written
from volant.model.apply.documents import FORMS, given, live
from volant.model.apply.exported import exported
from volant.model.document import OpenApi
from volant.model.objects import Object
from volant.model.plugin import Manifest, Rootfs
from volant.model.vm import CloudInit, DiskConfig, NetworkConfig, Publish, Resources, VMConfig

LABELS = {"labels": {"app": "shop", "example.org/tier": "front"}, "annotations": {"note": "two\nlines"}}
CONFIG = VMConfig(
    resources=Resources(vcpu=2, memory_mb=512),
    network=NetworkConfig(mode="bridge", egress=(), publish=(Publish(guest_port=80, host_port=8080),)),
    cloud_init=CloudInit(enabled=True, user_data="#cloud-config\npackages: [nginx]\n"),
    env={"MODE": "no", "N": "1"},
    disks={"data": DiskConfig(size_mb=100)},
)
OPENAPI = OpenApi(document={"openapi": "3.0.3", "paths": {}, "info": {"title": "t", "x-nothing": None}})
MANIFEST = Manifest(name="pg", version="1.0", rootfs=Rootfs(url="file:///pg.raw", format="raw"), openapi=OPENAPI)

OBJECTS: list[Object] = [
    a_vm(),
    a_vm(meta=LABELS, config=CONFIG, power="stopped", grace_s=5.5, restart_policy="never"),
    a_deployment(),
    a_deployment(replicas=3, meta=LABELS, config=CONFIG, restart_policy="never"),
    a_plugin(),
    a_plugin("pg", manifest=MANIFEST, enabled=False),
]


@pytest.mark.parametrize("obj", OBJECTS)
def test_what_is_exported_is_the_object(obj: Object) -> None:
    document = msgspec.json.decode(msgspec.json.encode(exported(obj)))
    (said,) = read_text(written([document]), "f.yaml")
    assert said.value == document
    assert not check([said])
    told = given(msgspec.convert(said.value, FORMS[obj.meta.kind]))
    assert told.items() <= live(obj).items()


def test_a_manifest_of_a_plugin_is_kept_whole() -> None:
    spec = exported(OBJECTS[-1]).spec
    assert spec["openapi"]["document"] == OPENAPI.document
    assert spec["enabled"] is False


def test_what_is_so_by_itself_is_left_out() -> None:
    assert exported(a_vm(config=CONFIG)).spec.keys() == {"plugin", "config"}
    assert exported(a_deployment(config=CONFIG)).spec.keys() == {"plugin", "config", "replicas"}
