"""Which files may be root disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.disk_images import MIB, a_qcow2, an_extension, qemu_img

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.rootdisk import MAX_VIRTUAL_BYTES, check_root_disk

DATA_FILE, CRYPTO, BACKING_FORMAT, UNKNOWN = 0x44415441, 0x0537BE77, 0xE2792ACA, 0x12345678


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def checked(path: Path, data: bytes, disk_format: str = "qcow2") -> int:
    path.write_bytes(data)
    return check_root_disk(path, disk_format)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "compat=0.10"),
        ("-o", "lazy_refcounts=on"),
        ("-o", "preallocation=metadata"),
        ("-o", "compression_type=zstd,extended_l2=on,cluster_size=16k"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M,refcount_bits=64"),
    ],
)
def test_images_as_qemu_makes_them_are_read(disk: Path, options: tuple[str, ...]) -> None:
    qemu_img("create", "-q", "-f", "qcow2", *options, disk, "100M")
    assert check_root_disk(disk, "qcow2") == 100 * MIB


def test_an_image_with_snapshots_is_read(disk: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", disk, "1T")
    qemu_img("snapshot", "-c", "first", disk)
    assert check_root_disk(disk, "qcow2") == 1 << 40


def test_a_plain_file_is_as_large_as_it_is(disk: Path) -> None:
    assert checked(disk, bytes(4096), "raw") == 4096


def test_what_follows_a_header_may_be_unknown(disk: Path) -> None:
    extensions = an_extension(UNKNOWN, b"x" * 13) + an_extension(BACKING_FORMAT, b"raw") + an_extension(0, b"")
    assert checked(disk, a_qcow2(extensions)) == 10 * MIB
    assert checked(disk, a_qcow2(version=2)) == 10 * MIB


def test_an_image_stands_for_itself(disk: Path) -> None:
    """C2"""
    base = disk.with_name("base")
    qemu_img("create", "-q", "-f", "raw", base, "1M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk)
    with pytest.raises(ArtifactRefused, match="backing file"):
        check_root_disk(disk, "qcow2")


def test_its_data_is_in_it(disk: Path) -> None:
    """C2, V10"""
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={disk}.data,data_file_raw=on", disk, "1M")
    with pytest.raises(ArtifactRefused, match="in another file"):
        check_root_disk(disk, "qcow2")


def test_it_is_not_encrypted(disk: Path) -> None:
    """C2"""
    secret = ("--object", "secret,id=s,data=abc")
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    qemu_img("create", "-q", *secret, "-f", "qcow2", "-o", options, disk, "1M")
    with pytest.raises(ArtifactRefused, match="encrypted"):
        check_root_disk(disk, "qcow2")


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"])
def test_what_is_of_another_format_is_not_raw(disk: Path, disk_format: str) -> None:
    """C4"""
    qemu_img("create", "-q", "-f", disk_format, disk, "4M")
    with pytest.raises(ArtifactRefused, match="the manifest says that its format is raw, but it is a"):
        check_root_disk(disk, "raw")
    if disk_format != "qcow2":
        with pytest.raises(ArtifactRefused, match="it is no qcow2 image"):
            check_root_disk(disk, "qcow2")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"# Disk DescriptorFile\nversion=1\n", "VMDK descriptor"),
        (b"COWD", "VMDK"),
        (bytes(4096) + b"conectix".ljust(512, b"\0"), "VHD"),
        (bytes(4096) + b"koly".ljust(512, b"\0"), "DMG"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"LUKS\xba\xbe", "encrypted by LUKS"),
        (bytes(257) + b"ustar", "tar archive"),
    ],
)
def test_what_looks_like_something_else_is_not_raw(disk: Path, data: bytes, what: str) -> None:
    """C4"""
    with pytest.raises(ArtifactRefused, match=what):
        checked(disk, data.ljust(8192, b"\0") if len(data) < 4096 else data, "raw")


@pytest.mark.parametrize("size", [0, 1, 511, 513, 1 << 20 | 1])
def test_a_disk_is_made_of_sectors(disk: Path, size: int) -> None:
    with pytest.raises(ArtifactRefused, match="multiple of 512"):
        checked(disk, bytes(size), "raw")
    with pytest.raises(ArtifactRefused, match="multiple of 512"):
        checked(disk, a_qcow2(size=size))


@pytest.mark.parametrize("size", [MAX_VIRTUAL_BYTES + 512, 1 << 63, (1 << 64) - 512])
def test_a_disk_has_a_size_that_can_be(disk: Path, size: int) -> None:
    """C7"""
    with pytest.raises(ArtifactRefused, match="over the limit"):
        checked(disk, a_qcow2(size=size))


@pytest.mark.parametrize("bit", [0, 1])
def test_an_image_in_need_of_repair_is_refused(disk: Path, bit: int) -> None:
    with pytest.raises(ArtifactRefused, match="qemu-img check"):
        checked(disk, a_qcow2(incompatible=1 << bit))


@pytest.mark.parametrize("bit", [5, 6, 31, 63])
def test_a_feature_that_is_not_understood_is_refused(disk: Path, bit: int) -> None:
    with pytest.raises(ArtifactRefused, match=f"not understood .0x{1 << bit:x}"):
        checked(disk, a_qcow2(incompatible=1 << bit))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"version": 1}, "version 1"),
        ({"version": 4}, "version 4"),
        ({"magic": b"QED\0"}, "no qcow2 image"),
        ({"backing": 0x200}, "backing file"),
        ({"backing_bytes": 1}, "backing file"),
        ({"crypt": 1}, "encrypted"),
        ({"incompatible": 4}, "in another file"),
        ({"cluster_bits": 8}, "cluster size"),
        ({"cluster_bits": 22}, "cluster size"),
        ({"cluster_bits": 0xFFFFFFFF}, "cluster size"),
        ({"l1_at": 0}, "L1 table"),
        ({"l1_at": 5}, "L1 table"),
        ({"l1_at": 1 << 62}, "L1 table"),
        ({"l1_count": 0}, "L1 table"),
        ({"l1_count": 0xFFFFFFFF}, "L1 table"),
        ({"size": 1 << 30}, "L1 table is too small"),
        ({"refcounts_at": 0}, "refcount table"),
        ({"refcounts_at": 1 << 63}, "refcount table"),
        ({"refcount_clusters": 0}, "refcount table"),
        ({"refcount_clusters": 0xFFFFFFFF}, "refcount table"),
        ({"refcount_order": 7}, "refcounts"),
        ({"snapshots": 1}, "snapshot table"),
        ({"snapshots": 65537, "snapshots_at": 1 << 16}, "too many snapshots"),
        ({"header_bytes": 96}, "length of its header"),
        ({"header_bytes": 105}, "length of its header"),
        ({"header_bytes": 1 << 17}, "length of its header"),
    ],
)
def test_a_header_that_cannot_be_is_refused(disk: Path, fields: dict[str, int | bytes], why: str) -> None:
    with pytest.raises(ArtifactRefused, match=why):
        checked(disk, a_qcow2(b"", **fields))


@pytest.mark.parametrize(
    ("extensions", "why"),
    [
        (an_extension(DATA_FILE, b"/etc/passwd"), "names a file for its data"),
        (an_extension(UNKNOWN, b"x" * 5) + an_extension(DATA_FILE, b"/etc/passwd"), "names a file for its data"),
        (an_extension(CRYPTO, bytes(16)), "encrypted"),
        (an_extension(UNKNOWN, b"")[:4] + b"\xff\xff\xff\xff", "longer than the header"),
        (an_extension(UNKNOWN, bytes(1 << 16)), "longer than the header"),
    ],
)
def test_what_follows_a_header_names_nothing(disk: Path, extensions: bytes, why: str) -> None:
    """C2"""
    with pytest.raises(ArtifactRefused, match=why):
        checked(disk, a_qcow2(extensions))


def test_an_image_that_is_cut_short_is_refused(disk: Path) -> None:
    whole = a_qcow2()
    for size in (0, 3, 4, 71, 72, 103, 104, 4096, 1 << 16, 3 << 16):
        with pytest.raises(ArtifactRefused):
            checked(disk, whole[:size])


def test_another_format_is_refused(disk: Path) -> None:
    with pytest.raises(ArtifactRefused, match="neither raw nor qcow2"):
        checked(disk, a_qcow2(), "vmdk")


def test_a_file_that_is_not_there_is_worth_another_try(disk: Path) -> None:
    with pytest.raises(ArtifactUnavailable, match="No such file"):
        check_root_disk(disk, "raw")
