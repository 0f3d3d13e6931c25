"""Real guests, from outside: the command line of the daemon's QEMU started again without the daemon, and its page.

    /proc/PID/cmdline of the daemon's guest ──replayed──▶ the same command; sockets, log, mark and address of its own

What the bare command does not have is what the daemon is there for: records, supervision, fewer rights.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.host import stat_fields
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import ANYWHERE, Daemon, install, temporary
from bench.wire import Address

BARE_ADDRESS = "127.88.255.250"
"""At the far end of the daemon's pool: the lowest addresses are handed out first."""
BOOT_S = 60.0
_ATTEMPT_EVERY_S = 0.02
_ATTEMPT_LASTS_S = 0.2
"""QEMU accepts for the guest before there is one and repeats its own attempt only after seconds: an attempt that has
not been answered soon never will be in time, so a new one is made meanwhile."""


@contextlib.contextmanager
def hypervisor(run: Run) -> Iterator[tuple[Daemon, dict[str, Any]]]:
    """A daemon on QEMU with the plugin of the demo guest, free to use every core; and the plugin's manifest."""
    file = run.hello / "hello.json"
    if not file.exists():
        raise NotMeasured(f"there is no guest in {run.hello}. Run: make setup")
    manifest = json.loads(file.read_text())
    with temporary() as home:
        daemon = Daemon(home, "qemu", ANYWHERE, "--artifact-root", str(run.hello))
        try:
            install(daemon, manifest)
            yield daemon, manifest
        finally:
            daemon.kill()


class Recipe(NamedTuple):
    """How to start the daemon's guest without the daemon."""

    argv: list[str]
    nice: int
    port: int

    @property
    def page(self) -> Address:
        """Where its page is."""
        return BARE_ADDRESS, self.port


def recipe(pid: int, vm: dict[str, Any], home: Path) -> Recipe:
    """The command line of a running guest, turned into one with files in `home` and an address of its own."""
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    replayed = [_own(word.replace(vm["ip"], BARE_ADDRESS), pid, home) for word in argv]
    if "-name" in replayed:
        replayed[replayed.index("-name") + 1] = "bench-bare"  # so that no daemon takes it for its own
    if any(re.search(r"\bfd=\d", word) for word in replayed):
        raise NotMeasured(f"the guest's command line has descriptors that cannot be replayed: {' '.join(replayed)}")
    return Recipe(replayed, int(stat_fields(pid)[16]), int(vm["endpoints"][0]["port"]))


def _own(word: str, pid: int, home: Path) -> str:
    """One word, with paths in place of what the daemon had opened for its guest."""
    word = re.sub(r"logfile=[^,]+", f"logfile={home}/console.log", word)
    word = re.sub(r"^(socket,id=(\w+)),fd=\d+", rf"\1,path={home}/\2.sock", word)
    return re.sub(r"/proc/self/fd/(\d+)", lambda found: str(Path(f"/proc/{pid}/fd/{found[1]}").readlink()), word)


@contextlib.contextmanager
def bare(recipe: Recipe, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The guest, started as a shell would, at the nice value that the daemon's guests have; killed at the end."""
    for left in home.glob("*.sock"):
        left.unlink()
    process = subprocess.Popen(recipe.argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, recipe.nice)
        yield process
    finally:
        process.kill()
        process.wait()


def first_page(address: Address, bound_s: float = BOOT_S) -> float:
    """Keep asking until the page comes; when it did (`time.perf_counter`)."""
    attempts: deque[tuple[float, socket.socket]] = deque()
    deadline = time.perf_counter() + bound_s
    with contextlib.ExitStack() as stack, select.epoll() as epoll:
        while (now := time.perf_counter()) < deadline:
            while attempts and attempts[0][0] < now - _ATTEMPT_LASTS_S:
                attempts.popleft()[1].close()
            if not attempts or attempts[-1][0] < now - _ATTEMPT_EVERY_S:
                attempts.append((now, stack.enter_context(_attempt(address, epoll))))
            by_fd = {sock.fileno(): sock for _, sock in attempts}
            for fd, _ in epoll.poll(_ATTEMPT_EVERY_S / 4):
                if fd in by_fd and _has_page(by_fd[fd], address, epoll):
                    return time.perf_counter()
    raise NotMeasured(f"http://{address[0]}:{address[1]}/ had no page within {bound_s:.0f} s")


def _attempt(address: Address, epoll: select.epoll) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(address)
    epoll.register(sock, select.EPOLLOUT | select.EPOLLONESHOT)
    return sock


def _has_page(sock: socket.socket, address: Address, epoll: select.epoll) -> bool:
    """Take one step with a connection that is ready for it: send the request, or read what came."""
    try:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        with contextlib.suppress(BlockingIOError):
            return sock.recv(4096).startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
        sock.send(f"GET / HTTP/1.0\r\nhost: {address[0]}\r\n\r\n".encode())
        epoll.modify(sock, select.EPOLLIN | select.EPOLLONESHOT)
    except OSError:
        pass
    return False


def until_running(home: Path, bound_s: float = 10.0) -> float:
    """Ask the bare guest's QMP until it says that the guest runs; when it did."""
    deadline = time.perf_counter() + bound_s
    while time.perf_counter() < deadline:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(bound_s)
            qmp.connect(str(home / "qmp.sock"))
            lines = qmp.makefile("rwb")
            lines.readline()
            for command in ("qmp_capabilities", "query-status"):
                lines.write(json.dumps({"execute": command}).encode())
                lines.flush()
                answer = json.loads(lines.readline())
            if answer.get("return", {}).get("running"):
                return time.perf_counter()
        time.sleep(0.0005)
    raise NotMeasured(f"the bare guest does not run after {bound_s:.0f} s")
