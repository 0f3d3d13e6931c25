"""Guest kernels: found where they were unpacked, fetched by apt when there is none, modules in loading order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.elves import a_kernel_tree, a_module

from volant.errors import StartupError
from volant.images.elf import module_needs
from volant.images.kernel import Kernel, Tools, fetch_kernel, find_kernel, modules_in_order, newest_package

RELEASE = "6.1.0-56-cloud-amd64"
PACKAGE = f"linux-image-{RELEASE}"
VIRTIO = {
    "virtio_net": a_module("virtio_net", "virtio", "virtio-ring", "net_failover"),
    "net_failover": a_module("net_failover", "failover"),
    "failover": a_module("failover"),
    "virtio": a_module("virtio", "virtio_ring"),
    "virtio-ring": a_module("virtio_ring"),
    "unwanted": a_module("unwanted"),
}


def a_kernel(tmp_path: Path, modules: dict[str, bytes], **tree: object) -> Kernel:
    """Unpacked, and found again."""
    a_kernel_tree(tmp_path / PACKAGE, RELEASE, modules, **tree)  # type: ignore[arg-type]
    found = find_kernel(tmp_path)
    assert found is not None
    return found


def a_script(path: Path, text: str) -> str:
    """An executable; what it is called with is added to `<path>.calls`."""
    path.write_text(f'#!/bin/sh\necho "$@" >>"{path}.calls"\n{text}\n')
    path.chmod(0o755)
    return str(path)


def a_debian(tmp_path: Path, **scripts: str) -> Tools:
    """A host whose apt has one kernel."""
    tree = a_kernel_tree(tmp_path / "content", RELEASE, VIRTIO)
    shown = f"Package: linux-image-cloud-amd64\nDepends: {PACKAGE} (= 6.1.192-2)\nDescription: kernel"
    return Tools(
        apt_cache=a_script(tmp_path / "apt-cache", scripts.get("apt_cache", f"cat <<E\n{shown}\nE")),
        apt_get=a_script(tmp_path / "apt-get", scripts.get("apt_get", 'touch "$2_6.1.192-2_amd64.deb"')),
        dpkg=a_script(tmp_path / "dpkg", scripts.get("dpkg", f'cp -r "{tree}" "$3"')),
    )


def calls(tmp_path: Path, tool: str) -> list[str]:
    """How often, and with what."""
    log = tmp_path / f"{tool}.calls"
    return log.read_text().splitlines() if log.exists() else []


def test_a_fetched_kernel_is_whole_and_found_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    kernel = fetch_kernel(cache, tools=a_debian(tmp_path))
    assert kernel == find_kernel(cache)
    assert (kernel.release, kernel.vmlinuz.read_bytes()) == (RELEASE, b"kernel image")
    assert [path.name for path in cache.iterdir()] == [PACKAGE]


def test_a_kernel_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    tools = a_debian(tmp_path)
    first = fetch_kernel(tmp_path / "cache", tools=tools)
    assert fetch_kernel(tmp_path / "cache", tools=tools) == first
    assert len(calls(tmp_path, "apt-get")) == len(calls(tmp_path, "apt-cache")) == 1


def test_what_an_interrupted_fetch_left_is_neither_found_nor_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    a_kernel_tree(cache / ".fetch-abc", RELEASE)
    assert find_kernel(cache) is None
    fetch_kernel(cache, tools=a_debian(tmp_path))
    assert not (cache / ".fetch-abc").exists()


@pytest.mark.parametrize("tool", ["apt_cache", "apt_get", "dpkg"])
def test_a_tool_that_fails_is_one_sentence_and_leaves_nothing(tmp_path: Path, tool: str) -> None:
    tools = a_debian(tmp_path, **{tool: "echo 'W: careful' >&2; echo 'E: no such thing' >&2; exit 100"})
    with pytest.raises(StartupError, match=r"cannot fetch a guest kernel: .*: E: no such thing\. Run: apt-get update"):
        fetch_kernel(tmp_path / "cache", tools=tools)
    assert not list((tmp_path / "cache").glob("*"))


def test_a_host_without_apt_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="it takes a Debian host"):
        fetch_kernel(tmp_path / "cache", tools=Tools(apt_cache=str(tmp_path / "missing")))


def test_a_download_that_hangs_ends(tmp_path: Path) -> None:
    tools = a_debian(tmp_path, apt_get="exec sleep 60")
    with pytest.raises(StartupError, match="longer than"):
        fetch_kernel(tmp_path / "cache", tools=tools, timeout_s=0.5)


def test_a_package_without_a_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="holds no kernel"):
        fetch_kernel(tmp_path / "cache", tools=a_debian(tmp_path, dpkg='mkdir "$3"'))


def test_lists_that_name_no_kernel_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="Run: apt-get update"):
        newest_package(tools=a_debian(tmp_path, apt_cache="echo 'Depends: ../../evil'"))


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot keep a guest kernel"):
        fetch_kernel(tmp_path / "file" / "cache", tools=a_debian(tmp_path))


def test_the_newest_kernel_is_the_one_with_the_highest_numbers(tmp_path: Path) -> None:
    for release in ("6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-10-cloud-amd64"):
        a_kernel_tree(tmp_path / f"linux-image-{release}", release)
    found = find_kernel(tmp_path)
    assert found is not None
    assert found.release == "6.1.0-56-cloud-amd64"


def test_a_kernel_without_modules_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "x/boot").mkdir(parents=True)
    (tmp_path / "x/boot/vmlinuz-6.1").write_bytes(b"")
    assert find_kernel(tmp_path) is None


def test_modules_below_usr_are_found(tmp_path: Path) -> None:
    assert a_kernel(tmp_path, VIRTIO, usr=True).modules_dir == tmp_path / PACKAGE / "usr/lib/modules" / RELEASE


@pytest.mark.parametrize("packed", [False, True], ids=[".ko", ".ko.xz"])
def test_modules_come_unpacked_and_after_what_they_need(tmp_path: Path, packed: bool) -> None:
    kernel = a_kernel(tmp_path, VIRTIO, packed=packed)
    modules = modules_in_order(kernel, ["virtio_net"])
    assert [m.name for m in modules] == ["virtio_ring", "virtio", "failover", "net_failover", "virtio_net"]
    assert modules[-1].data == VIRTIO["virtio_net"]


def test_a_built_in_module_is_passed_over(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, {"evdev": a_module("evdev", "input-core")}, built_in=("input-core", "button"))
    assert [module.name for module in modules_in_order(kernel, ["button", "evdev"])] == ["evdev"]


def test_a_module_that_the_kernel_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, {"a": a_module("a", "b")})
    with pytest.raises(StartupError, match=f"cannot find the module b of kernel {RELEASE}"):
        modules_in_order(kernel, ["a"])


def test_a_damaged_module_is_one_sentence(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, {"a": b"\x7fELF"})
    with pytest.raises(StartupError, match="cannot read the kernel module"):
        modules_in_order(kernel, ["a"])


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4), min_size=1))
def test_every_module_stands_after_its_needs_and_once(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, list[str]]
) -> None:
    # A module may need those with a later letter: there is no cycle.
    needs = {name: [need for need in wanted.get(name, []) if need > name] for name in "abcdefgh"}
    kernel = a_kernel(tmp_path_factory.mktemp("k"), {name: a_module(name, *needs[name]) for name in needs})
    ordered = modules_in_order(kernel, sorted(wanted))
    names = [module.name for module in ordered]
    assert len(names) == len(set(names)) and set(wanted) <= set(names)
    for index, module in enumerate(ordered):
        assert set(module_needs(module.data)) <= set(names[:index])
