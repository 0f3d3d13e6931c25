"""Where a manifest may say that its guests' OpenAPI document is, and what counts as one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.builders.objects import a_manifest, a_plugin

from volant.api.body import decode_body
from volant.errors import Invalid
from volant.model.document import MAX_DEPTH, MAX_INLINE, OpenApi, rewritten, spelt_out
from volant.model.health import HealthCheck
from volant.model.objects import decode, encode
from volant.model.plugin import Manifest, Workload
from volant.model.vm import CloudInit, NetworkConfig
from volant.model.wire import plugin_view

DOCUMENT: dict[str, Any] = {"openapi": "3.0.3", "info": {"title": "web", "version": "1"}, "paths": {}}
ROOTFS = {"format": "raw", "url": "https://example.com/disk"}


def installed(**manifest: Any) -> Manifest:
    """The manifest of a body as `POST /plugins` reads it."""
    body = {"name": "web", "version": "1", "rootfs": ROOTFS, "workload": {"type": "http", "port": 80}, **manifest}
    return decode_body(msgspec.json.encode(body), Manifest, spelt_out)


def refused(**manifest: Any) -> tuple[str, str]:
    """The one field of the body that is wrong, and why."""
    with pytest.raises(Invalid) as refusal:
        installed(**manifest)
    (field,) = refusal.value.details["fields"]
    return field["path"], field["message"]


def nested(depth: int) -> dict[str, Any]:
    """A document that is so deep."""
    value: Any = {}
    for number in range(depth - 2):
        value = [value] if number % 2 else {"x": value}
    return {"openapi": "3.0.3", "x": value}


def test_a_document_in_the_manifest_is_kept_as_it_is() -> None:
    assert installed(openapi={"document": DOCUMENT}).openapi == OpenApi(document=DOCUMENT)


@pytest.mark.parametrize("document", [DOCUMENT, {"swagger": "2.0", "paths": {}}])
def test_a_bare_document_stands_for_one_in_the_manifest(document: dict[str, Any]) -> None:
    assert installed(openapi=document) == installed(openapi={"document": document})


@pytest.mark.parametrize("body", [None, [], 1, {}, {"openapi": None}, {"openapi": "x"}, {"openapi": {"path": "/x"}}])
def test_what_is_no_bare_document_is_left_alone(body: Any) -> None:
    assert spelt_out(body) is body


def test_a_file_of_the_initramfs_and_a_page_of_the_guest_are_told_apart() -> None:
    assert installed(openapi={"file": "/etc/api.json"}).openapi == OpenApi(file="/etc/api.json")
    served = installed(openapi={"path": "/openapi.json"})
    assert (served.openapi_port(), served.ports()) == (80, (80,))
    assert installed(openapi={"file": "/etc/api.json"}).openapi_port() is None


def test_the_port_of_the_document_is_published() -> None:
    manifest = installed(openapi={"path": "/api", "port": 9000}, health_check={"port": 9001})
    assert (manifest.openapi_port(), manifest.ports()) == (9000, (80, 9001, 9000))
    assert installed(workload={}, openapi={"path": "/api", "port": 9000}).ports() == (9000,)


@pytest.mark.parametrize(
    ("said", "where", "why"),
    [
        ({}, "/openapi", "exactly one of document, file and path, got none"),
        ({"document": None}, "/openapi", "got none"),
        ({"path": "/x", "file": "/y"}, "/openapi", "got file and path"),
        ({"path": "/x", "document": DOCUMENT}, "/openapi", "got document and path"),
        ({"file": "/x", "port": 80}, "/openapi/port", "only a document that the guest serves has one"),
        ({"document": {}}, "/openapi/document", "no string under 'openapi'"),
        ({"document": {"openapi": 3}}, "/openapi/document", "no string under 'openapi'"),
        ({"openapi": 3}, "/openapi/document", "no string under 'openapi'"),
        ({"document": nested(MAX_DEPTH + 1)}, "/openapi/document", "nested more than 128 deep"),
        ({"document": {**DOCUMENT, "x": "y" * MAX_INLINE}}, "/openapi/document", "larger than 262144 bytes"),
        ({"document": "openapi: 3.0.3"}, "/openapi/document", "Expected `object | null`, got `str`"),
        ("openapi: 3.0.3", "/openapi", "Expected `object | null`, got `str`"),
        ({"path": "x"}, "/openapi/path", "absolute path"),
        ({"path": "/a b"}, "/openapi/path", "absolute path"),
        ({"path": "/a\r\nHost: b"}, "/openapi/path", "absolute path"),
        ({"path": "/x", "port": 0}, "/openapi/port", ">= 1"),
        ({"url": "http://elsewhere/"}, "/openapi/url", "unknown field"),
        ({"files": "/x"}, "/openapi/files", "Did you mean 'file'?"),
        *(
            ({"file": path}, "/openapi/file", "absolute path inside the initramfs")
            for path in ("", "/", "etc/x", "/etc/", "/etc//x", "/../x", "/a/..", "/a/../b", "/./x", "/a\0b", "/a\nb")
        ),
    ],
)
def test_what_leads_nowhere_is_refused_where_it_stands(said: Any, where: str, why: str) -> None:
    path, message = refused(openapi=said)
    assert path == where
    assert why in message


@pytest.mark.parametrize("path", ["/a", "/etc/openapi.json", "/..a/b..", "/.hidden", "/a/...", "/ein name/é"])
def test_every_other_absolute_path_is_a_file(path: str) -> None:
    assert installed(openapi={"file": path}).openapi == OpenApi(file=path)


@pytest.mark.parametrize(
    ("manifest", "where"),
    [
        ({"workload": {"type": "tcp"}}, "/workload/port"),
        ({"workload": {}, "openapi": {"path": "/api"}}, "/openapi/port"),
        ({"workload": {}, "health_check": {}}, "/health_check"),
        ({"workload": {"type": "tcp", "port": 1}, "health_check": {"path": "/x"}}, "/health_check/path"),
        ({"initramfs": {"url": "https://example.com/i"}}, "/kernel"),
        ({"rootfs": None}, ""),
        ({"env": {f"V{n}": "x" * 8000 for n in range(5)}}, "/env"),
        ({"env": {"1A": "x"}}, "/env/1A"),
        ({"network": {"mode": "carrier pigeon"}}, "/network/mode"),
        ({"cloud_init": {"user_data": 1}}, "/cloud_init/user_data"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_named(manifest: dict[str, Any], where: str) -> None:
    assert refused(**manifest)[0] == where


def test_a_document_of_the_largest_size_and_depth_survives_the_store() -> None:
    space = MAX_INLINE - len(msgspec.json.encode({**DOCUMENT, "x": ""}))
    for document in (nested(MAX_DEPTH), {**DOCUMENT, "x": "y" * space}):
        plugin = a_plugin("web", manifest=installed(openapi=document))
        assert decode("Plugin", encode(plugin)) == plugin


def test_a_stored_plugin_is_decoded_once_and_a_changed_one_anew() -> None:
    one, other = encode(a_plugin("web")), encode(a_plugin("other"))
    assert decode("Plugin", bytes(bytearray(one))) is decode("Plugin", one)
    assert decode("Plugin", other) == a_plugin("other")


def test_a_plugin_stored_before_there_were_these_fields_is_read() -> None:
    plugin = a_plugin("web")
    doc = json.loads(encode(plugin))
    assert not {"openapi", "env", "cloud_init", "network"} & set(doc["spec"]["manifest"])
    read = decode("Plugin", msgspec.json.encode(doc))
    assert read == plugin


def test_a_plugin_is_shown_with_what_its_vms_get() -> None:
    manifest = a_manifest(
        openapi=OpenApi(path="/api"),
        health_check=HealthCheck(path="/ok"),
        network=NetworkConfig(mode="user"),
        cloud_init="#cloud-config",
        env={"A": "b"},
    )
    seen = json.loads(msgspec.json.encode(plugin_view(a_plugin(manifest=manifest))))
    assert seen["openapi"] == {"source": "path", "path": "/api", "port": 8080}
    assert seen["health_check"] == {"path": "/ok"}
    assert seen["network"] == {"mode": "user"}
    assert seen["cloud_init"] == {"enabled": True, "user_data": "#cloud-config"}
    assert (seen["env"], seen["enabled"]) == ({"A": "b"}, True)


def test_a_plugin_is_shown_without_its_document() -> None:
    manifest = a_manifest(openapi=OpenApi(document=DOCUMENT), cloud_init=CloudInit(enabled=False))
    seen = json.loads(msgspec.json.encode(plugin_view(a_plugin(manifest=manifest))))
    assert (seen["openapi"], seen["cloud_init"]) == ({"source": "document"}, {"enabled": False})
    plain = json.loads(msgspec.json.encode(plugin_view(a_plugin(manifest=a_manifest(workload=Workload())))))
    assert not {"openapi", "health_check", "network", "cloud_init", "env"} & set(plain)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"openapi: 3.0.3\n", "YAML is not read"),
        (b"<html>", "not JSON"),
        (b"[1]", "not an object"),
        (b'"openapi"', "not an object"),
        (b"{}", "no OpenAPI document"),
        (b'{"openapi": 3}', "no OpenAPI document"),
        (b'{"openapi": "3"} trailing', "not JSON"),
        (b'{"openapi": "3", "a": NaN}', "not JSON"),
        (b'{"openapi": "3", "a": "\xff"}', "not JSON"),
        (b'{"openapi": "3", "a": "\\ud800"}', "not JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"openapi": "3", "a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested more than 128 deep"),
    ],
)
def test_what_is_no_document_is_told_why(raw: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rewritten(raw)


def test_a_document_is_written_anew() -> None:
    assert rewritten(b'\xef\xbb\xbf {"openapi" : "3.1.0",\n "a":"<\\u002fscript>" }') == (
        b'{"openapi":"3.1.0","a":"</script>"}'
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=4))
def test_a_document_keeps_its_meaning(parts: dict[str, Any]) -> None:
    document = {**parts, "openapi": "3.0.3"}
    raw = json.dumps(document).encode()
    try:
        assert json.loads(rewritten(raw)) == document
    except ValueError as error:
        # Numbers that no reader can be trusted with.
        assert "not JSON" in str(error)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: b'{"openapi":"3",' + text.encode()))
@example(b'{"openapi":"3","a":' + b"9" * 5000 + b"}")
@example(b'{"openapi":"3","a":1e400}')
def test_whatever_comes_is_a_document_or_none(raw: bytes) -> None:
    try:
        again = rewritten(raw)
    except ValueError:
        return
    assert rewritten(again) == again
