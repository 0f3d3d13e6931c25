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
import shutil
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.host import on_cores, stat_fields
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


def hello(run: Run) -> dict[str, Any]:
    """The manifest of the demo guest."""
    file = run.hello / "hello.json"
    if not file.exists():
        raise NotMeasured(f"there is no guest in {run.hello}. Run: make setup")
    manifest: dict[str, Any] = json.loads(file.read_text())
    return manifest


@contextlib.contextmanager
def hypervisor(run: Run, manifest: dict[str, Any] | None = None) -> Iterator[tuple[Daemon, dict[str, Any]]]:
    """A daemon on QEMU with one plugin (the demo guest), free to use every core; and the plugin's manifest."""
    manifest = hello(run) if manifest is None else manifest
    with temporary() as home:
        roots = [str(root) for root in (run.hello, run.plugins) if root.is_dir()]
        daemon = Daemon(home, "qemu", ANYWHERE, *(word for root in roots for word in ("--artifact-root", root)))
        try:
            install(daemon, manifest)
            yield daemon, manifest
        finally:
            daemon.kill()


class Layer(NamedTuple):
    """A disk of the guest's own, over an image that it only reads."""

    path: Path
    base: Path
    base_format: str


class Recipe(NamedTuple):
    """How to start the daemon's guest without the daemon. `layers` are made anew before each start."""

    argv: list[str]
    nice: int
    port: int
    layers: tuple[Layer, ...] = ()

    @property
    def page(self) -> Address:
        """Where its page is."""
        return BARE_ADDRESS, self.port


def recipe(pid: int, vm: dict[str, Any], home: Path) -> Recipe:
    """The command line of a running guest, turned into one with files in `home` and an address of its own."""
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    replayed = [_own(word.replace(vm["ip"], BARE_ADDRESS), pid, home) for word in argv]
    disks = [json.loads(word) for word in replayed if word.startswith('{"driver":"qcow2"')]
    layers = tuple(_layer(disk) for disk in disks if disk.get("backing"))
    if "-name" in replayed:
        replayed[replayed.index("-name") + 1] = "bench-bare"  # so that no daemon takes it for its own
    if any(re.search(r"\bfd=\d", word) for word in replayed):
        raise NotMeasured(f"the guest's command line has descriptors that cannot be replayed: {' '.join(replayed)}")
    return Recipe(replayed, int(stat_fields(pid)[16]), int(vm["endpoints"][0]["port"]), layers)


def _own(word: str, pid: int, home: Path) -> str:
    """One word, with paths in place of what the daemon had opened for its guest."""
    word = re.sub(r"logfile=[^,]+", f"logfile={home}/console.log", word)
    word = re.sub(r"^(socket,id=(\w+)),fd=\d+", rf"\1,path={home}/\2.sock", word)
    return re.sub(
        r"/proc/self/fd/(\d+)", lambda found: _path(Path(f"/proc/{pid}/fd/{found[1]}").readlink(), home), word
    )


def _path(file: Path, home: Path) -> str:
    """A file of the cache where it is; one that is the guest's own beside the others in `home`, with what is on it."""
    if "disks" not in file.parts:
        return str(file)
    shutil.copyfile(file, home / file.name)
    return str(home / file.name)


def _layer(disk: dict[str, Any]) -> Layer:
    base = disk["backing"]
    return Layer(Path(disk["file"]["filename"]), Path(base["file"]["filename"]), base["driver"])


def lay(layers: tuple[Layer, ...]) -> None:
    """Make the disks of the bare guest, each as new as that of a VM that was never started."""
    for layer in layers:
        layer.path.unlink(missing_ok=True)
        base = ["-b", str(layer.base), "-F", layer.base_format]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, str(layer.path)], check=True)


@contextlib.contextmanager
def bare(recipe: Recipe, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The guest, started as a shell would, at the nice value that the daemon's guests have; killed at the end."""
    for left in (*home.glob("*.sock"), *home.glob("console.log")):
        left.unlink()
    with on_cores(ANYWHERE):  # as the daemon's guests are, and not on the core of whoever asks
        process = subprocess.Popen(recipe.argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, recipe.nice)
        yield process
    finally:
        process.kill()
        process.wait()


class Question(NamedTuple):
    """What a guest is asked, and how the answers begin that count; `lasts_s` is how long one may take to come."""

    text: bytes
    answers: tuple[bytes, ...]
    lasts_s: float = _ATTEMPT_LASTS_S


def page(path: str, lasts_s: float = _ATTEMPT_LASTS_S) -> Question:
    """`GET path`, answered with 200."""
    return Question(f"GET {path} HTTP/1.0\r\nhost: guest\r\n\r\n".encode(), (b"HTTP/1.0 200", b"HTTP/1.1 200"), lasts_s)


def first_page(address: Address, bound_s: float = BOOT_S) -> float:
    """Keep asking until the page comes; when it did (`time.perf_counter`)."""
    return first_answer(address, page("/"), bound_s)


def first_answer(
    address: Address, question: Question, bound_s: float = BOOT_S, meanwhile: Callable[[], None] = lambda: None
) -> float:
    """Keep asking until an answer comes; when it did (`time.perf_counter`). `meanwhile` is called every few ms."""
    attempts: deque[tuple[float, socket.socket]] = deque()
    deadline = time.perf_counter() + bound_s
    # Never more than ten at one time: a guest that is slow to answer would be kept busy by them.
    every_s = max(_ATTEMPT_EVERY_S, question.lasts_s / 10)
    with contextlib.ExitStack() as stack, select.epoll() as epoll:
        while (now := time.perf_counter()) < deadline:
            meanwhile()
            while attempts and attempts[0][0] < now - question.lasts_s:
                attempts.popleft()[1].close()
            if not attempts or attempts[-1][0] < now - every_s:
                attempts.append((now, stack.enter_context(_attempt(address, epoll))))
            by_fd = {sock.fileno(): sock for _, sock in attempts}
            for fd, _ in epoll.poll(_ATTEMPT_EVERY_S / 4):
                if fd in by_fd and _is_answered(by_fd[fd], question, epoll):
                    return time.perf_counter()
    raise NotMeasured(f"{address[0]}:{address[1]} gave no answer within {bound_s:.0f} s")


def _attempt(address: Address, epoll: select.epoll) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(address)
    epoll.register(sock, select.EPOLLOUT | select.EPOLLONESHOT)
    return sock


def _is_answered(sock: socket.socket, question: Question, epoll: select.epoll) -> bool:
    """Take one step with a connection that is ready for it: send the question, or read what came."""
    try:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        with contextlib.suppress(BlockingIOError):
            return sock.recv(4096).startswith(question.answers)
        sock.send(question.text)
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
