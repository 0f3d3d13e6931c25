"""What lies beside a VM's process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.builders.qemu_guests import a_boot

from volant.clock import Uid
from volant.drivers.processes import Identity
from volant.drivers.qemu import console
from volant.drivers.qemu.handover import Handover, connect
from volant.drivers.qemu.rundir import RunDir, Started
from volant.errors import DriverRefused
from volant.model.vm import Exit

UID = Uid("0123456789abcdef0123456789abcdef")
STARTED = Started(identity=Identity(pid=7, start_ticks=8, boot_id="b"), mark="m", started_at=9.5)
EXIT = Exit(reason="killed", at=10.0, of=9.5, code=-9, message="ended")


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.prepare()
    return made


def test_records_read_back_as_they_were_written(rundir: RunDir) -> None:
    boot = a_boot(UID, Path("/cache/k,e=r nel"), initramfs=Path("/cache/i"))
    rundir.make(UID, boot)
    rundir.write_started(UID, STARTED)
    rundir.write_exit(UID, EXIT)
    records = rundir.read(UID)
    assert (records.boot, records.started, records.exit) == (boot, STARTED, EXIT)


def test_a_vm_without_a_directory_has_no_records(rundir: RunDir) -> None:
    records = rundir.read(UID)
    assert (records.boot, records.started, records.exit) == (None, None, None)
    assert not rundir.exists(UID)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff" * 10, b"x" * (1 << 19)])
def test_a_damaged_record_counts_as_none(rundir: RunDir, damage: bytes) -> None:
    rundir.make(UID, a_boot(UID, Path("/k")))
    (rundir.of(UID) / "instance.json").write_bytes(damage)
    assert rundir.read(UID).started is None
    assert rundir.read(UID).boot is not None


def test_directories_are_for_the_daemon_alone(rundir: RunDir) -> None:
    """A10"""
    rundir.make(UID, a_boot(UID, Path("/k")))
    facts = rundir.of(UID).stat()
    assert facts.st_mode & 0o777 == 0o700
    assert facts.st_uid == os.geteuid()


def test_a_name_that_is_there_is_never_followed(rundir: RunDir, tmp_path: Path) -> None:
    """A16"""
    target = tmp_path / "target"
    target.mkdir()
    rundir.of(UID).symlink_to(target)
    with pytest.raises(FileExistsError):
        rundir.make(UID, a_boot(UID, Path("/k")))
    assert rundir.uids() == []
    rundir.remove(UID)
    assert rundir.of(UID).is_symlink()
    assert target.is_dir()


@pytest.mark.parametrize("uid", ["..", "../x", "/etc", "", "a/b", "A", "."])
def test_what_is_no_uid_never_becomes_a_path(rundir: RunDir, uid: str) -> None:
    with pytest.raises(DriverRefused):
        rundir.of(Uid(uid))


def test_foreign_files_are_not_taken_for_vms(rundir: RunDir) -> None:
    (rundir.root / "a-file").write_text("")
    (rundir.root / "Not-A-Uid").mkdir()
    rundir.make(UID, a_boot(UID, Path("/k")))
    assert rundir.uids() == [UID]


def test_removing_leaves_nothing_and_may_be_repeated(rundir: RunDir) -> None:
    rundir.make(UID, a_boot(UID, Path("/k")))
    rundir.write_started(UID, STARTED)
    rundir.remove(UID)
    rundir.remove(UID)
    assert list(rundir.root.iterdir()) == []


def test_a_run_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(PermissionError):
        RunDir(tmp_path / "run").prepare()


def test_two_run_directories_have_two_owners(tmp_path: Path) -> None:
    assert RunDir(tmp_path / "a").owner != RunDir(tmp_path / "b").owner
    assert RunDir(tmp_path / "a").owner == RunDir(tmp_path / "b" / ".." / "a").owner


def test_a_socket_path_may_be_longer_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with Handover(None) as over:
        over.listener(deep / "qmp.sock")
        connection = connect(deep / "qmp.sock")
        assert connection is not None
        connection.close()
    assert connect(deep / "qmp.sock") is None


def test_the_vmm_is_handed_nothing_but_what_was_opened_for_it(tmp_path: Path) -> None:
    """A5"""
    (tmp_path / "kernel").write_bytes(b"k")
    with Handover(None) as over:
        kernel = over.artifact(tmp_path / "kernel")
        log = over.console_log(tmp_path / "console.log")
        own = over.own_log(tmp_path / "vmm.log")
        assert [f"/proc/self/fd/{one}" for one in over.handed] == [kernel, log]
        assert own not in over.handed
        assert not os.get_inheritable(own)


def test_a_log_that_is_there_is_never_written_to(tmp_path: Path) -> None:
    """A16"""
    (tmp_path / "console.log").symlink_to(tmp_path / "elsewhere")
    with Handover(None) as over, pytest.raises(FileExistsError):
        over.console_log(tmp_path / "console.log")


def test_an_artifact_that_the_vmm_may_not_read_is_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"k")
    kernel.chmod(0o600)
    with Handover(65533) as over, pytest.raises(DriverRefused, match="may not read"):
        over.artifact(kernel)
    kernel.chmod(0o644)
    with Handover(65533) as over:
        over.artifact(kernel)


def test_a_directory_is_no_artifact(tmp_path: Path) -> None:
    with Handover(None) as over, pytest.raises(DriverRefused, match="not a file"):
        over.artifact(tmp_path)


def test_a_short_console_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * console.KEEP_BYTES)
    console.tend(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["console.log"]


def test_a_long_console_log_is_moved_aside_while_it_is_written_to(tmp_path: Path) -> None:
    """A15"""
    log = tmp_path / "console.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (console.KEEP_BYTES + 1))
        console.tend(tmp_path)
        writer.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "console.log.1").stat().st_size == console.KEEP_BYTES + 1


def test_tending_a_vm_without_a_log_is_harmless(tmp_path: Path) -> None:
    console.tend(tmp_path)
    console.tend(tmp_path / "gone")
