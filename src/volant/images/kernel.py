"""The guest kernel: Debian's cloud kernel, unpacked beside us and never installed.

    apt-cache show ──▶ package name ──apt-get download──▶ .deb ──dpkg -x──▶ <cache>/<package>/{boot, lib/modules}

A kernel is there completely or not at all: a package is unpacked under a dotted name and renamed when it is whole, so
a crash at any point leaves something that the next fetch sweeps away. A kernel that is there is used as it is, without
asking apt: set-up works offline the second time.

Deliberately absent: installing, initramfs-tools, the host's own kernel (it need not fit the guests), and trust of our
own making: apt checks the package against the archive's signature.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from volant.errors import StartupError
from volant.images.elf import module_needs

METAPACKAGE: Final = "linux-image-cloud-amd64"
APT_TIMEOUT_S: Final = 300.0
_PACKAGE: Final = re.compile(r"linux-image-[a-z0-9.+~-]+-cloud-amd64")
_MODULE_SUFFIXES: Final = (".ko", ".ko.xz")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs that fetch and unpack, as names on the PATH or as paths."""

    apt_cache: str = "apt-cache"
    apt_get: str = "apt-get"
    dpkg: str = "dpkg"


DEBIAN: Final = Tools()


@dataclass(frozen=True, slots=True)
class Kernel:
    """One unpacked kernel. `modules_dir` is its `lib/modules/<release>`."""

    vmlinuz: Path
    modules_dir: Path
    release: str


@dataclass(frozen=True, slots=True)
class Module:
    """One loadable module, uncompressed whatever it is on disk."""

    name: str
    data: bytes


def find_kernel(cache_dir: Path) -> Kernel | None:
    """The newest kernel unpacked below `cache_dir`, or None. Changes nothing."""
    found = [
        Kernel(vmlinuz, modules, release)
        for vmlinuz in cache_dir.glob("[!.]*/boot/vmlinuz-*")
        if (modules := _modules_dir(vmlinuz.parents[1], release := vmlinuz.name.removeprefix("vmlinuz-")))
    ]
    return max(found, key=lambda kernel: _natural(kernel.release), default=None)


def fetch_kernel(cache_dir: Path, *, tools: Tools = DEBIAN, timeout_s: float = APT_TIMEOUT_S) -> Kernel:
    """The kernel in `cache_dir`; fetched by apt first when there is none.

    Blocks for as long as the download takes. Raises StartupError when apt, its lists or the archive cannot be had.
    """
    present = find_kernel(cache_dir)
    if present is not None:
        return present
    package = newest_package(tools=tools, timeout_s=timeout_s)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        for leftover in cache_dir.glob(".fetch-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_dir) as scratch:
            root = _unpack(package, Path(scratch), tools, timeout_s)
            shutil.rmtree(cache_dir / package, ignore_errors=True)
            root.rename(cache_dir / package)
    except OSError as error:
        raise StartupError(f"cannot keep a guest kernel in {cache_dir}: {error.strerror}") from error
    fetched = find_kernel(cache_dir)
    if fetched is None:
        raise StartupError(f"cannot use {package}: it holds no kernel with modules")
    return fetched


def newest_package(*, tools: Tools = DEBIAN, timeout_s: float = APT_TIMEOUT_S) -> str:
    """The package that the cloud metapackage stands for now, from apt's lists. Raises StartupError without them."""
    shown = _run([tools.apt_cache, "show", "--no-all-versions", METAPACKAGE], Path("/"), timeout_s)
    depends = re.search(r"^Depends:(.*)$", shown, re.MULTILINE)
    package = _PACKAGE.search(depends[1]) if depends else None
    if package is None:
        raise StartupError(f"cannot find a guest kernel: {METAPACKAGE} names none. Run: apt-get update")
    return package[0]


def modules_in_order(kernel: Kernel, names: Sequence[str]) -> list[Module]:
    """The named modules and all they need, each after what it needs, each once.

    The order comes from the modules themselves, because a package that was never installed has no `modules.dep`. A
    name the kernel has built in is passed over; one it does not know is a StartupError.
    """
    files = {_module_name(path): path for path in sorted(kernel.modules_dir.rglob("*.ko*")) if _is_module(path)}
    ordered: list[Module] = []
    seen = _built_in(kernel)

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        if name not in files:
            raise StartupError(f"cannot find the module {name} of kernel {kernel.release}")
        data, needs = _read_module(files[name])
        for needed in needs:
            visit(needed.replace("-", "_"))
        ordered.append(Module(name, data))

    for name in names:
        visit(name)
    return ordered


def _modules_dir(root: Path, release: str) -> Path | None:
    # Debian 13 ships modules below usr/, Debian 12 does not.
    for modules in (root / "lib/modules" / release, root / "usr/lib/modules" / release):
        if (modules / "modules.builtin").is_file():
            return modules
    return None


def _unpack(package: str, scratch: Path, tools: Tools, timeout_s: float) -> Path:
    _run([tools.apt_get, "download", package], scratch, timeout_s)
    archive = next(scratch.glob("*.deb"), None)
    if archive is None:
        raise StartupError(f"cannot fetch {package}: apt-get download left no file. Run: apt-get update")
    root = scratch / "root"
    _run([tools.dpkg, "-x", str(archive), str(root)], scratch, timeout_s)
    return root


def _run(command: list[str], directory: Path, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except OSError as error:
        why = f"cannot run {command[0]} ({error.strerror})"
        raise StartupError(f"cannot fetch a guest kernel: {why}; it takes a Debian host") from error
    except subprocess.TimeoutExpired as error:
        raise StartupError(f"cannot fetch a guest kernel: {command[0]} took longer than {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise StartupError(f"cannot fetch a guest kernel: {command[0]}: {said}. Run: apt-get update")
    return done.stdout


def _natural(release: str) -> list[tuple[int, str]]:
    """A sort key in which 6.1.0-56 stands after 6.1.0-9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", release)]


def _is_module(path: Path) -> bool:
    return path.name.endswith(_MODULE_SUFFIXES)


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _built_in(kernel: Kernel) -> set[str]:
    # There: a directory without it is not taken for a kernel's.
    listed = (kernel.modules_dir / "modules.builtin").read_text(encoding="utf-8")
    return {_module_name(Path(line)) for line in listed.splitlines()}


def _read_module(path: Path) -> tuple[bytes, list[str]]:
    """The module uncompressed, and the names of the modules it needs."""
    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
        return data, module_needs(data)
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise StartupError(
            f"cannot read the kernel module {path}: {error}. Remove its kernel to fetch it anew"
        ) from error
