"""Servers that lie, stall and point elsewhere, over real sockets: refused, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.artifact_server import LOOPBACK, Behaviour, Server, Writer, answer, head, redirect, serving
from tests.builders.tls import server_context

from volant.clock import SystemClock
from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver
from volant.images.cache import ArtifactCache
from volant.images.fetch import Fetcher, FetchPolicy

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HERE = ("127.0.0.0/8",)
NEVER = 3600.0
BRIEF = 0.3


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The cache's directory. No test leaves an unfinished file in it."""
    yield tmp_path / "cache"
    assert list((tmp_path / "cache").glob("tmp-*")) == []


def a_cache(root: Path, *, resolver: Resolver | None = None, tls: object = None, **policy: object) -> ArtifactCache:
    """A cache that may ask loopback, with limits that a test does not reach by itself."""
    limits = FetchPolicy(**{"allow": HERE, "total_s": 30.0, "idle_s": 30.0, **policy})  # type: ignore[arg-type]
    seams = {key: value for key, value in (("resolver", resolver), ("tls", tls)) if value is not None}
    source = Fetcher(limits, clock=SystemClock(), **seams)  # type: ignore[arg-type]
    return ArtifactCache(root, clock=SystemClock(), source=source)


def names(**known: str | list[str]) -> Resolver:
    """A resolver that knows these names (`files_test` is `files.test`) and the addresses themselves."""
    table = {name.replace("_", "."): [found] if isinstance(found, str) else found for name, found in known.items()}

    async def resolver(host: str, port: int) -> list[str]:
        return table.get(host, [host])

    return resolver


async def refusal(cache: ArtifactCache, url: str, checksum: str | None = DIGEST) -> ArtifactError:
    """Why not. The cache holds nothing afterwards."""
    with pytest.raises(ArtifactError) as caught:
        await cache.ensure(url, checksum)
    assert list(cache.digests()) == []
    return caught.value


async def test_an_honest_artifact_is_kept_under_its_digest(root: Path) -> None:
    async with serving(answer(CONTENT)) as server:
        found = await a_cache(root).ensure(server.url(), DIGEST)
    assert (found.digest, found.size_bytes, found.path.read_bytes()) == (DIGEST, len(CONTENT), CONTENT)
    assert found.path == root / "sha256" / DIGEST
    assert found.path.stat().st_mode & 0o777 == 0o444


async def test_a_wrong_digest_is_refused_and_both_are_told(root: Path) -> None:
    """C5."""
    async with serving(answer(b"something else")) as server:
        error = await refusal(a_cache(root), server.url())
    assert isinstance(error, ArtifactRefused)
    assert error.details == {"expected": DIGEST, "actual": hashlib.sha256(b"something else").hexdigest()}


def cut_off(content: bytes, **headers: str) -> Behaviour:
    async def behave(path: str, writer: Writer) -> None:
        writer.write(head(**headers) + content)

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        cut_off(CONTENT[:1000], content_length=str(len(CONTENT))),
        cut_off(b"3e8\r\n" + CONTENT[:1000] + b"\r\n", transfer_encoding="chunked"),
        cut_off(b"zz\r\n", transfer_encoding="chunked"),
        cut_off(b"", **{f"x-{n}": "y" * 1000 for n in range(500)}),
    ],
    ids=["short", "short chunks", "no chunk", "huge head"],
)
async def test_an_answer_that_breaks_off_is_worth_another_try(root: Path, behaviour: Behaviour) -> None:
    """C5, D5."""
    async with serving(behaviour) as server:
        assert isinstance(await refusal(a_cache(root), server.url(), None), ArtifactUnavailable)


async def test_a_connection_without_an_answer_is_worth_another_try(root: Path) -> None:
    async def behave(path: str, writer: Writer) -> None:
        writer.write(b"\x16\x03\x01 what is this\r\n\r\n")

    async with serving(behave) as server:
        assert isinstance(await refusal(a_cache(root), server.url(), None), ArtifactUnavailable)


async def endless(path: str, writer: Writer) -> None:
    writer.write(head())
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


async def test_an_endless_answer_ends_at_the_limit(root: Path) -> None:
    """D5."""
    async with serving(endless) as server:
        error = await refusal(a_cache(root, max_bytes=1 << 20), server.url(), None)
    assert isinstance(error, ArtifactRefused)
    assert "larger than 1048576 bytes" in error.message


async def test_an_answer_that_announces_too_much_is_not_read(root: Path) -> None:
    async def behave(path: str, writer: Writer) -> None:
        writer.write(head(content_length=str(1 << 40)))
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(behave) as server:
        assert isinstance(await refusal(a_cache(root, max_bytes=1 << 20), server.url(), None), ArtifactRefused)


async def test_an_artifact_of_exactly_the_limit_is_taken(root: Path) -> None:
    async with serving(answer(CONTENT)) as server:
        assert (await a_cache(root, max_bytes=len(CONTENT)).ensure(server.url(), DIGEST)).digest == DIGEST


def dribble(opening: bytes) -> Behaviour:
    """A few bytes at a time, always in time for the idle limit and never done."""

    async def behave(path: str, writer: Writer) -> None:
        writer.write(opening)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    return behave


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 200 OK\r\nx: ", head()], ids=["status line", "header", "body"])
async def test_a_server_that_dribbles_is_given_up_in_the_end(root: Path, opening: bytes) -> None:
    """D5."""
    async with serving(dribble(opening)) as server:
        error = await refusal(a_cache(root, total_s=BRIEF, idle_s=NEVER), server.url(), None)
    assert isinstance(error, ArtifactUnavailable)
    assert "not done in 0.3 s" in error.message


async def test_interim_answers_without_end_are_given_up_in_the_end(root: Path) -> None:
    """D5."""

    async def behave(path: str, writer: Writer) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            await writer.drain()

    async with serving(behave) as server:
        error = await refusal(a_cache(root, total_s=BRIEF, idle_s=NEVER), server.url(), None)
    assert isinstance(error, ArtifactUnavailable)


async def test_the_body_of_a_redirect_is_not_read(root: Path) -> None:
    """D4, D5: however long it is."""

    async def behave(path: str, writer: Writer) -> None:
        if path == "/there":
            await answer(CONTENT)(path, writer)
            return
        writer.write(head("302 Found", location="/there"))
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()

    async with serving(behave) as server:
        assert (await a_cache(root, max_bytes=len(CONTENT)).ensure(server.url(), DIGEST)).digest == DIGEST


@pytest.mark.parametrize("opening", [b"", head() + b"a few bytes"], ids=["no answer", "no more"])
async def test_a_server_that_falls_silent_is_given_up_soon(root: Path, opening: bytes) -> None:
    """D5."""

    async def behave(path: str, writer: Writer) -> None:
        writer.write(opening)
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(behave) as server:
        error = await refusal(a_cache(root, total_s=NEVER, idle_s=BRIEF), server.url(), None)
    assert isinstance(error, ArtifactUnavailable)
    assert "silent for too long" in error.message


async def test_a_server_that_is_not_there_is_worth_another_try(root: Path) -> None:
    async with serving(answer(b"")) as server:
        url = server.url()
    error = await refusal(a_cache(root), url)
    assert isinstance(error, ArtifactUnavailable)
    assert "cannot connect" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("404 Not Found", ArtifactRefused),
        ("403 Forbidden", ArtifactRefused),
        ("206 Partial Content", ArtifactRefused),
        ("204 No Content", ArtifactRefused),
        ("304 Not Modified", ArtifactRefused),
        ("503 Service Unavailable", ArtifactUnavailable),
        ("429 Too Many Requests", ArtifactUnavailable),
    ],
)
async def test_any_other_status_is_an_error_that_repeats_nothing(
    root: Path, status: str, kind: type[ArtifactError]
) -> None:
    """D7."""
    async with serving(answer(b"internal secret", status)) as server:
        error = await refusal(a_cache(root), server.url("/a?token=secret"), None)
    assert type(error) is kind
    assert "secret" not in error.message + str(error.details)
    assert status[:3] in error.message


async def test_bytes_are_taken_as_served_and_asked_for_without_encoding(root: Path) -> None:
    packed = gzip.compress(CONTENT)
    async with serving(answer(packed, content_encoding="gzip")) as server:
        found = await a_cache(root).ensure(server.url(), None)
    assert found.digest == hashlib.sha256(packed).hexdigest()
    assert server.headers[0]["accept-encoding"] == "identity"


async def test_a_few_redirects_are_followed(root: Path) -> None:
    """D4."""

    async def behave(path: str, writer: Writer) -> None:
        left = int(path[1:])
        await (redirect(f"/{left - 1}") if left else answer(CONTENT))(path, writer)

    async with serving(behave) as server:
        assert (await a_cache(root).ensure(server.url("/5"), DIGEST)).digest == DIGEST
        assert server.asked == ["/5", "/4", "/3", "/2", "/1", "/0"]
        await a_cache(root).remove(DIGEST)
        error = await refusal(a_cache(root), server.url("/6"))
    assert isinstance(error, ArtifactRefused)
    assert "more than 5 redirects" in error.message


@pytest.mark.parametrize(
    "to",
    [
        *("http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://2130706433:{port}/"),
        *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://internal.test:{port}/"),
        *("file:///etc/passwd", "ftp://files.test/", "http://user:secret@files.test:{port}/", "http://[broken"),
    ],
)
async def test_a_redirect_is_vetted_like_the_first_url(root: Path, to: str) -> None:
    """D4: only the name `files.test` is allowed here, none of the addresses."""
    resolver = names(files_test=LOOPBACK, internal_test="10.1.2.3", localhost=LOOPBACK, **{"2130706433": LOOPBACK})
    target: list[str] = []

    async def behave(path: str, writer: Writer) -> None:
        await redirect(target[0])(path, writer)

    async with serving(behave) as server:
        target.append(to.format(port=server.port))
        error = await refusal(a_cache(root, allow=("files.test",), resolver=resolver), server.url(host="files.test"))
        assert len(server.asked) == 1
    assert isinstance(error, ArtifactRefused)
    assert not [part for part in ("secret", "internal", "169.254", "etc") if part in error.message]


async def test_a_redirect_to_a_name_that_nobody_knows_does_not_repeat_it(root: Path) -> None:
    """D7: what a server calls its neighbours is not told to whoever may write a manifest."""

    async def resolver(host: str, port: int) -> list[str]:
        return [LOOPBACK] if host == "files.test" else []

    async with serving(redirect("http://db.internal.test/")) as server:
        error = await refusal(a_cache(root, resolver=resolver), server.url(host="files.test"))
    assert isinstance(error, ArtifactUnavailable)
    assert "internal" not in error.message


async def test_a_name_that_moves_between_two_hops_is_vetted_again(root: Path) -> None:
    """D3, D4: the second answer for the same name leads elsewhere."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    async with serving(redirect("/again")) as server:
        error = await refusal(a_cache(root, resolver=rebinding), server.url(host="files.test"))
        assert server.asked == ["/artifact"]
    assert isinstance(error, ArtifactRefused)


async def test_a_cookie_of_one_hop_is_not_shown_to_the_next(root: Path) -> None:
    """D4, D6: what is connected to are addresses, and two names may have the same one."""

    async def behave(path: str, writer: Writer) -> None:
        if path == "/artifact":
            writer.write(head("302 Found", content_length="0", location="/there", set_cookie="session=secret; path=/"))
        else:
            await answer(CONTENT)(path, writer)

    async with serving(behave) as server:
        await a_cache(root).ensure(server.url(), DIGEST)
        assert not [headers for headers in server.headers if "cookie" in headers]


@pytest.mark.parametrize("url", ["http://files.test/x", "http://169.254.169.254/", "http://[::1]/", "http://0/"])
async def test_an_address_that_is_not_public_is_not_asked(root: Path, url: str) -> None:
    """D2, D3: the name resolves to a private address."""
    resolver = names(files_test="10.9.8.7", **{"0": "0.0.0.0"})
    error = await refusal(a_cache(root, allow=(), resolver=resolver), url)
    assert isinstance(error, ArtifactRefused)
    assert "10.9.8.7" not in error.message


async def test_one_private_address_among_public_ones_is_refused_unasked(root: Path) -> None:
    """D3."""
    async with serving(answer(CONTENT)) as server:
        resolver = names(files_test=["93.184.216.34", LOOPBACK])
        error = await refusal(a_cache(root, allow=(), resolver=resolver), server.url(host="files.test"))
        assert server.asked == []
    assert isinstance(error, ArtifactRefused)


async def test_the_vetted_address_is_the_one_connected_to(root: Path) -> None:
    """D3: a name is looked up once for a connection, so a second answer never counts."""
    answers = iter([[LOOPBACK], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    async with serving(answer(CONTENT)) as server:
        await a_cache(root, resolver=rebinding).ensure(server.url(host="files.test"), DIGEST)
        assert server.hosts == [f"files.test:{server.port}"]
    assert next(answers) == ["10.0.0.1"]


async def test_the_next_address_is_tried_when_one_does_not_answer(root: Path) -> None:
    async with serving(answer(CONTENT)) as server:
        resolver = names(files_test=["127.88.1.1", "127.88.1.2", LOOPBACK])
        found = await a_cache(root, resolver=resolver).ensure(server.url(host="files.test"), DIGEST)
    assert found.digest == DIGEST


@pytest.mark.parametrize("url", ["ftp://files.test/x", "data:,x", "gopher://files.test/", "unix:///run/x", "", "x"])
async def test_other_schemes_are_refused(root: Path, url: str) -> None:
    """D1."""
    assert isinstance(await refusal(a_cache(root), url), ArtifactRefused)


async def test_credentials_in_a_url_are_refused_unsaid(root: Path) -> None:
    """D6."""
    async with serving(answer(CONTENT)) as server:
        error = await refusal(a_cache(root), server.url(host=f"user:secret@{LOOPBACK}"))
        assert server.asked == []
    assert isinstance(error, ArtifactRefused)
    assert "secret" not in error.message


async def test_proxies_of_the_environment_are_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.88.1.9:9")
    async with serving(answer(CONTENT)) as server:
        assert (await a_cache(root).ensure(server.url(), DIGEST)).digest == DIGEST


async def with_tls(
    root: Path, tmp_path: Path, proves: str, asked: str, use: Callable[[ArtifactCache, Server], object]
) -> None:
    """Run `use` with a server that proves to be one name, asked by another."""
    server_side, client_side = server_context(proves)
    async with serving(answer(CONTENT), tls=server_side) as server:
        cache = a_cache(root, resolver=names(**{asked.replace(".", "_"): LOOPBACK}), tls=client_side)
        await use(cache, server)  # type: ignore[misc]


async def test_tls_is_checked_against_the_name_though_the_address_is_connected_to(root: Path, tmp_path: Path) -> None:
    async def use(cache: ArtifactCache, server: Server) -> None:
        assert (await cache.ensure(server.url(host="files.test"), DIGEST)).digest == DIGEST

    await with_tls(root, tmp_path, "files.test", "files.test", use)


async def test_a_certificate_for_another_name_is_not_taken(root: Path, tmp_path: Path) -> None:
    async def use(cache: ArtifactCache, server: Server) -> None:
        error = await refusal(cache, server.url(host="files.test"))
        assert isinstance(error, ArtifactUnavailable)
        assert "certificate" in error.message
        assert server.asked == []

    await with_tls(root, tmp_path, "other.test", "files.test", use)


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(root: Path, tmp_path: Path) -> None:
    server_side, _ = server_context("files.test")
    async with serving(answer(CONTENT), tls=server_side) as server:
        error = await refusal(a_cache(root, resolver=names(files_test=LOOPBACK)), server.url(host="files.test"))
    assert isinstance(error, ArtifactUnavailable)
    assert "certificate" in error.message


async def test_a_redirect_from_https_to_http_is_refused(root: Path, tmp_path: Path) -> None:
    """D4."""
    server_side, client_side = server_context("files.test")
    async with serving(answer(CONTENT)) as plain, serving(redirect(plain.url()), tls=server_side) as secure:
        cache = a_cache(root, resolver=names(files_test=LOOPBACK), tls=client_side)
        error = await refusal(cache, secure.url(host="files.test"))
        assert plain.asked == []
    assert isinstance(error, ArtifactRefused)
    assert "from https to http" in error.message
