"""A few small files as an ISO 9660 image, made in process. The same files give the same bytes.

    {"user-data": b"...", "volant/names": b"..."} ──▶ image with Rock Ridge and Joliet names, every date the same

Rock Ridge is what Linux reads, Joliet what others read. The dates are taken out afterwards because the library that
writes the image asks the clock for every one of them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from volant.errors import ArtifactRefused

SECTOR: Final = 2048
_FIRST_DESCRIPTOR: Final = 16
_LAST: Final = 255
_DATED: Final = (1, 2)
"""Descriptors that carry dates: the primary one and Joliet's."""

_ROOT: Final = 156
_VOLUME_DATES: Final = 813
_NO_VOLUME_DATES: Final = (b"0" * 16 + b"\0") * 4
_RECORD_DATE: Final = 18
_NEW_YEAR: Final = bytes((100, 1, 1, 0, 0, 0, 0))
"""Of 2000, in UTC."""


def iso(files: Mapping[str, bytes], label: str) -> bytes:
    """The image. Names are relative, of at most one directory and below 64 characters; only root reads the files."""
    image = PyCdlib()
    try:
        image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label, sys_ident="LINUX")
        _fill(image, files)
        out = io.BytesIO()
        image.write_fp(out)
    except PyCdlibException as error:
        raise ArtifactRefused(f"cannot make a seed disk: {error}") from error
    finally:
        image.close()
    return _without_dates(bytearray(out.getvalue()))


def _fill(image: PyCdlib, files: Mapping[str, bytes]) -> None:
    # Names of ISO 9660 itself are numbers: they know neither lower case nor '-', and nobody looks at them.
    places = {"": ""}
    directories = {name[:at] for name in files for at, letter in enumerate(name) if letter == "/"}
    for number, directory in enumerate(sorted(directories)):
        parent, _, last = directory.rpartition("/")
        places[directory] = f"{places[parent]}/D{number}"
        image.add_directory(places[directory], rr_name=last, joliet_path=f"/{directory}", file_mode=0o040500)
    for number, (name, data) in enumerate(sorted(files.items())):
        parent, _, last = name.rpartition("/")
        place = f"{places[parent]}/F{number}.;1"
        stream = io.BytesIO(data)
        image.add_fp(stream, len(data), place, rr_name=last, joliet_path=f"/{name}", file_mode=0o100400)


def _without_dates(image: bytearray) -> bytes:
    sector = _FIRST_DESCRIPTOR
    while (kind := image[sector * SECTOR]) != _LAST:
        if kind in _DATED:
            dates = sector * SECTOR + _VOLUME_DATES
            image[dates : dates + len(_NO_VOLUME_DATES)] = _NO_VOLUME_DATES
            for record in _records(image, sector * SECTOR + _ROOT):
                _undate(image, record)
        sector += 1
    return bytes(image)


def _records(image: bytearray, directory: int) -> Iterator[int]:
    """Where the record of a directory is, and those of all that is below it."""
    yield directory
    extent, size = struct.unpack_from("<I4xI", image, directory + 2)
    at, end = extent * SECTOR, extent * SECTOR + size
    while at < end:
        if image[at] == 0:  # no record crosses the end of a sector
            at += SECTOR - at % SECTOR
            continue
        is_directory, is_itself_or_parent = image[at + 25] & 2, image[at + 33] in (0, 1) and image[at + 32] == 1
        if is_directory and not is_itself_or_parent:
            yield from _records(image, at)
        else:
            yield at
        at += image[at]


def _undate(image: bytearray, record: int) -> None:
    image[record + _RECORD_DATE : record + _RECORD_DATE + len(_NEW_YEAR)] = _NEW_YEAR
    # What follows the name, at an even place, are fields of Rock Ridge: two letters, the length, the version, data.
    name_bytes = image[record + 32]
    at, end = record + 33 + name_bytes + (1 - name_bytes % 2), record + image[record]
    while at + 4 <= end and image[at + 2] >= 4:
        if image[at : at + 2] == b"TF":
            image[at + 5 : at + image[at + 2]] = _NEW_YEAR * ((image[at + 2] - 5) // len(_NEW_YEAR))
        at += image[at + 2]
