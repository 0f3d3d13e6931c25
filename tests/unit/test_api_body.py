"""Bodies and query strings: what is accepted, and how each mistake is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from volant.api.body import MAX_ERRORS, decode_body, decode_query
from volant.errors import Invalid
from volant.model.plugin import Manifest
from volant.model.queries import Force, NoQuery, VMQuery
from volant.model.requests import NewDeployment, NewVM, Scale

REFERENCE_MANIFEST = {
    "name": "my-app",
    "version": "1.0.0",
    "description": "My custom application",
    "workload": {"type": "http", "port": 8080},
    "resources": {"vcpu": 2, "memory_mb": 512},
    "rootfs": {
        "format": "qcow2",
        "url": "https://plugins.example.com/my-app-1.0.0.qcow2",
        "checksum": "sha256:abc123...",
    },
}


def refused(raw: Any, cls: type[Any] = NewVM) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decode_body(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), cls)
    return caught.value


def paths(error: Invalid) -> dict[str, str]:
    return {field["path"]: field["message"] for field in error.details["fields"]}


def a_new_vm(**fields: Any) -> dict[str, Any]:
    return {"name": "web-1", "plugin": "hello", **fields}


def test_the_reference_s_body_is_accepted() -> None:
    body = a_new_vm(
        config={
            "resources": {"vcpu": 2, "memory_mb": 512},
            "cloud_init": {"user_data": "#cloud-config\npackages:\n  - curl"},
        }
    )
    asked = decode_body(json.dumps(body).encode(), NewVM)
    assert asked.config.resources.vcpu == 2
    assert asked.config.cloud_init is not None


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert decode_body(b'{"replicas": 47.0}', Scale).replicas == 47


@pytest.mark.parametrize("replicas", ["1e9", "1000000000", "-1", "1.5", '"3"', "true", "null", "[]", "10001", "1e300"])
def test_a_replica_count_that_is_none_is_refused_with_its_path(replicas: str) -> None:
    """G10"""
    assert list(paths(refused(b'{"replicas": %b}' % replicas.encode(), Scale))) == ["/replicas"]


@pytest.mark.parametrize(
    ("resources", "path"),
    [
        ({"memory_mb": -1}, "/config/resources/memory_mb"),
        ({"memory_mb": 31}, "/config/resources/memory_mb"),
        ({"vcpu": 0}, "/config/resources/vcpu"),
        ({"vcpu": 1.5}, "/config/resources/vcpu"),
        ({"vcpu": "2"}, "/config/resources/vcpu"),
        ({"vcpu": None}, "/config/resources/vcpu"),
    ],
)
def test_a_resource_out_of_range_is_refused_with_its_path(resources: dict[str, Any], path: str) -> None:
    """G10"""
    error = refused(a_new_vm(config={"resources": resources}))
    assert list(paths(error)) == [path]
    assert error.message.startswith(f"cannot accept {path}: ")


def test_every_bad_field_is_told_at_once() -> None:
    """A9, A10"""
    error = refused(
        {"name": "No!", "config": {"resources": {"vcpu": 0, "memory_mb": "x"}, "network": {"mode": "warp"}}}
    )
    assert set(paths(error)) == {
        "/name",
        "/plugin",
        "/config/resources/vcpu",
        "/config/resources/memory_mb",
        "/config/network/mode",
    }
    assert paths(error)["/plugin"] == "missing"
    assert paths(error)["/config/network/mode"] == "expected one of: user, bridge, dhcp, none"
    assert paths(error)["/name"].startswith("expected: A DNS label")


def test_an_unknown_field_is_refused_with_the_one_that_was_meant() -> None:
    """A10"""
    error = refused(a_new_vm(config={"resources": {"memory_mib": 512}}))
    assert paths(error) == {"/config/resources/memory_mib": "unknown field. Did you mean 'memory_mb'?"}


def test_a_status_cannot_be_written() -> None:
    """V5"""
    assert "/status" in paths(refused(a_new_vm(status="running")))
    assert "/status" in paths(refused({"replicas": 1, "status": {}}, Scale))


@pytest.mark.parametrize("name", ["web\n", "", "-a", "a-", "A", "a.b", "a/b", "..", "a" * 64, "a\x00b", "ä", "a b"])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    """G11"""
    assert "/name" in paths(refused(a_new_vm(name=name)))


def test_a_deployment_s_name_leaves_room_for_its_vms() -> None:
    assert decode_body(b'{"name":"%b","plugin":"p"}' % (b"a" * 57), NewDeployment).name == "a" * 57
    assert "/name" in paths(refused({"name": "a" * 58, "plugin": "p"}, NewDeployment))


def test_the_reference_s_own_manifest_is_refused_for_its_checksum_only() -> None:
    error = refused(REFERENCE_MANIFEST, Manifest)
    assert paths(error) == {"/rootfs/checksum": "expected: 'sha256:' followed by 64 lower-case hexadecimal digits."}


def test_with_a_real_checksum_the_reference_s_manifest_is_accepted() -> None:
    rootfs = {**REFERENCE_MANIFEST["rootfs"], "checksum": "sha256:" + "ab" * 32}  # type: ignore[dict-item]
    assert decode_body(json.dumps({**REFERENCE_MANIFEST, "rootfs": rootfs}).encode(), Manifest).name == "my-app"


def test_a_rule_about_the_whole_manifest_has_the_whole_as_its_path() -> None:
    error = refused({"name": "a", "version": "1"}, Manifest)
    assert paths(error) == {"": "a plugin needs an initramfs or a rootfs"}
    assert error.message == "cannot accept the body: a plugin needs an initramfs or a rootfs"


@pytest.mark.parametrize("url", ["ftp://h/x", "/etc/passwd", "http://h/a b", "javascript:1", "http://h/x\n", ""])
def test_an_address_that_nothing_can_be_fetched_from_is_refused(url: str) -> None:
    body = {"name": "a", "version": "1", "rootfs": {"format": "raw", "url": url}}
    assert "/rootfs/url" in paths(refused(body, Manifest))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"name": "a", "plugin": "p", "name": "b"}', "/name"),
        (b'{"name": "a", "plugin": "p", "config": {"resources": {"vcpu": 1, "vcpu": 64}}}', "/config/resources/vcpu"),
        (b'{"name": "a", "plugin": "p", "labels": {"a/b": "1", "a/b": "2"}}', "/labels/a~1b"),
    ],
)
def test_a_key_given_twice_is_refused_with_its_path(raw: bytes, path: str) -> None:
    """G7"""
    assert paths(refused(raw)) == {path: "given twice"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        "{}".encode("utf-16"),
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """G7"""
    assert refused(raw).code == "malformed_json"


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"', b"[" * 500 + b"]" * 500])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    """G7"""
    assert list(paths(refused(raw))) == [""]


def test_too_many_labels_are_refused() -> None:
    """G7"""
    labels = {f"k{i}": "v" for i in range(10_000)}
    assert list(paths(refused(a_new_vm(labels=labels)))) == ["/labels"]


def test_a_body_made_of_mistakes_names_a_few() -> None:
    """G7"""
    error = refused({f"field{i}": i for i in range(50_000)})
    assert len(error.details["fields"]) == MAX_ERRORS


def test_query_parameters_have_types() -> None:
    query = decode_query(b"limit=50&offset=3&status=running&plugin=a%20b", VMQuery)
    assert (query.limit, query.offset, query.status, query.plugin) == (50, 3, "running", "a b")
    assert decode_query(b"force=true", Force).force
    assert not decode_query(b"force=0", Force).force


@pytest.mark.parametrize(
    ("raw", "cls", "path"),
    [
        (b"limit=x", VMQuery, "?limit"),
        (b"limit=-1", VMQuery, "?limit"),
        (b"limit=", VMQuery, "?limit"),
        (b"limit=99999999999999999999", VMQuery, "?limit"),
        (b"offset=1.5", VMQuery, "?offset"),
        (b"status=flying", VMQuery, "?status"),
        (b"status=null", VMQuery, "?status"),
        (b"stauts=running", VMQuery, "?stauts"),
        (b"limit=1&limit=2", VMQuery, "?limit"),
        (b"force=maybe", Force, "?force"),
        (b"dry_run=true", NoQuery, "?dry_run"),
        (b"plugin=%ff", VMQuery, "?"),
        (b"a=1" + b"&b=2" * 100, VMQuery, "?"),
    ],
)
def test_a_bad_query_parameter_is_refused_with_its_name(raw: bytes, cls: type[Any], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_query(raw, cls)
    assert list(paths(caught.value)) == [path]


@pytest.mark.parametrize(
    ("labels", "path", "said"),
    [
        ({"A b!": "x"}, "/labels/A b!", "Letters, digits"),
        ({"a/b/c": "x"}, "/labels/a~1b~1c", "Letters, digits"),
        ({"": "v"}, "/labels/", "Letters, digits"),
        ({"a\n": "v"}, "/labels/a\n", "Letters, digits"),
        ({"a": "v" * 64}, "/labels/a", "<= 63"),
        ({"a": "é"}, "/labels/a", "Printable"),
        ({"ok": "x", "a": 1}, "/labels/a", "got `int`"),
        ({"a": "b\n"}, "/labels/a", "Printable"),
        ({f"k{number}": "v" for number in range(65)}, "/labels", "<= 64"),
    ],
)
def test_a_member_of_a_mapping_is_named_by_its_key(labels: dict[str, object], path: str, said: str) -> None:
    """B1: the field's path leads to the label that is wrong."""
    body = json.dumps({"name": "a", "plugin": "b", "labels": labels}).encode()
    with pytest.raises(Invalid) as caught:
        decode_body(body, NewVM)
    [field] = caught.value.details["fields"]
    assert field["path"] == path
    assert said in field["message"]
