"""What the client sends, and what it makes of answers, whoever gave them. Without a connection."""

from __future__ import annotations

import pytest

from volant.client import ApiError, Client, NoAnswer, NotReached
from volant.client import operations as op
from volant.client.call import Answer, Call, asked, at, failure, outcome
from volant.client.failures import How
from volant.errors import Invalid
from volant.model.requests import NewVM

VM = (
    b'{"name":"web","status":"running","plugin":"p","created_at":"2025-01-15T10:00:00Z","resources":{"vcpu":1,"memory_mb":64},'
    b'"uid":"u","generation":1,"revision":2,"restart_policy":"always","restart_required":false,"restarts":0%b}'
)


def answer(status: int = 200, body: bytes = VM % b"", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize("name", ["../plugins/hello", "a/b", ".", "..", "", "a?x=1", "a#b", "ä", "a b"])
def test_a_name_is_one_step_of_the_path_whatever_is_in_it(name: str) -> None:
    path = at("vms", name)
    assert path.count("/") == 4
    assert not set(path.rpartition("/")[2]) & set("?#. ")
    assert path.rpartition("/")[2]


def test_what_was_not_said_is_not_sent() -> None:
    assert asked(q=None, force=True, names=("a", "b"), limit=3) == {"force": "true", "names": "a,b", "limit": "3"}


def test_only_a_create_gets_a_key_and_a_given_one_is_kept() -> None:
    create = op.create_vm(NewVM(name="a", plugin="p")).with_key(lambda: "fresh")
    assert create.headers == {"content-type": "application/json", "idempotency-key": "fresh"}
    assert op.create_vm({"name": "a"}, idempotency_key="mine").with_key(lambda: "fresh").key == "mine"
    assert op.start_vm("a").with_key(lambda: "fresh").key is None


def test_only_what_cannot_be_done_twice_is_sent_again() -> None:
    lost, busy, wrong = NoAnswer("lost"), ApiError(503, "unavailable", ""), ApiError(400, "invalid", "")
    create = op.create_vm({}).with_key(lambda: "k")
    assert op.get_vm("a").may_repeat(lost)
    assert create.may_repeat(lost)
    assert create.may_repeat(busy)
    assert create.may_repeat(ApiError(409, "idempotency_in_progress", ""))
    assert not create.may_repeat(wrong)
    for call in (op.stop_vm("a"), op.delete_vm("a"), op.patch_config("a", {})):
        assert not call.may_repeat(lost)


def test_an_answer_may_take_as_long_as_it_was_asked_to_wait() -> None:
    assert op.get_vm("a").bound_s is None
    assert op.create_vm({}).bound_s is None
    assert op.create_vm({}, wait="none").bound_s is None
    assert op.create_vm({}, wait="ready", timeout_s=300).bound_s == 310
    assert (op.stop_vm("a").bound_s or 0) > 3600  # the longest grace period
    assert op.stop_vm("a", wait="none").bound_s is None
    assert op.wait_for_vm("a", "ready", timeout_s=0.5).query["timeout"] == "0.500s"


def test_fields_that_are_not_known_yet_are_passed_over() -> None:
    assert outcome(op.get_vm("web"), answer(body=VM % b',"of_tomorrow":{"a":1}')).name == "web"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name":1}', b"\xff"])
def test_an_answer_that_cannot_be_understood_is_none(body: bytes) -> None:
    with pytest.raises(NoAnswer, match="cannot understand"):
        outcome(op.get_vm("web"), answer(body=body))


@pytest.mark.parametrize("body", [b"", b"Bad gateway", b"[1]", b'{"code":1}', b'"x"', b"\xff\xfe", b"null"])
def test_a_refusal_of_somebody_else_is_an_error_all_the_same(body: bytes) -> None:
    error = failure(answer(502, body))
    assert (error.status, error.code, error.fields) == (502, "not_volant", [])


def test_a_refusal_says_which_fields_are_wrong() -> None:
    said = (
        b'{"error":"cannot","code":"invalid","details":{"fields":[{"path":"/a","message":"no"}, 3]},"request_id":"r"}'
    )
    error = failure(answer(400, said))
    assert (error.message, error.request_id, error.fields) == ("cannot", "r", [{"path": "/a", "message": "no"}])
    assert failure(answer(400, b'{"error":"x","code":"y","details":[]}')).fields == []


@pytest.mark.parametrize("how", ["timeout", "failed", "stopping"])
def test_a_write_that_did_not_get_there_is_done_and_says_so(how: How) -> None:
    with pytest.raises(NotReached) as caught:
        outcome(op.start_vm("web", wait="ready"), answer(volant_wait=how))
    assert (caught.value.how, caught.value.object.name) == (how, "web")


def test_a_delete_is_none_when_nothing_is_left() -> None:
    assert outcome(op.delete_vm("web"), answer(204, b"")) is None
    left = outcome(op.delete_vm("web", wait="none"), answer(202))
    assert left is not None


@pytest.mark.parametrize(
    "link",
    [
        '<http://192.0.2.1/api/v1/vms?continue=x>; rel="next"',
        '<//192.0.2.1/api/v1/vms>; rel="next"',
        '</other>; rel="next"',
        '</api/v1/vms>; rel="prev"',
    ],
)
def test_a_list_leads_nowhere_else(link: str) -> None:
    with pytest.raises(NoAnswer, match="next page"):
        outcome(op.list_vms(), answer(body=b"[]", link=link))


def test_a_list_says_where_it_goes_on() -> None:
    link = '</api/v1/vms?limit=1&continue=a-_b>; rel="next"'
    page = outcome(op.list_vms(), answer(body=b"[]", link=link, x_total_count="7", volant_revision="9"))
    assert (page.total, page.revision, page.following) == (7, 9, "/api/v1/vms?limit=1&continue=a-_b")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://a", "http://", "http://user:secret@a", "http://a?x", "http://a b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="address of a daemon"):
        Client(url)


def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names would see every request."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client("http://127.0.0.1:8080/behind/") as client:
        assert client.url == "http://127.0.0.1:8080/behind"
        http = client._sender.http
        assert not http.trust_env
        assert not http._mounts
        assert not http.follow_redirects


def test_a_call_reads_what_it_says_it_reads() -> None:
    call: Call[int] = Call(method="GET", path="/x", read=lambda found: found.status)
    assert outcome(call, answer(204, b"")) == 204
