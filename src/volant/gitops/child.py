"""One git, as a child process: bounded in time and in what it says, and ended as soon as nobody waits for it.

    command ──begun──▶ a process group of its own ──read until it ends, or a bound is met──▶ Said

Whatever ends the wait, an exception too, ends the child, and with it what it has begun: ssh, a credential helper. What
it is given to hold stays held for as long as any of them lives, also when nobody is left to end them.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, Final, NamedTuple

from volant.clock import Clock
from volant.gitops.failing import SyncFailed

LOOK_UP_S: Final = 0.2
"""How soon it is noticed that nobody waits for a git any more."""
MAX_COMPLAINT: Final = 64 << 10
"""Bytes of what it says on standard error that are kept: the last."""
_CHUNK: Final = 1 << 16


class Said(NamedTuple):
    """How a git has ended."""

    status: int
    out: bytes
    complaint: bytes


class Terms(NamedTuple):
    """What a git is told and given, and what it may take: seconds, and bytes on standard output.

    `held` are descriptors that it keeps open, and so does whatever it begins.
    """

    environ: Mapping[str, str]
    bound_s: float
    most: int
    given: bytes = b""
    held: Sequence[int] = ()


def run(command: Sequence[str], terms: Terms, is_ended: Callable[[], bool], clock: Clock) -> Said:
    """All that it says, once it has ended. Blocks. Raises SyncFailed with why it had to be ended, and no more."""
    with _given(terms.given) as given:
        child = _begun(command, terms, given)
        try:
            return _heard(child, terms, is_ended, clock)
        finally:
            _ended(child)


@contextmanager
def _given(content: bytes) -> Iterator[IO[bytes] | int]:
    """A file, because a pipe would have to be written while it is read from."""
    if not content:
        yield subprocess.DEVNULL
        return
    with TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file


def _begun(command: Sequence[str], terms: Terms, given: IO[bytes] | int) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        # A session of its own has no terminal on which git or ssh could ask.
        return subprocess.Popen(
            command,
            stdin=given,
            stdout=pipe,
            stderr=pipe,
            env=terms.environ,
            pass_fds=tuple(terms.held),
            start_new_session=True,
        )
    except OSError as error:
        raise SyncFailed(f"{error.strerror}. Is git installed?") from error


def _heard(child: subprocess.Popen[bytes], terms: Terms, is_ended: Callable[[], bool], clock: Clock) -> Said:
    end, out, complaint = clock.monotonic() + terms.bound_s, bytearray(), bytearray()
    with selectors.DefaultSelector() as open_ones:
        for pipe, into in ((child.stdout, out), (child.stderr, complaint)):
            assert pipe is not None  # noqa: S101 -- both were asked for
            open_ones.register(pipe, selectors.EVENT_READ, into)
        while open_ones.get_map() or child.poll() is None:
            # Looked up here and not killed by who ends it: only the thread that waits for a child knows that its
            # number is still its own.
            if is_ended():
                raise SyncFailed("it was told to end")
            if clock.monotonic() >= end:
                raise SyncFailed("git takes too long")
            if not _read(open_ones, child):
                break
            if len(out) > terms.most:
                raise SyncFailed(f"there is more of it than {terms.most >> 20} MiB")
            del complaint[:-MAX_COMPLAINT]
    return Said(child.returncode, bytes(out), bytes(complaint))


def _read(open_ones: selectors.BaseSelector, child: subprocess.Popen[bytes]) -> bool:
    """What is there to be read; whether there can be more."""
    if not open_ones.get_map():
        with suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_UP_S)
        return True
    found = open_ones.select(LOOK_UP_S)
    for key, _ in found:
        chunk = os.read(key.fd, _CHUNK)
        key.data.extend(chunk)
        if not chunk:
            open_ones.unregister(key.fileobj)
    # A helper that outlives git may keep its outputs open, and says nothing that anybody waits for.
    return bool(found) or child.poll() is None


def _ended(child: subprocess.Popen[bytes]) -> None:
    """It and all that it has begun are gone."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
