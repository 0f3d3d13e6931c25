"""Disks as files, made by the real qemu-img: made once, kept, grown, refused, removed."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.builders.disk_images import MIB, a_disk_store, a_root, bootable, qemu_img, qemu_io
from tests.builders.toolchains import not_run, require_root

from volant.clock import Uid
from volant.drivers import DiskSpec
from volant.drivers.disks import DiskStore
from volant.errors import DriverRefused, DriverUnavailable, StartupError

UID = Uid("0123456789abcdef")
DATA = DiskSpec(name="data", size_mb=8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disks"


@pytest.fixture
def store(root: Path) -> DiskStore:
    return a_disk_store(root)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return bootable(tmp_path / "image.raw")


def facts(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(qemu_img("info", "-U", "-f", "qcow2", "--output=json", path))
    return said


async def test_an_empty_disk_has_the_size_that_was_asked_for(store: DiskStore, root: Path) -> None:
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    assert (disk.name, disk.path, disk.base) == ("data", root / UID / "data.qcow2", None)
    assert facts(disk.path)["virtual-size"] == 8 * MIB
    assert facts(disk.path)["format-specific"]["data"]["compat"] == "1.1"


async def test_a_root_disk_is_a_layer_over_its_image(store: DiskStore, image: Path) -> None:
    """C11: two VMs, one image, which stays as it is."""
    before = image.read_bytes()
    paths = []
    for uid in (UID, Uid("other")):
        [disk] = (await store.ensure(uid, (a_root(image),), None)).disks
        said = facts(disk.path)
        assert (said["virtual-size"], said["backing-filename"]) == (MIB, str(image))
        assert said["backing-filename-format"] == "raw"
        assert (disk.base, disk.base_format) == (image, "raw")
        paths.append(disk.path)
    qemu_io(paths[0], "write -P 7 0 4096")
    assert "failed" in qemu_io(paths[1], "read -P 7 0 4096")
    assert image.read_bytes() == before


async def test_a_layer_may_be_larger_than_its_image(store: DiskStore, image: Path) -> None:
    [disk] = (await store.ensure(UID, (a_root(image, 5),), None)).disks
    assert facts(disk.path)["virtual-size"] == 5 * MIB


async def test_a_layer_may_not_be_smaller_than_its_image(store: DiskStore, tmp_path: Path) -> None:
    image = bootable(tmp_path / "large.raw", 3 * MIB)
    with pytest.raises(DriverRefused, match="disk root of 2 MiB: its image has 3 MiB"):
        await store.ensure(UID, (a_root(image, 2),), None)


async def test_a_qcow2_image_is_one_too(store: DiskStore, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", image, "7M")
    [disk] = (await store.ensure(UID, (a_root(image, base_format="qcow2"),), None)).disks
    assert facts(disk.path)["virtual-size"] == 7 * MIB
    assert facts(disk.path)["backing-filename-format"] == "qcow2"


async def test_an_image_that_no_guest_is_given_is_refused(store: DiskStore, tmp_path: Path, image: Path) -> None:
    """C2"""
    layered = tmp_path / "layered.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", layered)
    with pytest.raises(DriverRefused, match="backing file"):
        await store.ensure(UID, (a_root(layered, base_format="qcow2"),), None)


async def test_what_is_written_stays(store: DiskStore, root: Path, image: Path) -> None:
    """R1: asked again, by the same store or by one that was made a moment ago, and with what else is wanted."""
    files = await store.ensure(UID, (a_root(image), DATA), None)
    for disk in files.disks:
        qemu_io(disk.path, "write -P 7 64k 4096")
    assert await store.ensure(UID, (a_root(image), DATA), None) == files
    assert (await a_disk_store(root).ensure(UID, (a_root(image), DATA), b"seed")).disks == files.disks
    for disk in files.disks:
        assert "failed" not in qemu_io(disk.path, "read -P 7 64k 4096")


async def test_a_disk_that_is_not_wanted_any_more_stays(store: DiskStore) -> None:
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    qemu_io(disk.path, "write -P 7 64k 4096")
    assert (await store.ensure(UID, (), None)).disks == ()
    await store.ensure(UID, (DATA,), None)
    assert "failed" not in qemu_io(disk.path, "read -P 7 64k 4096")


async def test_a_disk_grows_and_keeps_its_content(store: DiskStore, image: Path) -> None:
    [disk] = (await store.ensure(UID, (a_root(image),), None)).disks
    qemu_io(disk.path, "write -P 7 64k 4096")
    await store.ensure(UID, (a_root(image, 40),), None)
    said = facts(disk.path)
    assert (said["virtual-size"], said["backing-filename"]) == (40 * MIB, str(image))
    assert "failed" not in qemu_io(disk.path, "read -P 7 64k 4096", "read -P 0 39M 1M")
    assert "failed" not in qemu_io(disk.path, "read -P 0 1M 1M"), "what was added is empty"
    await store.ensure(UID, (a_root(image),), None)
    assert facts(disk.path)["virtual-size"] == 40 * MIB, "nobody asks for another size than it has"


async def test_a_disk_does_not_shrink(store: DiskStore) -> None:
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    with pytest.raises(DriverRefused, match="disk data: it has 8 MiB and cannot shrink to 7"):
        await store.ensure(UID, (DiskSpec(name="data", size_mb=7),), None)
    assert facts(disk.path)["virtual-size"] == 8 * MIB


async def test_a_disk_keeps_the_image_that_it_was_made_of(store: DiskStore, tmp_path: Path, image: Path) -> None:
    await store.ensure(UID, (a_root(image),), None)
    other = bootable(tmp_path / "other.raw", 2 * MIB)
    with pytest.raises(DriverRefused, match=r"disk root: it was made of image .* and is now to be one of image"):
        await store.ensure(UID, (a_root(other),), None)
    with pytest.raises(DriverRefused, match="one of no image"):
        await store.ensure(UID, (DiskSpec(name="root", size_mb=9),), None)


async def test_an_image_may_move(store: DiskStore, tmp_path: Path, image: Path) -> None:
    """What is below a layer is what the store says, not what its file does."""
    await store.ensure(UID, (a_root(image),), None)
    moved = image.rename(tmp_path / "moved.raw")
    [disk] = (await store.ensure(UID, (a_root(moved),), None)).disks
    assert disk.base == moved


async def test_the_largest_disk_costs_next_to_nothing(store: DiskStore) -> None:
    """C7"""
    [disk] = (await store.ensure(UID, (DiskSpec(name="data", size_mb=1 << 24),), None)).disks
    assert disk.path.stat().st_blocks * 512 < 4 * MIB


@pytest.mark.parametrize(
    "spec",
    [
        DiskSpec(name="data"),
        DiskSpec(name="data", size_mb=0),
        DiskSpec(name="data", size_mb=-1),
        DiskSpec(name="root", base=Path("/dev/zero")),
        DiskSpec(name="root", base=Path("/x"), base_format="raw"),
        *(
            DiskSpec(name=name, size_mb=1)
            for name in ("", "..", "a/b", "A", "a b", "-a", "a-", "a,b", "x" * 21, "a\n", "seed")
        ),
    ],
)
async def test_what_is_no_disk_is_refused(store: DiskStore, root: Path, spec: DiskSpec) -> None:
    """B1"""
    with pytest.raises(DriverRefused):
        await store.ensure(UID, (spec,), None)
    assert [path for path in root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("uid", ["", "..", "a/b", "A", "x" * 65, "a\n"])
async def test_what_is_no_uid_never_becomes_a_path(store: DiskStore, root: Path, uid: str) -> None:
    for attempt in (store.ensure(Uid(uid), (DATA,), None), store.ensure_absent(Uid(uid))):
        with pytest.raises(DriverRefused):
            await attempt
    assert list(root.iterdir()) == []


async def test_a_seed_is_exactly_those_bytes_and_always_new(store: DiskStore, root: Path) -> None:
    """E2"""
    seeds = []
    for data in (b"one", b"two" * 100_000):
        seed = (await store.ensure(UID, (), data)).seed
        assert seed is not None
        assert seed.read_bytes() == data
        seeds.append(seed.stat().st_ino)
    assert seeds[0] != seeds[1], "a guest that still has the old one sees no other under it"
    assert (await store.ensure(UID, (), None)).seed is None
    assert not (root / UID / "seed.iso").exists()


async def test_without_a_disk_and_a_seed_nothing_is_made(store: DiskStore, root: Path) -> None:
    assert (await store.ensure(UID, (), None)).disks == ()
    assert list(root.iterdir()) == []
    assert await store.observe() == []


async def test_all_of_a_vm_is_removed(store: DiskStore, root: Path, image: Path) -> None:
    await store.ensure(UID, (a_root(image), DATA), b"seed")
    await store.ensure(Uid("other"), (DATA,), None)
    (root / "no uid").mkdir()
    assert set(await store.observe()) == {UID, "other"}
    for _ in range(2):
        await store.ensure_absent(UID)
        assert await store.observe() == ["other"]
    assert image.exists()
    assert not (root / UID).exists()


async def test_files_are_the_daemons_alone(store: DiskStore, root: Path) -> None:
    """A10, A11, E2"""
    await store.ensure(UID, (DATA,), b"seed")
    assert {path.name for path in (root / UID).iterdir()} == {"data.qcow2", "disks.json", "seed.iso"}
    for path in (root, root / UID, *(root / UID).iterdir()):
        mode = path.stat()
        assert mode.st_uid == os.geteuid()
        assert stat.S_IMODE(mode.st_mode) == (0o700 if path.is_dir() else 0o600), path


# What lies in the way


async def test_a_link_in_the_place_of_a_directory_is_not_followed(store: DiskStore, root: Path, tmp_path: Path) -> None:
    """A16"""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (root / UID).symlink_to(elsewhere)
    with pytest.raises(DriverRefused, match="not a directory"):
        await store.ensure(UID, (DATA,), b"seed")
    await store.ensure_absent(UID)
    assert list(elsewhere.iterdir()) == []
    assert (root / UID).is_symlink(), "it is not ours"
    assert await store.observe() == []


@pytest.mark.parametrize("name", ["data.qcow2", "disks.json"])
async def test_a_link_in_the_place_of_a_file_is_not_followed(
    store: DiskStore, root: Path, tmp_path: Path, name: str
) -> None:
    """A16"""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (root / UID).mkdir(mode=0o700)
    (root / UID / name).symlink_to(precious)
    with pytest.raises(DriverRefused, match="not a file"):
        await store.ensure(UID, (DATA,), None)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", [".data.qcow2.new", ".disks.json.new", ".seed.iso.new", "seed.iso"])
async def test_a_link_where_something_is_made_is_replaced(
    store: DiskStore, root: Path, tmp_path: Path, name: str
) -> None:
    """A16"""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (root / UID).mkdir(mode=0o700)
    (root / UID / name).symlink_to(precious)
    await store.ensure(UID, (DATA,), b"seed")
    assert precious.read_text() == "precious"
    assert (root / UID / "seed.iso").read_bytes() == b"seed"


async def test_a_directory_that_others_may_enter_is_refused(store: DiskStore, root: Path) -> None:
    (root / UID).mkdir()
    (root / UID).chmod(0o755)
    with pytest.raises(DriverRefused, match="others"):
        await store.ensure(UID, (DATA,), None)


def test_a_root_that_others_may_write_to_is_refused(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(StartupError, match="somebody else"):
        a_disk_store(root)


# What is lost, and what a crash leaves


async def test_a_disk_that_is_gone_is_not_made_anew(store: DiskStore) -> None:
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    disk.path.unlink()
    with pytest.raises(DriverRefused, match=r"data\.qcow2 is gone"):
        await store.ensure(UID, (DATA,), None)
    assert not disk.path.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"data":{"base_digest":5}}'])
async def test_damaged_records_cost_no_disk(store: DiskStore, root: Path, damage: str) -> None:
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    (root / UID / "disks.json").write_text(damage)
    with pytest.raises(DriverRefused, match=r"disks\.json: it is damaged"):
        await store.ensure(UID, (DATA,), None)
    (root / UID / "disks.json").unlink()
    with pytest.raises(DriverRefused, match="does not name it"):
        await store.ensure(UID, (DATA,), None)
    assert disk.path.exists()


async def test_a_file_that_is_no_layer_is_not_touched(store: DiskStore) -> None:
    """C3: what a VMM has made of its file leads nowhere."""
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    whole = disk.path.read_bytes()
    for at, text in ((0, b"VMDK"), (4, b"\0\0\0\2"), (79, b"\x04"), (72, b"\x80")):
        disk.path.write_bytes(whole[:at] + text + whole[at + len(text) :])
        with pytest.raises(DriverRefused, match="disk data: its file is not one that Volant made"):
            await store.ensure(UID, (DiskSpec(name="data", size_mb=20),), None)
    disk.path.write_bytes(b"QFI")
    with pytest.raises(DriverRefused, match="cut short"):
        await store.ensure(UID, (DATA,), None)


async def test_growing_opens_nothing_that_the_file_names(store: DiskStore, tmp_path: Path) -> None:
    """C1, V4: a backing file planted by a hostile VMM would be a pipe that qemu-img waits for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", str(pipe), "-F", "raw", disk.path)
    async with asyncio.timeout(10):
        await store.ensure(UID, (DiskSpec(name="data", size_mb=20),), None)
    assert facts_without_chain(disk.path) == 20 * MIB


def facts_without_chain(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[24:32], "big")


@pytest.mark.parametrize("point", ["recorded", "half made", "made"])
async def test_a_crash_at_any_point_is_made_good(store: DiskStore, root: Path, point: str) -> None:
    """And what is half made is never taken for a disk."""
    [disk] = (await store.ensure(UID, (DATA,), None)).disks
    (root / UID / "disks.json").write_text('{"data":{}}')
    if point != "made":
        disk.path.unlink()
    if point == "half made":
        (root / UID / ".data.qcow2.new").write_bytes(b"half")
    assert (await a_disk_store(root).ensure(UID, (DATA,), None)).disks == (disk,)
    assert facts(disk.path)["virtual-size"] == 8 * MIB
    assert {path.name for path in (root / UID).iterdir()} == {"data.qcow2", "disks.json"}
    assert json.loads((root / UID / "disks.json").read_text()) == {"data": {"is_made": True}}


# What the host cannot do now


async def test_one_that_works_on_a_vm_is_alone_with_it(store: DiskStore, root: Path) -> None:
    await store.ensure(UID, (DATA,), None)
    held = os.open(root / UID, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DriverUnavailable, match="somebody else does"):
            await store.ensure(UID, (DATA,), None)
        with pytest.raises(DriverUnavailable, match="somebody else does"):
            await store.ensure_absent(UID)
    finally:
        os.close(held)
    await store.ensure(UID, (DATA,), None)


async def test_many_at_once_get_their_disks(store: DiskStore) -> None:
    uids = [Uid(f"vm-{number}") for number in range(12)]
    async with asyncio.TaskGroup() as group:
        for uid in uids:
            group.create_task(store.ensure(uid, (DATA,), b"seed"))
    assert set(await store.observe()) == set(uids)


async def test_a_missing_tool_is_said_with_its_package(root: Path) -> None:
    store = a_disk_store(root, qemu_img="no-such-qemu-img")
    with pytest.raises(DriverRefused, match="disk data: cannot find no-such-qemu-img: install qemu-utils"):
        await store.ensure(UID, (DATA,), None)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that others may look into, as that of qemu-img is."""
    with tempfile.TemporaryDirectory(prefix="volant-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def a_program(directory: Path, script: str) -> str:
    path = directory / "qemu-img"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_failing_tool_is_worth_another_try(root: Path, public: Path) -> None:
    tool = a_program(public, "echo 'qemu-img: no luck: No space left on device' >&2; exit 1")
    with pytest.raises(DriverUnavailable, match="disk data: no luck: No space left on device"):
        await a_disk_store(root, qemu_img=tool).ensure(UID, (DATA,), None)
    assert {path.name for path in (root / UID).iterdir()} == {"disks.json"}
    await a_disk_store(root).ensure(UID, (DATA,), None)


async def test_the_tool_has_no_rights_no_environment_and_one_file(root: Path, public: Path) -> None:
    """C1"""
    said = public / "said"
    said.touch()
    said.chmod(0o666)
    script = f"""exec >{said}
    /bin/cat /proc/self/status /proc/self/limits
    /usr/bin/tr '\\0' '\\n' </proc/$$/environ | /bin/sed 's/^/environ /'
    for fd in /proc/$$/fd/*; do echo fd $(/bin/readlink $fd); done
    """
    tool = a_program(public, script)
    await a_disk_store(root, qemu_img=tool).ensure(UID, (DATA,), None)
    lines = said.read_text().splitlines()
    status = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines if ":" in line}
    expected = "65534" if os.geteuid() == 0 else str(os.geteuid())
    assert status["Uid"] == [expected] * 4
    assert int(status["CapEff"][0], 16) == 0
    assert status["NoNewPrivs"] == ["1"]
    limits = {line[:26].strip(): line[26:].split()[0] for line in lines if line.startswith("Max ")}
    assert limits["Max core file size"] == "0"
    assert int(limits["Max cpu time"]) <= 10
    assert int(limits["Max file size"]) <= 64 * MIB
    assert int(limits["Max address space"]) <= 1 << 30
    assert not [line for line in lines if line.startswith("environ ")]
    files = {line.removeprefix("fd ") for line in lines if line.startswith("fd /")}
    assert files == {"/dev/null", str(said), tool, str(root / UID / ".data.qcow2.new")}


async def test_a_full_disk_is_worth_another_try_and_leaves_nothing_that_counts(tmp_path: Path) -> None:
    require_root("mounting a small file system")
    root = tmp_path / "small"
    root.mkdir(mode=0o700)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs", root], check=True)
    except subprocess.CalledProcessError:
        not_run("this root may not mount")
    try:
        store = a_disk_store(root)
        with pytest.raises(DriverUnavailable, match="No space left on device"):
            await store.ensure(UID, (DATA,), None)
        with pytest.raises(DriverUnavailable, match="No space left on device"):
            await store.ensure(Uid("other"), (), bytes(MIB))
        assert not list(root.rglob("*.qcow2*"))
    finally:
        subprocess.run(["umount", root], check=True)
