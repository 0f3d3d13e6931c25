"""Hostile images and manifests at a real daemon: section C of the security checklist, from the manifest on.

What a header may say is tested beside its reader; here, that the daemon asks that reader, says why, and keeps nothing.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.daemon import daemon, until
from tests.builders.disk_images import (
    a_disk_store,
    a_qcow2,
    a_root,
    an_extension,
    bootable,
    digest_of,
    qemu_img,
    qemu_io,
)
from tests.builders.installing import Shop, plugin_of

from volant.clock import random_uid
from volant.drivers.disks import DiskStore
from volant.drivers.qemu.blocks import Layer, disks
from volant.drivers.qemu.command import option

MIB = 1 << 20
SECRET = b"a file of the host, which no guest is to see"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact root, with a file beside it that images may want."""
    where = tmp_path_factory.mktemp("images")
    (where / "root").mkdir()
    (where / "secret").write_bytes(SECRET.ljust(MIB, b"\0"))
    return where / "root"


@pytest.fixture(scope="module")
def shop(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One daemon for all of them."""
    with daemon(tmp_path_factory.mktemp("daemon") / "data", "--hypervisor", "simulated", artifact_root=root) as running:
        yield Shop(running)


def made(disk_format: str, *options: str) -> Callable[[Path, Path], None]:
    """An image by qemu-img, of ten megabytes."""

    def make(image: Path, secret: Path) -> None:
        said = [word.replace("SECRET", str(secret)) for word in options]
        qemu_img("create", "-q", "-f", disk_format, *said, image, *([] if options[:1] == ("-b",) else ["10M"]))

    return make


def written(content: bytes) -> Callable[[Path, Path], None]:
    """An image of exactly these bytes."""

    def make(image: Path, _: Path) -> None:
        image.write_bytes(content)

    return make


def planted(image: Path, secret: Path) -> None:
    """A raw disk in which a guest has written the header of an image over a file of the host (V4)."""
    made("qcow2", "-b", "SECRET", "-F", "raw")(image, secret)
    with image.open("ab") as file:
        file.truncate(10 * MIB)


IMAGES: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "a backing file": ("qcow2", made("qcow2", "-b", "SECRET", "-F", "raw")),
    "a backing file by protocol": ("qcow2", made("qcow2", "-u", "-b", "nbd:127.0.0.1:1", "-F", "raw")),
    "a backing file without a name": ("qcow2", written(a_qcow2(backing=512))),
    "a data file": ("qcow2", made("qcow2", "-o", "data_file=SECRET,data_file_raw=on")),
    "a data file in an extension alone": ("qcow2", written(a_qcow2(an_extension(0x44415441, b"/etc/shadow")))),
    "encryption": ("qcow2", written(a_qcow2(crypt=1))),
    "encryption by LUKS": ("qcow2", written(a_qcow2(an_extension(0x0537BE77, bytes(16)), crypt=2))),
    "an unknown feature": ("qcow2", written(a_qcow2(incompatible=1 << 40))),
    "8 EiB": ("qcow2", written(a_qcow2(size=1 << 63))),
    "more tables than memory": ("qcow2", written(a_qcow2(l1_count=1 << 31))),
    "nothing of a qcow2": ("qcow2", written(bytes(MIB))),
    "nothing at all": ("qcow2", written(b"")),
    "a header that breaks off": ("qcow2", written(a_qcow2()[:50])),
    "a qcow2 that is called raw": ("raw", made("qcow2")),
    "a header that a guest wrote": ("raw", planted),
    "a vmdk": ("raw", made("vmdk")),
    "a vmdk of other files": (
        "raw",
        written(b'# Disk DescriptorFile\nversion=1\nRW 1 FLAT "/etc/shadow" 0\n'.ljust(MIB)),
    ),
    "a vdi": ("raw", made("vdi")),
    "a vhdx": ("raw", made("vhdx")),
    "a vhd": ("raw", made("vpc")),
    "a qed": ("raw", made("qed")),
    "a dmg": ("raw", written(bytes(MIB - 512) + b"koly".ljust(512, b"\0"))),
    "a disk of LUKS": ("raw", written(b"LUKS\xba\xbe".ljust(MIB, b"\0"))),
    "an archive": ("raw", written(b"\x1f\x8b\x08\0".ljust(MIB, b"\0"))),
    "half a sector": ("raw", written(bytes(300))),
    "no bytes": ("raw", written(b"")),
}


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_that_leads_elsewhere_is_refused_and_not_kept(shop: Shop, root: Path, name: str) -> None:
    """C2, C4, C7: the condition says so, no copy stays, and no file that the image names is in any answer."""
    disk_format, make = IMAGES[name]
    image = root / "image"
    image.unlink(missing_ok=True)
    make(image, root.parent / "secret")
    source = {"format": disk_format, "url": image.as_uri(), "checksum": f"sha256:{digest_of(image)}"}
    told = await shop.told({"version": "1", "rootfs": source})
    assert told.reason == "ArtifactRefused"
    assert told.message.startswith("rootfs: cannot use the root disk: ")
    assert "shadow" not in told.everything
    assert "secret" not in told.everything


@pytest.mark.parametrize(
    "disk_format", ["vmdk", "vdi", "vhdx", "vpc", "qed", "dmg", "luks", "auto", "", "RAW", "raw,x"]
)
def test_a_format_that_is_not_read_is_a_400(shop: Shop, disk_format: str) -> None:
    """C1, C4: there is no format that means "look and see"."""
    rootfs = {"format": disk_format, "url": "file:///x"}
    reply = shop.running.api.post("/plugins", json={"name": "x", "version": "1", "rootfs": rootfs})
    assert [field["path"] for field in reply.json()["details"]["fields"]] == ["/rootfs/format"]


def test_a_format_is_stated(shop: Shop) -> None:
    """C1"""
    reply = shop.running.api.post("/plugins", json={"name": "x", "version": "1", "rootfs": {"url": "file:///x"}})
    assert [field["path"] for field in reply.json()["details"]["fields"]] == ["/rootfs/format"]


async def test_an_image_that_another_plugin_uses_stays_when_one_lies_about_it(shop: Shop, root: Path) -> None:
    """C2, C11: as a kernel it is a file like any other; as a raw disk it is refused, and the kernel stays."""
    image = root / "shared"
    qemu_img("create", "-q", "-f", "qcow2", image, "1M")
    source = {"url": image.as_uri(), "checksum": f"sha256:{digest_of(image)}"}
    await shop.post("/plugins", {"name": "uses", "version": "1", "kernel": source, "initramfs": source})
    assert (await shop.condition("uses"))["status"] == "true"
    await shop.post("/plugins", {"name": "lies", "version": "1", "rootfs": {**source, "format": "raw"}})
    assert (await shop.condition("lies"))["reason"] == "ArtifactRefused"
    assert [file.name for file in shop.left()] == [digest_of(image)]
    shop.running.delete("/plugins/lies")
    assert [file.name for file in shop.left()] == [digest_of(image)]
    await shop.remove("uses")


PATHS = ["/etc/shadow", "{root}/../secret", "{root}/%2e%2e/secret", "{root}/out", "{root}/outdir/secret", "/dev/zero"]


@pytest.mark.parametrize(
    "path", [*PATHS, "/proc/self/environ", "{root}", "{root}/pipe", "{root}/missing", "{root}/loop"]
)
async def test_a_file_is_read_below_an_artifact_root_only(shop: Shop, root: Path, path: str) -> None:
    """C10: after links and `..`, and nothing but a regular file."""
    for link, target in (("out", "../secret"), ("outdir", ".."), ("loop", "loop")):
        if not (root / link).is_symlink():
            (root / link).symlink_to(target)
    if not (root / "pipe").exists():
        os.mkfifo(root / "pipe")
    told = await shop.told(plugin_of("file://" + path.format(root=root)))
    assert told.reason == "ArtifactRefused"
    assert SECRET.decode() not in told.everything


def test_an_image_in_use_is_not_removed(shop: Shop, root: Path) -> None:
    """C11: nor is what it is made of, while a VM of it is there."""
    running, image = shop.running, bootable(root / "used.raw")
    source = {"format": "raw", "url": image.as_uri(), "checksum": f"sha256:{digest_of(image)}"}
    running.post("/plugins", {"name": "used", "version": "1", "rootfs": source})
    for name in ("one", "two"):
        running.post("/vms", {"name": name, "plugin": "used"})
    until("both run", lambda: all(running.get(f"/vms/{name}")["status"] == "running" for name in ("one", "two")))
    reply = running.api.delete("/plugins/used")
    assert (reply.status_code, reply.json()["code"]) == (409, "plugin_in_use")
    assert [file.read_bytes() for file in shop.left()] == [image.read_bytes()]
    for path in ("/vms/one", "/vms/two", "/plugins/used"):
        running.delete(path)


def deep(depth: int) -> bytes:
    return b'{"openapi": ' * depth + b"{}" + b"}" * depth


MANIFESTS: dict[str, bytes] = {
    "nulls": json.dumps(dict.fromkeys(("name", "version", "kernel", "rootfs", "workload", "resources"))).encode(),
    "lists": json.dumps({"name": [], "version": [], "kernel": [], "rootfs": [[]], "env": []}).encode(),
    "numbers": json.dumps({"name": 1, "version": 2, "kernel": 3, "env": {"A": 4}, "labels": 5}).encode(),
    "a string": b'"manifest"',
    "null": b"null",
    "NaN": b'{"name": "x", "version": "1", "resources": {"vcpu": NaN}}',
    "an infinite number": b'{"name": "x", "version": "1", "resources": {"vcpu": 1e999}}',
    "a key twice": b'{"name": "x", "name": "y", "version": "1", "rootfs": {"format": "raw", "url": "file:///x"}}',
    "a key twice inside": b'{"name": "x", "version": "1", "rootfs": {"format": "raw", "url": "file:///x", "url": "y"}}',
    "a thousand levels": deep(1000),
    "eighty thousand levels": deep(80_000),
    "levels in a document": json.dumps({"name": "x", "version": "1", "openapi": {"document": None}}).encode()[:-6]
    + deep(300)
    + b"}}",
    "a prototype": b'{"name": "x", "version": "1", "__proto__": {"a": 1}, "constructor": {}}',
    "a field that is not known": b'{"name": "x", "version": "1", "kernel": {"url": "file:///x", "probe": true}}',
    "half a character": b'{"name": "x", "version": "\\ud800", "rootfs": {"format": "raw", "url": "file:///x"}}',
    "a long version": json.dumps({"name": "x", "version": "1" * 100_000}).encode(),
    "many labels": json.dumps({"name": "x", "version": "1", "labels": {f"l{n}": "" for n in range(10_000)}}).encode(),
    "many disks": json.dumps({"name": "x", "version": "1", "disks": {f"d{n}": {} for n in range(10_000)}}).encode(),
    "YAML": b"name: x\nversion: !!python/object/apply:os.system [id]\n",
    "an archive": b"\x1f\x8b\x08\0" + bytes(1000),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_none_is_a_400(shop: Shop, name: str) -> None:
    """C12: and the daemon is as ready as before."""
    headers = {"content-type": "application/json"}
    reply = shop.running.api.post("/plugins", content=MANIFESTS[name], headers=headers)
    assert reply.status_code == 400
    assert reply.json()["code"] in ("invalid", "malformed_json")
    assert shop.running.get("/plugins")["plugins"] == []
    assert shop.running.process.poll() is None


def test_a_manifest_of_50_mb_is_a_413(shop: Shop) -> None:
    """C12: by the length that is announced, before it is sent."""
    host, port = shop.running.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), 10)) as connection:
        head = f"POST /api/v1/plugins HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {50 * MIB}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return a_disk_store(tmp_path / "disks")


async def test_a_header_that_a_guest_writes_into_its_disk_is_data(store: DiskStore, tmp_path: Path) -> None:
    """C3, V4: over all that the daemon does with a disk, what the guest sees stays what it has written."""
    uid, base = random_uid(), bootable(tmp_path / "base.raw")
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET.ljust(MIB, b"\0"))
    evil = tmp_path / "evil.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(evil))
    [disk] = (await store.ensure(uid, (a_root(base),), None)).disks
    qemu_io(disk.path, f"write -s {evil} 0 {1 << 16}")
    outside = disk.path.read_bytes()[:104]
    for size_mb in (None, 2, 4):
        [again] = (await store.ensure(uid, (replace(a_root(base), size_mb=size_mb),), None)).disks
        assert (again.path, again.base, again.base_format) == (disk.path, base, "raw")
        shown = json.loads(qemu_img("info", "--output=json", "-f", "qcow2", str(disk.path)))
        assert shown["format"] == "qcow2"
        assert (shown["backing-filename"], shown["backing-filename-format"]) == (str(base), "raw")
    # Of its header, only the sizes have changed since.
    assert disk.path.read_bytes()[:24] == outside[:24]
    seen = tmp_path / "seen"
    qemu_img("convert", "-f", "qcow2", "-O", "raw", str(disk.path), str(seen))
    assert seen.read_bytes()[: 1 << 16] == evil.read_bytes()[: 1 << 16]
    assert SECRET not in seen.read_bytes()
    assert base.read_bytes()[512:513] == b"a"


ODD = [
    *(
        "a,b",
        "a,,b",
        "a=b",
        "a:b",
        "a b",
        "a\nb",
        "json:{}",
        "nbd:127.0.0.1:1",
        "%2e%2e",
        "-x",
        "é\u202e",
        'a"b',
        "a\\b",
    ),
    *("file=x,read-only=off", "$(id)", "`id`", "{", "fat:", "raw,format=qcow2", "\x1b[2J", "x" * 200),
]
"""Names of directories, as they really may be."""


def query(process: subprocess.Popen[str], command: str) -> Any:
    """The answer to a QMP command over the process's own input and output."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"execute": command}) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        answer = json.loads(line)
        if "return" in answer or "error" in answer:
            return answer.get("return")
    raise AssertionError(f"no answer to {command}")


def test_a_real_qemu_opens_exactly_the_files_that_were_meant(tmp_path: Path) -> None:
    """B3, B4: disks, images below them, a seed and a log, each in a directory of an odd name."""
    layers: list[Layer] = []
    expected: dict[str, str] = {}
    for number, name in enumerate(ODD):
        directory = tmp_path / name
        directory.mkdir()
        base, layer = directory / "base,x=y.raw", directory / "disk,x=y.qcow2"
        base.write_bytes(struct.pack("<I", number).ljust(MIB, b"\0"))
        qemu_img("create", "-q", "-u", "-f", "qcow2", str(layer), "1M")
        layers.append(Layer(name=f"d{number}", path=str(layer), base=str(base), base_format="raw"))
        expected |= {f"file-d{number}": str(layer), f"basefile-d{number}": str(base)}
    seed, log = tmp_path / ODD[0] / "seed,a", tmp_path / ODD[0] / "log,b=c"
    seed.write_bytes(bytes(MIB))
    command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S"]
    command += ["-chardev", option("null", id="log", logfile=str(log)), "-qmp", "stdio"]
    words = disks(tuple(layers), str(seed), boots=False)
    command += [word for at, word in enumerate(words) if "-blockdev" in (word, words[at - 1])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        query(process, "qmp_capabilities")
        nodes = {node["node-name"]: node for node in query(process, "query-named-block-nodes")}
        query(process, "quit")
        process.communicate(timeout=30)
    assert {name: node["file"] for name, node in nodes.items() if name in expected} == expected
    assert nodes["seedfile"]["file"] == str(seed)
    assert all(nodes[name]["ro"] == name.startswith("base") for name in expected)
    assert {node["drv"] for node in nodes.values()} == {"file", "raw", "qcow2"}
    assert len(nodes) == 4 * len(ODD) + 2
    assert log.exists()
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {*map(Path, expected.values()), seed, log}, "nothing else was made"
