"""What hostile and broken clients ask for, on a real socket to a real daemon: section G of the security checklist.

Each case is a row of a table: bytes, and what they must be answered with. After every one of them the daemon is alive
and ready, has made nothing, and has not allowed another site to read anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.builders.daemon import daemon
from tests.builders.raw_http import exchange, poured, request
from tests.builders.target import BASE, MIB, SOURCE, VMS, Target, vm


@pytest.fixture(scope="module")
def fired_at(tmp_path_factory: pytest.TempPathFactory, record_testsuite_property: Any) -> Iterator[Target]:
    """One daemon for all of them."""
    with daemon(tmp_path_factory.mktemp("fired-at") / "data", "--hypervisor", "simulated") as running:
        target = Target(running)
        yield target
        record_testsuite_property("slowest_answer", target.slowest)


@pytest.fixture
def target(fired_at: Target) -> Iterator[Target]:
    """The daemon, checked afterwards."""
    yield fired_at
    fired_at.check()


def nested(depth: int) -> bytes:
    """A body as deep as that."""
    return b'{"name": ' + b"[" * depth + b"]" * depth + b"}"


WIDE = {"openapi": "3.0.3", "x": [{} for _ in range(200_000)]}

BODIES = {
    "nothing": (b"", "malformed_json"),
    "not an object": (b"[]", "invalid"),
    "depth 1,000": (nested(1_000), "malformed_json"),
    "depth 900": (b'{"config": ' * 450 + b"[]" + b"}" * 450, "invalid"),
    "depth 100,000": (nested(100_000), "malformed_json"),
    "unclosed, depth 1,000,000": (b"[" * 1_000_000, "malformed_json"),
    "10,000 labels": (vm(labels={f"k{n}": "v" for n in range(10_000)}), "invalid"),
    "100,000 unknown fields": (json.dumps({f"f{n}": 1 for n in range(60_000)}).encode(), "invalid"),
    "a key of a megabyte": (json.dumps({"k" * 1_000_000: 1}).encode(), "invalid"),
    "a name of a megabyte": (vm(name="a" * 1_000_000), "invalid"),
    "a label of a megabyte": (vm(labels={"a" * 900_000: "v"}), "invalid"),
    "20,000 variables": (vm(config={"env": {f"k{n}": "v" for n in range(20_000)}}), "invalid"),
    "a list of 400,000": (b'{"name": [' + b"1," * 400_000 + b"1]}", "invalid"),
    "a key given 100,000 times": (b"{" + b'"a": 1,' * 100_000 + b'"a": 1}', "invalid"),
    "30,000 fields that are nearly right": (
        json.dumps({f"restart_poli{n}": 1 for n in range(30_000)}).encode(),
        "invalid",
    ),
    "1e400": (b'{"name": "a", "plugin": "p", "grace_s": 1e400}', "malformed_json"),
    "NaN": (b'{"name": "a", "plugin": "p", "grace_s": NaN}', "malformed_json"),
    "100,000 digits": (b'{"name": "a", "plugin": "p", "grace_s": ' + b"1" * 100_000 + b"}", "malformed_json"),
    "duplicate keys": (b'{"name": "a", "name": "b", "plugin": "p"}', "invalid"),
    "invalid UTF-8": (b'{"name": "\xff\xfe", "plugin": "p"}', "malformed_json"),
    "overlong UTF-8": (b'{"name": "\xc0\xaf", "plugin": "p"}', "malformed_json"),
    "a lone surrogate": (b'{"name": "\\ud800", "plugin": "p"}', "malformed_json"),
    "NUL in a name": (b'{"name": "a\\u0000", "plugin": "p"}', "invalid"),
    "a line break after a name": (vm(name="a\n"), "invalid"),
    "dots for a name": (vm(name=".."), "invalid"),
    "UTF-16": (vm().decode().encode("utf-16"), "malformed_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + vm(), "malformed_json"),
    "something after the end": (vm() + b"{}", "malformed_json"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(1_000), "malformed_json"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_wrong_is_a_400(target: Target, case: str) -> None:
    """G7"""
    body, code = BODIES[case]
    reply = target.ask(request("POST", VMS, body=body))
    assert (reply.status, reply.code) == (400, code), reply.body[:200]


@pytest.mark.parametrize("document", [WIDE, {"openapi": "3.0.3", "x": json.loads("[" * 200 + "]" * 200)}])
def test_a_document_that_is_too_large_or_too_deep_is_a_400(target: Target, document: Any) -> None:
    """G7"""
    manifest = {"name": "q", "version": "1", "kernel": SOURCE, "initramfs": SOURCE, "openapi": {"document": document}}
    reply = target.ask(request("POST", f"{BASE}/plugins", body=json.dumps(manifest).encode()))
    assert (reply.status, reply.code) == (400, "invalid")


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "\xe4"])
def test_an_idempotency_key_is_short_and_printable(target: Target, key: str) -> None:
    """G7"""
    reply = target.ask(request("POST", f"{VMS}/nope/start", f"Idempotency-Key: {key}"))
    assert (reply.status, reply.code) == (400, "invalid")


@pytest.mark.parametrize("resume", ["-1", "9" * 16, "9" * 15, "abc", "\xb2", "1e9"])
def test_a_revision_that_was_never_given_is_refused(target: Target, resume: str) -> None:
    """G7"""
    assert target.ask(request("GET", f"{BASE}/events", f"Last-Event-ID: {resume}")).status == 400


def test_a_body_of_100_mb_that_says_so_is_refused_before_it_is_sent(target: Target) -> None:
    """G7"""
    head = request("POST", VMS, "Content-Length: 104857600", "Content-Type: application/json")
    assert target.ask(head).status == 413
    reply, _ = poured(target.address, head, MIB, 100)
    assert target.seen(reply, head).code == "too_large"


def test_a_body_of_100_mb_in_chunks_is_refused_at_the_first_too_many(target: Target) -> None:
    """G7"""
    head = request("POST", VMS, "Transfer-Encoding: chunked", "Content-Type: application/json")
    reply, _ = poured(target.address, head, b"100000\r\n" + MIB + b"\r\n", 100)
    assert (target.seen(reply, head).status, reply.code) == (413, "too_large")


NO_COUNTS: list[Any] = [1e9, -1, 2.5, "3", None, True, [1], 10**30]
NO_SIZES: list[Any] = [-1, 0, 1.5, "2", None, True, {}, 10**9, 10**30]
HUGE: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/deployments", {"name": "d", "plugin": "p", "replicas": value}) for value in NO_COUNTS
] + [
    ("POST", "/vms", {"name": "a", "plugin": "p", "config": {"resources": {field: value}}})
    for field in ("vcpu", "memory_mb")
    for value in NO_SIZES
]


@pytest.mark.parametrize(("method", "path", "body"), HUGE, ids=lambda value: json.dumps(value)[-60:])
def test_a_number_out_of_range_is_a_400(target: Target, method: str, path: str, body: Any) -> None:
    """G10"""
    reply = target.ask(request(method, BASE + path, body=json.dumps(body).encode()))
    assert (reply.status, reply.code) == (400, "invalid")
    assert reply.json["details"]["fields"]


PATHS = [
    ("..", 404, "vm_not_found"),
    ("%2e%2e", 404, "vm_not_found"),
    ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "not_found"),
    ("../../../etc/passwd", 404, "not_found"),
    ("..%5c..%5c", 404, "vm_not_found"),
    ("%00", 404, "vm_not_found"),
    ("a%00b", 404, "vm_not_found"),
    ("%0d%0aSet-Cookie:%20a=b", 404, "vm_not_found"),
    ("%ff%fe", 404, "vm_not_found"),
    ("%ed%a0%80", 404, "vm_not_found"),
    ("%", 404, "vm_not_found"),
    ("%zz", 404, "vm_not_found"),
    ("a" * 60_000, 404, "vm_not_found"),
    ("a" * 100_000, 431, "head_too_large"),
    ("a" * 10_000_000, 431, "head_too_large"),
    ("'%20OR%201=1--", 404, "vm_not_found"),
    ("{{7*7}}", 404, "vm_not_found"),
    ("//", 404, "not_found"),
    ("*", 404, "vm_not_found"),
    ("a/../../plugins/p", 404, "not_found"),
    ("a;b", 404, "vm_not_found"),
]


@pytest.mark.parametrize(("name", "status", "code"), PATHS, ids=[name[:40] for name, _, _ in PATHS])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_name_in_the_path_is_a_name_and_nothing_else(
    target: Target, method: str, name: str, status: int, code: str
) -> None:
    """G11"""
    reply = target.ask(request(method, f"{VMS}/{name}"))
    assert (reply.status, reply.code) == (status, code)


QUERIES = [
    ("?" + "a" * 60_000, 400),
    ("?" + "a" * 100_000, 431),
    ("?" + "&".join(f"a{n}=1" for n in range(1_000)), 400),
    ("?limit=1&limit=2", 400),
    ("?limit=1e400", 400),
    ("?limit=-1", 400),
    ("?limit=" + "9" * 5_000, 400),
    ("?limit=%00", 400),
    ("?plugin=%ff", 400),
    ("?nonsense=1", 400),
    ("?label_selector=" + "a," * 30_000, 400),
    ("?label_selector=" + "(" * 30_000, 400),
    ("?label_selector=a" + "+" * 4_000 + "!", 400),
    ("?label_selector=%00", 400),
    ("?fields=" + "a." * 1_000, 400),
    ("?fields=__class__", 400),
    ("?sort=name;DROP", 400),
    ("?continue=" + "A" * 500, 400),
    ("?continue=%00%ff", 400),
    ("?continue=%C3%A9", 400),
    ("?owner=%00", 200),
    ("?q=%25%5f%2a", 200),
]


@pytest.mark.parametrize(("query", "status"), QUERIES, ids=[query[:30] for query, _ in QUERIES])
def test_a_query_that_is_wrong_is_refused(target: Target, query: str, status: int) -> None:
    """G11"""
    assert target.ask(request("GET", VMS + query)).status == status


SITES = [
    (request("GET", VMS, host="evil.example"), 403, "host_not_allowed"),
    (request("GET", VMS, host="127.0.0.1.evil.example"), 403, "host_not_allowed"),
    (request("GET", VMS, host="localhost\r\nHost: evil.example"), 400, "invalid"),
    (request("GET", VMS, host="evil.example\r\nHost: localhost"), 400, "invalid"),
    (request("GET", f"http://evil.example{VMS}", host="evil.example"), 403, "host_not_allowed"),
    (request("GET", "/healthz", host="evil.example"), 403, "host_not_allowed"),
    (request("GET", "/nowhere", host="evil.example"), 403, "host_not_allowed"),
    (request("POST", VMS, "Origin: http://evil.example", body=vm()), 403, "origin_not_allowed"),
    (request("POST", VMS, "Origin: null", body=vm()), 403, "origin_not_allowed"),
    (request("POST", VMS, "Origin: http://localhost:3000", body=vm()), 403, "origin_not_allowed"),
    (request("DELETE", f"{VMS}/a", "Origin: http://evil.example"), 403, "origin_not_allowed"),
    (request("POST", VMS, "Origin: http://evil.example", "Content-Type: text/plain", body=vm()), 403, None),
    (request("POST", VMS, "Content-Type: text/plain", body=vm()), 415, "unsupported_media_type"),
    (request("POST", VMS, "Content-Type: application/x-www-form-urlencoded", body=vm()), 415, "unsupported_media_type"),
    (request("POST", VMS, "Content-Type: text/plain; a=application/json", body=vm()), 415, "unsupported_media_type"),
    (request("OPTIONS", VMS, "Origin: http://evil.example", "Access-Control-Request-Method: POST"), 405, None),
]


@pytest.mark.parametrize(("sent", "status", "code"), SITES, ids=[sent[:60].decode() for sent, _, _ in SITES])
def test_another_site_s_page_gets_nothing(target: Target, sent: bytes, status: int, code: str | None) -> None:
    """G2"""
    reply = target.ask(sent)
    assert reply.status == status
    assert code is None or reply.code == code


def test_no_answer_allows_another_site_to_read_it(target: Target) -> None:
    """G2: `ask` looks for it in every answer; here are the ones that succeed."""
    for path in (VMS, f"{BASE}/plugins/p", f"{BASE}/system/info", "/readyz"):
        assert target.ask(request("GET", path, "Origin: http://evil.example")).status == 200


def test_an_error_is_a_problem_document_for_who_asks_for_one(target: Target) -> None:
    """RFC 9457, also where nothing has been routed yet."""
    accept = "Accept: application/problem+json"
    asked = [
        (request("GET", f"{VMS}/nope", accept), 404),
        (request("GET", "/nowhere", accept), 404),
        (request("PUT", VMS, accept), 405),
        (request("GET", VMS, accept, host="evil.example"), 403),
        (request("POST", VMS, accept, "Content-Length: 104857600", "Content-Type: application/json"), 413),
        (request("GET", VMS, accept, "X: " + "a" * 70_000), 431),
    ]
    for sent, status in asked:
        reply = exchange(target.address, sent)[0]
        assert reply.status == status
        assert reply.headers["content-type"] == "application/problem+json"
        document = reply.json
        assert document["status"] == status
        assert document["type"] == f"urn:volant:error:{document['code']}"
        assert document["detail"] == document["error"]
        assert document["request_id"] == reply.headers["x-request-id"]
