"""`?fields=` cuts out what was named, as it was encoded, and refuses what leads nowhere."""

from __future__ import annotations

import msgspec
import pytest

from volant.api.fields import projection
from volant.errors import Invalid
from volant.model.views import DeploymentView, PluginView, VMView

VM = {
    "name": "web-1",
    "status": "running",
    "ip": "127.88.0.10",
    "resources": {"vcpu": 2, "memory_mb": 256},
    "labels": {"app": "wéb", "volant.dev/pool.a": "1"},
    "endpoints": [{"address": "127.0.0.1", "port": 1, "guest_port": 80}, {"address": "b", "port": 2, "guest_port": 81}],
    "conditions": [],
}
PLUGIN = {"name": "hello", "artifacts": {"kernel": {"state": "ready", "digest": "d"}, "rootfs": {"state": "error"}}}


def _cut(fields: str, view: type[msgspec.Struct] = VMView, body: object = VM) -> object:
    return msgspec.json.decode(projection(fields, view).of(msgspec.json.encode(body)))


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("name", {"name": "web-1"}),
        ("ip,name", {"name": "web-1", "ip": "127.88.0.10"}),
        (" name , status ", {"name": "web-1", "status": "running"}),
        ("name,name", {"name": "web-1"}),
        ("resources.vcpu", {"resources": {"vcpu": 2}}),
        ("resources", {"resources": {"vcpu": 2, "memory_mb": 256}}),
        ("resources.vcpu,resources", {"resources": {"vcpu": 2, "memory_mb": 256}}),
        ("resources,resources.vcpu", {"resources": {"vcpu": 2, "memory_mb": 256}}),
        ("labels.app", {"labels": {"app": "wéb"}}),
        ("labels.volant.dev/pool.a", {"labels": {"volant.dev/pool.a": "1"}}),
        ("labels.other", {"labels": {}}),
        ("endpoints.port", {"endpoints": [{"port": 1}, {"port": 2}]}),
        ("conditions.type", {"conditions": []}),
        ("health.status", {}),
        ("pid", {}),
    ],
)
def test_what_was_named_is_left(fields: str, left: object) -> None:
    assert _cut(fields) == left


def test_keys_stand_in_the_order_of_the_whole() -> None:
    assert projection("status,name", VMView).of(msgspec.json.encode(VM)) == b'{"name":"web-1","status":"running"}'


def test_parts_of_what_users_named_are_found() -> None:
    assert _cut("artifacts.kernel.state", PluginView, PLUGIN) == {"artifacts": {"kernel": {"state": "ready"}}}
    assert _cut("artifacts.rootfs", PluginView, PLUGIN) == {"artifacts": {"rootfs": {"state": "error"}}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("nam", "unknown field 'nam'. Did you mean 'name'?"),
        ("resources.vcpus", "unknown field 'resources.vcpus'. Did you mean 'resources.vcpu'?"),
        ("zzz", "unknown field 'zzz'"),
        ("", "unknown field ''"),
        ("name,", "unknown field ''"),
        ("resources.", "unknown field 'resources.'"),
        ("name.first", "'name' has no parts"),
        ("resources,resources.nope", "unknown field 'resources.nope'"),
        ('labels.a"b', "unknown field 'labels.a\"b'"),
        ("labels.a\\b", "unknown field 'labels.a\\b'"),
        ("labels.\x00", "unknown field 'labels.\x00'"),
        ("conditions.0", "unknown field 'conditions.0'"),
    ],
)
def test_what_leads_nowhere_is_refused(fields: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        projection(fields, VMView)
    assert refused.value.details["fields"][0] == {"path": "?fields", "message": said}


def test_every_path_that_leads_nowhere_is_told() -> None:
    with pytest.raises(Invalid) as refused:
        projection("replica,plugn,name", DeploymentView)
    assert [field["message"] for field in refused.value.details["fields"]] == [
        "unknown field 'replica'. Did you mean 'replicas'?",
        "unknown field 'plugn'. Did you mean 'plugin'?",
    ]
