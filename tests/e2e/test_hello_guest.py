"""The demo guest on a bare QEMU, without Volant around it: it serves its page, and it leaves when asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.builders.bare_qemu import ADDRESS, QBOOT, SEABIOS, Guest, get, guests, the_kernel, until

from volant.images.hello import Built, build_hello, hello_document
from volant.model.plugin import Manifest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image as this tree builds it."""
    return build_hello(tmp_path_factory.mktemp("hello"), the_kernel(), Path("/bin/busybox"))


@pytest.fixture
def boot(tmp_path: Path, image: Built) -> Iterator[Callable[..., Guest]]:
    """Start a guest. None outlives the test."""
    with guests(tmp_path) as start:
        yield lambda *firmware: start(image.kernel, image.initramfs, *firmware)


def test_the_page_names_the_vm_and_the_guest_shuts_down_on_a_line(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    page = guest.page()
    assert page.startswith("HTTP/1.1 200")
    assert "Hello from web-1" in page
    assert f"address: {ADDRESS}" in page
    assert "volant: ready" in guest.console
    agent = guest.connect("agent")
    assert guest.greeting(agent) == "volant: agent of web-1\n"
    monitor = guest.monitor()
    agent.sendall(b"something else\n; poweroff -f\nshutdown\n")
    assert guest.reason(monitor) == "guest-shutdown"
    assert "volant: poweroff" in guest.console


@pytest.mark.parametrize("firmware", [QBOOT, SEABIOS], ids=["qboot", "seabios"])
def test_the_guest_shuts_down_when_its_power_button_is_pressed(
    boot: Callable[..., Guest], firmware: tuple[str, ...]
) -> None:
    guest = boot(*firmware)
    guest.greeting(guest.connect("agent"))
    assert guest.reason(guest.monitor("system_powerdown")) == "guest-shutdown"


def test_an_order_given_while_the_guest_boots_is_obeyed_once_it_is_up(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    with guest.connect("agent") as agent:
        agent.sendall(b"reboot\n")
        assert guest.reason(guest.monitor()) == "guest-reset"


def test_the_agent_listens_again_when_its_peers_have_gone(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    for _ in range(3):
        with guest.connect("agent") as agent:
            guest.page()
            agent.sendall(b"nothing of interest\n")
    monitor = guest.monitor()
    guest.connect("agent").sendall(b"shutdown\n")
    assert guest.reason(monitor) == "guest-shutdown"


def test_the_guest_serves_the_document_that_its_manifest_names(boot: Callable[..., Guest], image: Built) -> None:
    boot(*QBOOT).page()
    path = msgspec.convert(image.content, Manifest).openapi
    assert path is not None
    answer = str(until("the document is served", lambda: get(path.path or "")))
    assert json.loads(answer.partition("\n\n")[2]) == hello_document()
