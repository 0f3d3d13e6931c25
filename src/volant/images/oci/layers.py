"""The bytes of a layer: checked while they are read, unpacked within bounds.

    file ──▶ Checked: digest, size ──▶ gzip, zstd or nothing ──▶ Plain: budget, digest ──▶ tar

Nothing is believed before the end: `plain_layer` raises when it is left and what was read is not what the manifest and
the config say. A layer that grows to more than its size makes plausible is refused while it grows.
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final, NoReturn, cast

from volant.errors import ArtifactRefused
from volant.images.oci.manifest import Descriptor
from volant.images.oci.tar import Readable

_PIECE: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may take. `ratio` and `slack_bytes`: what a layer may grow to is its size times, and plus, that.

    `keep_free_bytes` is left free on the disk that is unpacked to, whatever the image says.
    """

    max_bytes: int = 16 << 30
    max_entries: int = 500_000
    ratio: int = 200
    slack_bytes: int = 16 << 20
    keep_free_bytes: int = 256 << 20


class Checked:
    """A stream that is hashed and counted as it is read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = _PIECE, /) -> bytes:
        """The next bytes; none at the end."""
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        """Of what was read so far: `sha256:<hex>`."""
        return "sha256:" + self._hash.hexdigest()


class Plain(Checked):
    """An unpacked layer, cut off where it is too large."""

    def __init__(self, stream: Readable, most: int) -> None:
        super().__init__(stream)
        self._most = most

    def read(self, size: int = _PIECE, /) -> bytes:
        """The next bytes; none at the end. Raises ArtifactRefused beyond what the layer may grow to."""
        data = super().read(size)
        if self.size > self._most:
            raise ArtifactRefused(f"cannot unpack a layer: it grows to more than {self._most} bytes")
        return data


class _Gzip:
    """One gzip member after another. Never more of the plain bytes in memory than were asked for."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._member = zlib.decompressobj(wbits=31)
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._member.eof:
                self._waiting = self._member.unused_data or self._stream.read(_PIECE)
                if not self._waiting.strip(b"\0"):
                    return b""  # the end, or the padding of a tape
                self._member = zlib.decompressobj(wbits=31)
            piece = self._waiting or self._stream.read(_PIECE)
            try:
                data = self._member.decompress(piece, size)
            except zlib.error:
                raise ArtifactRefused("cannot unpack a layer: it is not gzip, or damaged") from None
            self._waiting = self._member.unconsumed_tail
            if data:
                return data
            if not piece and not self._member.eof:
                raise ArtifactRefused("cannot unpack a layer: it ends too early")


@contextmanager
def plain_layer(file: Readable, said: Descriptor | None, diff_id: str, limits: Limits, room: int) -> Iterator[Plain]:
    """The layer's tar. On leaving, the rest is read, and both digests are compared: ArtifactRefused if one is wrong.

    `room` is what all layers together may still grow by. Of a layer that nothing is `said` of, the file is the tar.
    """
    packed = Checked(file)
    most = room if said is None else min(room, limits.slack_bytes + limits.ratio * said.size)
    with _unpacked(packed, "" if said is None else said.compression) as stream:
        plain = Plain(stream, most)
        yield plain
        while plain.read():
            pass
    while packed.read():
        pass
    is_as_said = said is None or (packed.digest, packed.size) == (said.digest, said.size)
    if not is_as_said or plain.digest != diff_id:
        raise ArtifactRefused("cannot use an image: a layer is not what its digest and size say")


@contextmanager
def _unpacked(packed: Checked, compression: str) -> Iterator[Readable]:
    if compression == "gzip":
        yield _Gzip(packed)
    elif compression == "zstd":
        with _zstd(packed) as stream:
            yield stream
    else:
        yield packed


@contextmanager
def _zstd(packed: Checked) -> Iterator[IO[bytes]]:
    # By the command, because Python 3.11 has no zstd of its own. It gets a pipe and bounded memory, and no file.
    try:
        process = subprocess.Popen(
            ["zstd", "-d", "-c", "-q", "--memory=128MB"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise ArtifactRefused("cannot unpack a layer: it is packed with zstd. Install the command zstd") from None
    pipe, stream = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    feeder = threading.Thread(target=_feed, args=(packed, pipe), name="zstd", daemon=True)
    feeder.start()
    try:
        yield stream
        feeder.join()
        if process.wait() != 0:
            _damaged()
    finally:
        process.kill()
        process.wait()
        feeder.join()
        stream.close()


def _feed(packed: Checked, pipe: IO[bytes]) -> None:
    # It ends early when the other side does; whether all was well is seen from the exit status and the digests.
    with suppress(OSError, ValueError):
        while piece := packed.read():
            pipe.write(piece)
    with suppress(OSError):
        pipe.close()


def _damaged() -> NoReturn:
    raise ArtifactRefused("cannot unpack a layer: it is not zstd, or damaged")
