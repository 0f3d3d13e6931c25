"""The artifact cache: fetched once, whole or not at all, found again after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.artifact_server import Behaviour, Writer, answer, head, serving

from volant.clock import SystemClock
from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable, StartupError
from volant.images.cache import Artifact, ArtifactCache
from volant.images.fetch import FetchPolicy
from volant.images.http import Announce, Sink

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MANY = 20


def a_cache(root: Path, **policy: object) -> ArtifactCache:
    """A cache that may ask loopback."""
    return ArtifactCache(root, policy=FetchPolicy(**{"allow": ("127.0.0.0/8",), **policy}), clock=SystemClock())  # type: ignore[arg-type]


def held(behaviour: Behaviour, until: asyncio.Event) -> Behaviour:
    """The same, but not before."""

    async def behave(path: str, writer: Writer) -> None:
        await until.wait()
        await behaviour(path, writer)

    return behave


def unfinished(root: Path) -> list[Path]:
    """Files of fetches that are not over."""
    return list(root.glob("tmp-*"))


async def outcomes(
    cache: ArtifactCache, url: str, checksum: str | None, then: asyncio.Event
) -> list[Artifact | type[ArtifactError]]:
    """What many are told who ask at the same time; the server answers once all have asked."""
    found: list[Artifact | type[ArtifactError]] = []

    async def one() -> None:
        try:
            found.append(await cache.ensure(url, checksum))
        except ArtifactError as error:
            found.append(type(error))

    async with asyncio.TaskGroup() as group:
        for _ in range(MANY):
            group.create_task(one())
        await asyncio.sleep(0)
        then.set()
    return found


@pytest.mark.parametrize("checksum", [DIGEST, None], ids=["digest known", "digest unknown"])
async def test_many_who_ask_at_once_cause_one_fetch(tmp_path: Path, checksum: str | None) -> None:
    then = asyncio.Event()
    async with serving(held(answer(CONTENT), then)) as server:
        found = await outcomes(a_cache(tmp_path), server.url(), checksum, then)
        assert len(server.asked) == 1
    assert found == [Artifact(path=tmp_path / "sha256" / DIGEST, digest=DIGEST, size_bytes=len(CONTENT))] * MANY


async def test_a_failure_is_told_to_all_who_asked_at_once(tmp_path: Path) -> None:
    then = asyncio.Event()
    async with serving(held(answer(b"other"), then)) as server:
        found = await outcomes(a_cache(tmp_path), server.url(), DIGEST, then)
        assert len(server.asked) == 1
    assert found == [ArtifactRefused] * MANY


async def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    replies = iter([answer(b"", "503 Busy"), answer(CONTENT)])

    async def behave(path: str, writer: Writer) -> None:
        await next(replies)(path, writer)

    cache = a_cache(tmp_path)
    async with serving(behave) as server:
        with pytest.raises(ArtifactUnavailable):
            await cache.ensure(server.url(), DIGEST)
        assert (await cache.ensure(server.url(), DIGEST)).digest == DIGEST


async def test_when_the_one_who_fetches_is_cancelled_another_goes_on(tmp_path: Path) -> None:
    asked, then = asyncio.Event(), asyncio.Event()

    async def behave(path: str, writer: Writer) -> None:
        asked.set()
        await held(answer(CONTENT), then)(path, writer)

    cache = a_cache(tmp_path)
    async with serving(behave) as server, asyncio.TaskGroup() as group:
        first = group.create_task(cache.ensure(server.url(), DIGEST))
        await asked.wait()
        second = group.create_task(cache.ensure(server.url(), DIGEST))
        await asyncio.sleep(0)
        first.cancel()
        then.set()
        assert (await second).digest == DIGEST
    assert first.cancelled()
    assert len(server.asked) == 2
    assert unfinished(tmp_path) == []


async def test_one_who_waits_may_be_cancelled_without_harm(tmp_path: Path) -> None:
    asked, then = asyncio.Event(), asyncio.Event()

    async def behave(path: str, writer: Writer) -> None:
        asked.set()
        await held(answer(CONTENT), then)(path, writer)

    cache = a_cache(tmp_path)
    async with serving(behave) as server, asyncio.TaskGroup() as group:
        first = group.create_task(cache.ensure(server.url(), DIGEST))
        await asked.wait()
        second = group.create_task(cache.ensure(server.url(), DIGEST))
        await asyncio.sleep(0)
        second.cancel()
        then.set()
        assert (await first).digest == DIGEST
        assert len(server.asked) == 1


async def test_a_present_digest_is_not_fetched_again_after_a_restart(tmp_path: Path) -> None:
    async with serving(answer(CONTENT)) as server:
        first = await a_cache(tmp_path).ensure(server.url(), DIGEST)
        assert await a_cache(tmp_path).ensure(server.url("/elsewhere"), DIGEST) == first
        assert len(server.asked) == 1


async def test_a_removed_file_is_fetched_again(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    async with serving(answer(CONTENT)) as server:
        await cache.ensure(server.url(), DIGEST)
        assert (cache.has(DIGEST), list(cache.digests())) == (True, [DIGEST])
        await cache.remove(DIGEST)
        await cache.remove(DIGEST)
        assert (cache.has(DIGEST), list(cache.digests())) == (False, [])
        await cache.ensure(server.url(), DIGEST)
        assert len(server.asked) == 2


async def test_two_urls_with_the_same_content_are_one_file(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    async with serving(answer(CONTENT)) as server:
        assert await cache.ensure(server.url("/a"), None) == await cache.ensure(server.url("/b"), None)
    assert list(cache.digests()) == [DIGEST]


async def test_what_a_crash_left_is_swept_and_a_fetch_under_way_is_not(tmp_path: Path) -> None:
    asked, then = asyncio.Event(), asyncio.Event()

    async def behave(path: str, writer: Writer) -> None:
        writer.write(head(content_length=str(len(CONTENT))) + CONTENT[:1000])
        asked.set()
        await then.wait()
        writer.write(CONTENT[1000:])

    cache = a_cache(tmp_path)
    (tmp_path / "tmp-left").write_bytes(CONTENT[:10])
    async with serving(behave) as server, asyncio.TaskGroup() as group:
        under_way = group.create_task(cache.ensure(server.url(), DIGEST))
        await asked.wait()
        assert len(unfinished(tmp_path)) == 2
        assert await cache.sweep() == 1
        then.set()
        assert (await under_way).digest == DIGEST
    assert await cache.sweep() == 0
    assert unfinished(tmp_path) == []


async def test_a_cancelled_fetch_leaves_nothing(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def behave(path: str, writer: Writer) -> None:
        writer.write(head() + CONTENT)
        asked.set()
        await asyncio.Event().wait()

    async with serving(behave) as server, asyncio.TaskGroup() as group:
        fetch = group.create_task(a_cache(tmp_path).ensure(server.url(), None))
        await asked.wait()
        fetch.cancel()
    assert fetch.cancelled()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Failing:
    """Bytes that come, and then a disk that takes no more."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def fetch(self, url: str, sink: Sink, announce: Announce) -> None:
        announce(len(CONTENT))
        await sink(CONTENT)
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "Input/output error")],
)
async def test_a_full_disk_is_worth_another_try(tmp_path: Path, number: int, said: str) -> None:
    """C7"""
    cache = ArtifactCache(tmp_path, clock=SystemClock(), source=Failing(number))
    with pytest.raises(ArtifactUnavailable, match=f"cannot keep http://x.test/a in the cache: .*{said}"):
        await cache.ensure("http://x.test/a?secret", None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_the_rest_of_a_disk_is_left_to_others(tmp_path: Path) -> None:
    """C7: a server that sends and sends does not take the room that the database writes to."""
    async with serving(answer(CONTENT)) as server:
        with pytest.raises(ArtifactUnavailable, match="less than 1099511627776 MiB would be left"):
            await a_cache(tmp_path, spare_bytes=1 << 60).ensure(server.url(), DIGEST)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel itself refuses to write more into a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


async def test_a_write_that_the_kernel_refuses_leaves_nothing(tmp_path: Path) -> None:
    """C7"""
    async with serving(answer(CONTENT)) as server:
        with files_no_larger_than(100_000), pytest.raises(ArtifactUnavailable, match="cannot keep"):
            await a_cache(tmp_path).ensure(server.url(), DIGEST)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert (await a_cache(tmp_path).ensure(server.url(), DIGEST)).digest == DIGEST


@pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", DIGEST.upper(), f"sha256:{DIGEST}", DIGEST + "\n"])
async def test_what_is_no_digest_names_no_file(tmp_path: Path, digest: str) -> None:
    """C5"""
    cache = a_cache(tmp_path)
    with pytest.raises(ArtifactRefused, match="64 lower-case hexadecimal digits"):
        await cache.ensure("http://127.0.0.1:1/", digest)
    with pytest.raises(ArtifactRefused):
        await cache.remove(digest)


def test_only_digests_are_listed(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    (tmp_path / "sha256" / "lost+found").mkdir()
    (tmp_path / "sha256" / DIGEST).mkdir()
    assert not cache.has(DIGEST)
    (tmp_path / "sha256" / DIGEST).rmdir()
    (tmp_path / "sha256" / DIGEST).touch()
    assert list(cache.digests()) == [DIGEST]


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot keep artifacts in"):
        a_cache(tmp_path / "file")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An artifact root with one artifact, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "images"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "art ifact").write_bytes(CONTENT)
    return root


async def test_a_file_below_a_root_is_taken(tmp_path: Path, images: Path) -> None:
    cache = a_cache(tmp_path / "cache", roots=(tmp_path / "other", images))
    found = await cache.ensure((images / "deep" / "art ifact").as_uri(), DIGEST)
    assert found.path.read_bytes() == CONTENT
    (images / "deep" / "art ifact").write_bytes(b"changed")
    assert found.path.read_bytes() == CONTENT


async def test_a_root_may_be_a_link(tmp_path: Path, images: Path) -> None:
    (tmp_path / "link").symlink_to(images)
    cache = a_cache(tmp_path / "cache", roots=(tmp_path / "link",))
    assert (await cache.ensure((tmp_path / "link/deep/art ifact").as_uri(), DIGEST)).digest == DIGEST


@pytest.mark.parametrize(
    "name", ["../secret", "%2e%2e/secret", "deep/../../secret", "out", "outdir/secret", "loop", "deep"]
)
async def test_a_file_url_leads_nowhere_but_below_the_roots(tmp_path: Path, images: Path, name: str) -> None:
    """C10: after links and `..`; and what exists elsewhere is not told from what does not."""
    (images / "out").symlink_to(tmp_path / "secret")
    (images / "outdir").symlink_to(tmp_path)
    (images / "loop").symlink_to("loop")
    cache = a_cache(tmp_path / "cache", roots=(images,))
    with pytest.raises(ArtifactRefused, match="cannot read"):
        await cache.ensure(f"file://{images}/{name}", None)
    assert list(cache.digests()) == []


async def test_without_roots_no_file_is_read(tmp_path: Path, images: Path) -> None:
    """C10"""
    with pytest.raises(ArtifactRefused, match="--artifact-root"):
        await a_cache(tmp_path / "cache").ensure((images / "deep/art ifact").as_uri(), None)


@pytest.mark.parametrize("name", ["missing", "deep/art%20ifact/more", "n" * 300])
async def test_a_missing_file_is_refused_so_that_nobody_waits_for_it(tmp_path: Path, images: Path, name: str) -> None:
    """C10"""
    with pytest.raises(ArtifactRefused, match="no such file"):
        await a_cache(tmp_path / "cache", roots=(images,)).ensure(f"{images.as_uri()}/{name}", None)


async def test_a_pipe_is_not_waited_for(tmp_path: Path, images: Path) -> None:
    """C10"""
    os.mkfifo(images / "pipe")
    with pytest.raises(ArtifactRefused, match="not a regular file"):
        await a_cache(tmp_path / "cache", roots=(images,)).ensure((images / "pipe").as_uri(), None)


async def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path, images: Path) -> None:
    """C7"""
    with pytest.raises(ArtifactRefused, match="larger than 1000 bytes"):
        await a_cache(tmp_path / "cache", roots=(images,), max_bytes=1000).ensure(
            (images / "deep/art ifact").as_uri(), None
        )


async def test_what_comes_over_a_network_needs_a_checksum_when_the_operator_says_so(tmp_path: Path) -> None:
    """C6: nothing is asked before; a file below a root is the operator's own."""
    async with serving(answer(CONTENT)) as server:
        cache = a_cache(tmp_path / "cache", checksums="required")
        with pytest.raises(ArtifactRefused, match=r"without a checksum.*--artifact-checksums") as refused:
            await cache.ensure(server.url("/a?secret"), None)
        assert server.asked == []
        assert "secret" not in refused.value.message
        assert (await cache.ensure(server.url(), DIGEST)).digest == DIGEST


@pytest.mark.parametrize("policy", [{"checksums": "required"}, {"checksums": "optional"}])
async def test_a_file_needs_no_checksum(tmp_path: Path, images: Path, policy: dict[str, str]) -> None:
    """C6"""
    cache = a_cache(tmp_path / "cache", roots=(images,), **policy)
    assert (await cache.ensure((images / "deep" / "art ifact").as_uri(), None)).digest == DIGEST
