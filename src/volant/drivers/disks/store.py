"""The port `Disks`, by files.

    wanted ──▶ recorded? ──no──▶ record "wanted" ▸ make beside ▸ rename ▸ record "made"
                  └──yes──▶ same image? ▸ still there? ▸ grow if it must

What a crash leaves: before the rename, a record that is not "made" and a file beside, which the next attempt replaces;
after it, a disk that no guest has seen, which is taken as it is. A disk that was made and is not there any more, or one
that no record names, is for people to decide about: both are refused, and nothing is removed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Uid
from volant.drivers import DiskFile, DiskSpec, VMFiles
from volant.drivers.disks.folder import Folder, open_folder
from volant.drivers.disks.qemu_img import QemuImg, layer_size
from volant.errors import (
    ArtifactRefused,
    ArtifactUnavailable,
    DriverError,
    DriverRefused,
    DriverUnavailable,
    StartupError,
)

NOBODY = 65534
RECORD = "disks.json"
SEED = "seed.iso"

_MAX_RECORD = 1 << 16
_MIB = 1 << 20
_RESERVED = "seed"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
_UID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")

VirtualSize = Callable[[Path, str], int]
"""Path and format of an image -> how large a disk it is, in bytes. Blocks. May raise an ArtifactError."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a disk was made of; `is_made` once it is there."""

    base_digest: str | None = None
    base_format: Literal["raw", "qcow2"] | None = None
    is_made: bool = False


Records = dict[str, Record]


class DiskStore:
    """One directory a VM below `root`. `qemu_img_uid` is who qemu-img runs as when the daemon is root.

    Raises StartupError when `root` cannot be made, or others may write to it.
    """

    def __init__(
        self, root: Path, *, virtual_size: VirtualSize, qemu_img: str = "qemu-img", qemu_img_uid: int = NOBODY
    ) -> None:
        self._root = root.absolute()
        self._virtual_size = virtual_size
        self._tool = QemuImg(program=qemu_img, uid=qemu_img_uid)
        try:
            _prepare(self._root)
        except OSError as error:
            raise StartupError(f"cannot keep disks in {root}: {error.strerror or error}") from error

    async def ensure(self, uid: Uid, wanted: tuple[DiskSpec, ...], seed: bytes | None) -> VMFiles:
        """Have each disk and the seed. Without either nothing is made."""
        return await asyncio.to_thread(self._ensure, uid, wanted, seed)

    async def ensure_absent(self, uid: Uid) -> None:
        """Remove the VM's directory. What is no directory of ours is left alone."""
        await asyncio.to_thread(self._remove, uid)

    async def has(self, uid: Uid) -> bool:
        """Whether the VM has a directory. A look of microseconds, so on the loop."""
        return self._of(uid).is_dir()

    async def observe(self) -> list[Uid]:
        """The VMs that have a directory. Whatever else lies there is not looked at."""
        return await asyncio.to_thread(self._uids)

    def _ensure(self, uid: Uid, wanted: tuple[DiskSpec, ...], seed: bytes | None) -> VMFiles:
        _check(wanted)
        try:
            with open_folder(self._of(uid), make=bool(wanted or seed is not None)) as folder:
                if folder is None:
                    return VMFiles()
                return VMFiles(disks=self._disks(folder, wanted), seed=_seed(folder, seed))
        except OSError as error:
            raise DriverUnavailable(f"cannot keep the disks of {uid}: {error.strerror or error}") from error

    def _disks(self, folder: Folder, wanted: tuple[DiskSpec, ...]) -> tuple[DiskFile, ...]:
        if not wanted:
            return ()
        records = _read(folder)
        sizes = {spec.name: self._begin(folder, spec, records) for spec in wanted}
        if any(spec.name not in records for spec in wanted):
            records = {**{spec.name: _record_of(spec) for spec in wanted}, **records}
            _write(folder, records)
        for spec in wanted:
            try:
                self._have(folder, spec, sizes[spec.name])
            except DriverError as error:
                raise type(error)(f"cannot use disk {spec.name}: {error.message}") from error
        if not all(records[spec.name].is_made for spec in wanted):
            made = {spec.name: replace(records[spec.name], is_made=True) for spec in wanted}
            _write(folder, {**records, **made})
        return tuple(
            DiskFile(name=s.name, path=folder.path / _file(s), base=s.base, base_format=s.base_format) for s in wanted
        )

    def _begin(self, folder: Folder, spec: DiskSpec, records: Records) -> int:
        """The size that a new disk begins with; 0 for one that is there. Changes nothing."""
        record, is_there = records.get(spec.name), folder.has(_file(spec))
        where = folder.path / _file(spec)
        if record is None and is_there:
            raise DriverRefused(f"cannot use {where}: {RECORD} beside it does not name it. Move it away")
        if record is not None and (record.base_digest, record.base_format) != (spec.base_digest, spec.base_format):
            raise DriverRefused(
                f"cannot use disk {spec.name}: it was made of {_said(record.base_digest)} and is now to be one of "
                f"{_said(spec.base_digest)}. Delete the VM and create it again, or give the plugin its image back"
            )
        if record is not None and record.is_made and not is_there:
            raise DriverRefused(f"cannot find disk {spec.name}: {where} is gone. Put it back, or delete the VM")
        return 0 if is_there else self._first_size(spec)

    def _first_size(self, spec: DiskSpec) -> int:
        asked = None if spec.size_mb is None else spec.size_mb * _MIB
        if spec.base is None:
            if asked is None:
                raise DriverRefused(
                    f"cannot make disk {spec.name}: it has neither a size nor an image. Set its size_mb"
                )
            return asked
        try:
            least = self._virtual_size(spec.base, str(spec.base_format))
        except ArtifactRefused as error:
            raise DriverRefused(f"cannot make disk {spec.name}: {error.message}") from error
        except ArtifactUnavailable as error:
            raise DriverUnavailable(f"cannot make disk {spec.name}: {error.message}") from error
        if asked is not None and asked < least:
            raise DriverRefused(
                f"cannot make disk {spec.name} of {spec.size_mb} MiB: its image has {-(-least // _MIB)} MiB. "
                "Ask for as much at least, or leave size_mb out"
            )
        return asked or least

    def _have(self, folder: Folder, spec: DiskSpec, first_size: int) -> None:
        if first_size:
            with folder.fresh(_file(spec), sync=True) as descriptor:
                self._tool.create(descriptor, first_size, spec.base, spec.base_format)
            return
        with folder.opened(_file(spec), os.O_RDWR) as descriptor:
            size = layer_size(descriptor)
            asked = size if spec.size_mb is None else spec.size_mb * _MIB
            if asked < size:
                raise DriverRefused(f"it has {-(-size // _MIB)} MiB and cannot shrink to {spec.size_mb}")
            if asked > size:
                self._tool.grow(descriptor, asked)
                os.fsync(descriptor)

    def _remove(self, uid: Uid) -> None:
        path = self._of(uid)
        try:
            if path.is_dir() and not path.is_symlink():
                with open_folder(path, make=False):
                    shutil.rmtree(path)
        except OSError as error:
            raise DriverUnavailable(f"cannot remove {path}: {error.strerror or error}") from error

    def _uids(self) -> list[Uid]:
        try:
            with os.scandir(self._root) as entries:
                return [Uid(e.name) for e in entries if _UID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise DriverUnavailable(f"cannot look for disks in {self._root}: {error.strerror}") from error

    def _of(self, uid: Uid) -> Path:
        if _UID.fullmatch(uid) is None:
            raise DriverRefused(f"cannot use {uid!r} as a uid: only lower-case letters, digits and dashes")
        return self._root / uid


def _prepare(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = root.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise PermissionError(f"{root} belongs to or may be written by somebody else")


def _check(wanted: tuple[DiskSpec, ...]) -> None:
    """Names become parts of paths, and of what the guest is told."""
    for spec in wanted:
        if _NAME.fullmatch(spec.name) is None or spec.name == _RESERVED:
            raise DriverRefused(f"cannot use {spec.name!r} as the name of a disk")
        if spec.base is not None and (spec.base_format is None or spec.base_digest is None):
            raise DriverRefused(f"cannot make disk {spec.name}: the format or the digest of its image is not stated")
        if spec.size_mb is not None and spec.size_mb < 1:
            raise DriverRefused(f"cannot make disk {spec.name}: a disk of {spec.size_mb} MiB is none")
    if len({spec.name for spec in wanted}) != len(wanted):
        raise DriverRefused("cannot make two disks of one name")


def _seed(folder: Folder, seed: bytes | None) -> Path | None:
    if seed is None:
        folder.remove(SEED)
        return None
    # Not synced: it is written anew before each start.
    folder.write(SEED, seed, sync=False)
    return folder.path / SEED


def _read(folder: Folder) -> Records:
    """The records. One that cannot be read is no reason to begin anew: there are disks whose image it names."""
    data = folder.read(RECORD, _MAX_RECORD)
    if data is None:
        return {}
    try:
        return msgspec.json.decode(data, type=Records)
    except msgspec.MsgspecError as error:
        raise DriverRefused(f"cannot read {folder.path / RECORD}: it is damaged. Put back a copy of it") from error


def _write(folder: Folder, records: Records) -> None:
    folder.write(RECORD, msgspec.json.encode(records), sync=True)


def _record_of(spec: DiskSpec) -> Record:
    return Record(base_digest=spec.base_digest, base_format=spec.base_format)


def _file(spec: DiskSpec) -> str:
    return f"{spec.name}.qcow2"


def _said(digest: str | None) -> str:
    return "no image" if digest is None else f"image {digest[:12]}"
