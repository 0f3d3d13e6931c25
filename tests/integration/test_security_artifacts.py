"""Servers that lie to a real daemon: sections C and D of the security checklist, from the manifest to the condition.

What each lie does to one fetch is tested beside the fetcher; here, that the daemon says what it must, keeps nothing of
it, repeats nothing of what it was sent, and never connects to where it was pointed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.builders.artifact_server import Behaviour, Writer, answer, head, redirect, serving
from tests.builders.daemon import daemon
from tests.builders.installing import Shop, plugin_of

CONTENT = bytes(range(256)) * 64
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MARKER = "WHAT-THE-SERVER-SAID"
BODY = MARKER.encode()
ALLOWED = "127.0.0.77"
"""The one address of loopback that the daemon may fetch from."""
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One daemon for all lies."""
    directory = tmp_path_factory.mktemp("shop")
    flags = ("--hypervisor", "simulated", "--artifact-allow", ALLOWED, "--artifact-max-mb", "1")
    with daemon(directory / "data", *flags, artifact_root=directory) as running:
        yield Shop(running)


@pytest.fixture
async def forbidden() -> AsyncIterator[list[str]]:
    """Paths that were asked of a server which nobody may ask; its port is the first element."""
    async with serving(answer(CONTENT)) as server:
        server.asked.append(str(server.port))
        yield server.asked


def cut_off(content: bytes, **headers: str) -> Behaviour:
    async def behave(path: str, writer: Writer) -> None:
        writer.write(head(**headers) + content)

    return behave


async def endless(path: str, writer: Writer) -> None:
    writer.write(head())
    while True:
        writer.write(BODY * 4096)
        await writer.drain()


async def endless_interim(path: str, writer: Writer) -> None:
    """Never a final answer; ends, because the daemon would wait for half an hour."""
    for _ in range(2000):
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: " + BODY + b"\r\n\r\n")
        await writer.drain()


async def announces_too_much(path: str, writer: Writer) -> None:
    writer.write(head(content_length=str(1 << 40)))
    await writer.drain()
    await asyncio.Event().wait()


BOMB = gzip.compress(bytes(64 << 20))
"""A thousand times as large, once unpacked: over the limit then, and well below it as it is."""

LIES: dict[str, tuple[Behaviour, str]] = {
    "another content": (answer(BODY), "ArtifactRefused"),
    "nothing": (answer(b""), "ArtifactRefused"),
    "one byte less": (answer(CONTENT[:-1]), "ArtifactRefused"),
    "one byte more": (answer(CONTENT + b"x"), "ArtifactRefused"),
    "less than announced": (cut_off(CONTENT[:99], content_length=str(len(CONTENT))), "ArtifactUnavailable"),
    "a chunk that breaks off": (cut_off(b"ffff\r\n" + BODY, transfer_encoding="chunked"), "ArtifactUnavailable"),
    "no chunk at all": (cut_off(BODY, transfer_encoding="chunked"), "ArtifactUnavailable"),
    "two lengths": (cut_off(CONTENT, content_length="5, 6"), "ArtifactUnavailable"),
    "a length of 5,000 digits": (cut_off(BODY, content_length="9" * 5000), "ArtifactUnavailable"),
    "a length below nothing": (cut_off(BODY, content_length="-1"), "ArtifactUnavailable"),
    "no end": (endless, "ArtifactRefused"),
    "an announced terabyte": (announces_too_much, "ArtifactRefused"),
    "a bomb for whoever unpacks": (answer(BOMB, content_encoding="gzip"), "ArtifactRefused"),
    "a huge head": (cut_off(b"", **{f"x-{n}": MARKER * 50 for n in range(500)}), "ArtifactUnavailable"),
    "a huge header": (cut_off(b"", x=MARKER * 50_000), "ArtifactUnavailable"),
    "interim answers only": (endless_interim, "ArtifactUnavailable"),
    "another protocol": (lambda _, writer: _say(writer, b"220 " + BODY + b" ESMTP\r\n"), "ArtifactUnavailable"),
    "no answer": (lambda _, writer: _say(writer, b""), "ArtifactUnavailable"),
    "not found": (answer(BODY, "404 Not Found"), "ArtifactRefused"),
    "an odd status": (answer(BODY, f"299 {MARKER}"), "ArtifactRefused"),
    "trouble": (answer(BODY, f"500 {MARKER}"), "ArtifactUnavailable"),
    "a redirect to itself": (redirect("/again"), "ArtifactRefused"),
    "a redirect to nowhere": (cut_off(BODY, location=""), "ArtifactRefused"),
    "a redirect with a password": (redirect(f"http://user:{MARKER}@{ALLOWED}/"), "ArtifactRefused"),
    "a redirect to a file": (redirect("file:///etc/passwd"), "ArtifactRefused"),
    "a redirect to a socket": (redirect("unix:///run/volant.sock"), "ArtifactRefused"),
    "a redirect to data": (redirect(f"data:,{MARKER}"), "ArtifactRefused"),
    "a redirect to gopher": (redirect("gopher://127.0.0.1/"), "ArtifactRefused"),
    "a redirect to what is no URL": (redirect(f"http://[{MARKER}"), "ArtifactRefused"),
}


async def _say(writer: Writer, said: bytes) -> None:
    writer.write(said)


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_is_refused_and_nothing_is_kept(shop: Shop, lie: str) -> None:
    """C5, C7, D1, D4, D5, D6, D7: nothing is left in the cache, and nobody is told what the server said."""
    behaviour, reason = LIES[lie]
    async with serving(behaviour, host=ALLOWED) as server:
        told = await shop.told(plugin_of(server.url(host=ALLOWED), DIGEST))
    assert told.reason == reason
    assert told.message.startswith("rootfs: cannot ")
    assert MARKER not in told.everything


async def test_a_wrong_digest_is_told_with_both(shop: Shop) -> None:
    """C5: so that whoever wrote the manifest can see which one is wrong."""
    async with serving(answer(b"other"), host=ALLOWED) as server:
        told = await shop.told(plugin_of(server.url(host=ALLOWED), DIGEST))
    assert DIGEST in told.message
    assert hashlib.sha256(b"other").hexdigest() in told.message


TARGETS = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
    *("localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]", "127.0.0.77.", "127.0.0.078"),
]
ELSEWHERE = [
    *("169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd00:ec2::254]", "[fe80::1]"),
    *("[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255", "198.18.0.1", "0xa9fea9fe"),
]


@pytest.mark.parametrize("host", TARGETS)
async def test_no_spelling_of_loopback_is_asked(shop: Shop, forbidden: list[str], host: str) -> None:
    """D2: neither by the manifest nor by a redirect from where the operator allows to fetch."""
    port = forbidden[0]
    direct = await shop.told(plugin_of(f"http://{host}:{port}/", DIGEST))
    async with serving(redirect(f"http://{host}:{port}/"), host=ALLOWED) as server:
        indirect = await shop.told(plugin_of(server.url(host=ALLOWED), DIGEST))
    # Some spellings are no address to the resolver of this host, which is as good.
    assert {direct.reason, indirect.reason} <= {"ArtifactRefused", "ArtifactUnavailable"}
    assert forbidden == [port]


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_no_neighbour_of_the_host_is_asked(shop: Shop, host: str) -> None:
    """D2, D4: metadata services, private networks, and what leads to them in disguise."""
    assert (await shop.told(plugin_of(f"http://{host}/", DIGEST))).reason == "ArtifactRefused"
    async with serving(redirect(f"http://{host}/"), host=ALLOWED) as server:
        told = await shop.told(plugin_of(server.url(host=ALLOWED), DIGEST))
    assert told.reason == "ArtifactRefused"


SCHEMES = [
    *("ftp://x.test/", "gopher://x.test/", "data:,x", "unix:///run/x", "javascript:alert(1)", "FILE:///etc/passwd"),
    *("//x.test/", "/etc/passwd", "~/x", "", "http:", "http://x.test/\n", "http://x.test/ ", "http://x\u0000.test/"),
    *("http://\u2460\u2461\u2466.0.0.1/", "http://\uff11\uff12\uff17.0.0.1/", "http://b\u00fccher.test/", "json:{}"),
]


@pytest.mark.parametrize("url", SCHEMES)
@pytest.mark.parametrize("role", ["kernel", "initramfs", "rootfs"])
def test_what_is_no_address_of_the_web_or_a_file_is_a_400(shop: Shop, url: str, role: str) -> None:
    """D1, D2: other schemes, and digits that only look like some (names are written in ASCII)."""
    manifest = {"name": "x", **plugin_of("file:///nonexistent"), **plugin_of(url, role=role)}
    reply = shop.running.api.post("/plugins", json=manifest)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
    assert [field["path"] for field in reply.json()["details"]["fields"]] == [f"/{role}/url"]


@pytest.mark.parametrize("url", ["http://user:{}@x.test/", "https://{}@x.test/", "http://:{}@x.test/a@b"])
def test_a_password_in_a_url_is_a_400_that_does_not_repeat_it(shop: Shop, url: str) -> None:
    """D6, E5: what is never accepted is never stored."""
    manifest = {"name": "x", **plugin_of(url.format(MARKER))}
    reply = shop.running.api.post("/plugins", json=manifest)
    assert reply.status_code == 400
    assert MARKER not in reply.text


async def test_what_comes_over_a_network_needs_a_checksum(shop: Shop) -> None:
    """C6: unless the operator does without; nothing is asked before."""
    async with serving(answer(CONTENT), host=ALLOWED) as server:
        told = await shop.told(plugin_of(server.url("/a?token=" + MARKER, host=ALLOWED)))
        assert server.asked == []
    assert told.reason == "ArtifactRefused"
    assert "without a checksum" in told.message
    assert MARKER not in told.everything


CHECKSUMS = ["", DIGEST, f"SHA256:{DIGEST}", f"sha256:{DIGEST.upper()}", f"md5:{DIGEST[:32]}", f"sha256:{DIGEST[:-1]}"]


@pytest.mark.parametrize("checksum", [*CHECKSUMS, f"sha256:{DIGEST}\n", f"sha256:{DIGEST}0", "sha256:../../etc/passwd"])
def test_a_checksum_is_an_algorithm_and_its_digits(shop: Shop, checksum: str) -> None:
    """C5: no algorithm, another one, upper case, too short, too long: said before anything is fetched."""
    manifest = {"name": "x", "version": "1", "rootfs": {"format": "raw", "url": "file:///x", "checksum": checksum}}
    reply = shop.running.api.post("/plugins", json=manifest)
    assert reply.status_code == 400
    assert [field["path"] for field in reply.json()["details"]["fields"]] == ["/rootfs/checksum"]


async def test_a_removed_plugin_ends_a_server_that_dribbles(shop: Shop) -> None:
    """D5: nobody has to wait half an hour for a slow-loris, and nothing of it is left."""
    asked = asyncio.Event()

    async def dribble(path: str, writer: Writer) -> None:
        writer.write(head())
        asked.set()
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(dribble, host=ALLOWED) as server:
        await shop.post("/plugins", {"name": "slow", **plugin_of(server.url(host=ALLOWED), DIGEST)})
        async with asyncio.timeout(30):
            await asked.wait()
        await shop.remove("slow")
    assert shop.left() == []


async def test_a_server_that_resets_is_worth_another_try(shop: Shop) -> None:
    """C5, D5: in the middle of the body."""

    async def reset(path: str, writer: Writer) -> None:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(head(content_length="99999") + BODY)
        await writer.drain()
        writer.transport.abort()

    async with serving(reset, host=ALLOWED) as server:
        told = await shop.told(plugin_of(server.url(host=ALLOWED), DIGEST))
    assert told.reason == "ArtifactUnavailable"
    assert MARKER not in told.everything
