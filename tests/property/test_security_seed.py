"""What a guest is told, whatever its user wrote: section E of the security checklist.

The seed is read back by the libraries that guests have for it: an ISO reader, a YAML loader, a shell.
"""

from __future__ import annotations

import base64
import gzip
import io
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pycdlib import PyCdlib
from tests.builders import nasty

from volant.drivers import Attachment
from volant.errors import ArtifactRefused
from volant.images.seed import Told, seed
from volant.model.plugin import Manifest
from volant.model.requests import AskedCloudInit, AskedConfig, resolve
from volant.model.vm import CloudInit

MIB = 1 << 20
HOME = Attachment(
    mode="bridge",
    address="10.127.0.5",
    guest_address="10.127.0.5/22",
    gateway="10.127.0.1",
    guest_address6="fd00:1::5/64",
    mac="52:54:00:aa:bb:cc",
)
SECRET = "word-of-a-secret"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one that is used here; the other one is stricter with tabs."""
FIXED = {"user-data", "meta-data", "network-config", "volant/names", "volant/steps", "volant/ignored"}


def told(*, env: dict[str, str] | None = None, uid: str = "u" * 32, **cloud_init: Any) -> Told:
    """A VM with that cloud-init."""
    said = CloudInit(**cloud_init) if cloud_init else None
    return Told(instance_id=uid, hostname="web-1", attachment=HOME, cloud_init=said, env=env or {})


def files(image: bytes) -> dict[str, bytes]:
    """Path -> content, by the names that Linux sees."""
    found = {}
    disk = PyCdlib()
    disk.open_fp(io.BytesIO(image))
    for directory, _, names in disk.walk(rr_path="/"):
        for name in names:
            path = f"{directory.rstrip('/')}/{name}"
            content = io.BytesIO()
            disk.get_file_from_iso_fp(content, rr_path=path)
            found[path.removeprefix("/")] = content.getvalue()
    disk.close()
    return found


def meta_data(image: bytes) -> dict[str, Any]:
    found = yaml.safe_load(files(image)["meta-data"])
    assert isinstance(found, dict)
    return found


def env_of(names: bytes) -> dict[str, str]:
    """What a shell that reads the file is told of variables; anything else that it would run fails it."""
    script = 'set -f; env() { printf "%s\\0" "$1"; }; instance() { :; }; hostname() { :; }; note() { :; }; . /dev/stdin'
    shell = shutil.which("busybox")
    command = [shell, "sh", "-c", script] if shell else ["/bin/sh", "-c", script]
    done = subprocess.run(command, input=names, capture_output=True, timeout=30, check=True, cwd="/", env={"PATH": ""})
    assert done.stderr == b""
    return dict(word.partition("=")[::2] for word in done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1])


def test_a_hundred_texts_at_a_time_reach_a_shell_as_they_are() -> None:
    """E1, B4: a variable is what was written, in whatever quotes, and nothing of it is run."""
    values = {f"V{n}_{m}": text for n in range(20) for m, text in enumerate(nasty.hundred(n))}
    plain = {name: text for name, text in values.items() if not set(text) & set("\0\r\n") and "\ud800" not in text}
    plain = {name: text for name, text in plain.items() if text == text.encode("utf-8", "ignore").decode()}
    assert len(plain) > 1000
    assert env_of(files(seed(told(env=plain)))["volant/names"]) == plain


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(nasty.texts)
def test_meta_data_is_what_was_meant_or_refused(texts: list[str]) -> None:
    """E1: in the place of a whole document, of a name, of a value; the VM stays who it is."""
    for text in texts[:3]:
        for document in (text, f"local-hostname: {text}\n", yaml.safe_dump({"local-hostname": text})):
            try:
                found = meta_data(seed(told(meta_data=document)))
            except ArtifactRefused as error:
                assert text not in str(error) or len(text) < 8
                continue
            assert found["instance-id"] == "u" * 32
            meant = LOADER(document).get_single_data()
            if isinstance(meant, dict) and isinstance(meant.get("local-hostname"), str):
                assert found["local-hostname"] == meant["local-hostname"]
            if not isinstance(meant, dict):
                assert set(found) == {"instance-id", "local-hostname"}


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(nasty.texts)
def test_whatever_is_written_there_is_a_seed_or_a_refusal(texts: list[str]) -> None:
    """E1, E2: names of files are ours, and user data reaches the guest as it stands."""
    for text in texts[:3]:
        for user_data in (text, f"#cloud-config\n{text}", f"#cloud-config\nwrite_files: [{{path: {text}}}]\n"):
            image = seed(told(user_data=user_data))
            found = files(image)
            assert found["user-data"] == (user_data.encode("utf-8", "replace") or b"#cloud-config\n{}\n")
            assert set(found) >= FIXED
            assert all(name.split("/")[-1].isdecimal() for name in set(found) - FIXED)
        try:
            seed(told(network_config=text))
        except ArtifactRefused:
            continue


HOSTILE = {
    "references without end": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
    "a thousand levels": "[" * 1000,
    "sixteen thousand levels": "{a: " * 4000,
    "an object of Python": "a: !!python/object/apply:os.system [id]",
    "a number of 60,000 bits": "a: 0x" + "f" * 15000,
    "a number in octal": "a: 0" + "7" * 15000,
    "a number to the base of 60": "a: " + ":".join(["59"] * 5000),
    "a number of 5,000 digits": "a: " + "9" * 5000,
    "a date that is none": "a: 2020-13-45",
    "a zone that is none": "a: 2001-12-14t21:59:43.10-99:99",
    "bytes that are none": "a: !!binary ///",
    "a key that is a list": "? [a]\n: b",
    "a tab": "a:\n\t- b",
    "two documents": "a: 1\n---\nb: 2",
    "a directive": "%YAML 9.9\n---\na: 1",
    "five thousand sets": "!!set {" + ", ".join(f"a{n}" for n in range(2000)) + "}",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["user_data", "meta_data", "network_config"])
def test_yaml_made_to_hurt_is_a_note_or_a_refusal(place: str, name: str) -> None:
    """E1, E3: what it would cost is not paid, and what it says is not repeated."""
    text = HOSTILE[name] + f"\n# {SECRET}"
    said: dict[str, Any] = {place: ("#cloud-config\n" if place == "user_data" else "") + text}
    try:
        image = seed(told(**said))
    except ArtifactRefused as error:
        assert place != "user_data"
        assert SECRET not in str(error)
    else:
        assert len(image) < 2 * MIB
        assert SECRET not in files(image)["volant/names"].decode()


def test_a_file_that_unpacks_a_thousandfold_is_left_out() -> None:
    """E3: one, and many that are small enough each."""
    for each, count in ((64 * MIB, 1), (MIB // 2, 40)):
        packed = base64.b64encode(gzip.compress(bytes(each))).decode()
        one = f"- {{path: /x, encoding: gz+b64, content: {packed}}}\n"
        room = 65536 - 40
        assert len(one) <= room or each > MIB
        text = "#cloud-config\nwrite_files:\n" + one * min(count, max(1, room // len(one)))
        image = seed(told(user_data=text))
        assert len(image) < 3 * MIB
        assert b"bytes in all" in files(image)["volant/names"]


@pytest.mark.parametrize(
    "text", ["#include\nhttp://169.254.169.254/\n", "#include http://x/", "#include-once\nhttp://x/\n"]
)
def test_an_include_is_flagged_and_not_followed(text: str) -> None:
    """E7: the host fetches nothing; a guest that follows it does so by its own egress."""
    found = files(seed(told(user_data=text)))
    assert b"is not understood here" in found["volant/names"]
    assert found["volant/steps"] == b""


def v2(**card: Any) -> dict[str, Any]:
    return {"version": 2, "ethernets": {"eth0": card}}


def v1(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "config": list(entries)}


CLAIMS: dict[str, Any] = {
    "an address": v2(addresses=["10.127.0.6/22"]),
    "two of them": v2(addresses=["10.127.0.5/22", "10.127.0.6/22"]),
    "the gateway": v2(addresses=["10.127.0.1/22"]),
    "one with more said of it": v2(addresses=[{"10.127.0.6/22": {"label": "a"}}]),
    "an IPv6 address": v2(addresses=["fd00:1::6/64"]),
    "one that is none": v2(addresses=["10.127.0.5/22 ", "10.127.5"]),
    "a MAC": v2(macaddress="52:54:00:aa:bb:cd"),
    "a MAC to look for": v2(match={"macaddress": "52:54:00:aa:bb:cd"}),
    "inside of another key": {"network": v2(addresses=["10.127.0.6/22"])},
    "of a bond": {"version": 2, "bonds": {"b": {"interfaces": ["eth0"], "addresses": ["10.127.0.6/22"]}}},
    "of a VLAN": {"version": 2, "vlans": {"v": {"id": 1, "link": "eth0", "addresses": ["10.127.0.6/22"]}}},
    "of a dummy": {"version": 2, "dummy-devices": {"d": {"addresses": ["10.127.0.6/22"]}}},
    "of version 1": v1({"type": "physical", "name": "e", "subnets": [{"type": "static", "address": "10.127.0.6/22"}]}),
    "of version 1, without a prefix": v1(
        {"type": "physical", "subnets": [{"type": "static", "address": "10.127.0.6"}]}
    ),
    "a MAC of version 1": v1({"type": "physical", "name": "e", "mac_address": "52:54:00:aa:bb:cd"}),
    "in the words of YAML": "{version: 2, ethernets: {e: {addresses: [!!str 10.127.0.6/22]}}}",
    "a number that is an address": v2(addresses=[176095238]),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_an_address_of_another_vm_is_not_claimed(name: str) -> None:
    """E4: said before the guest starts; on a bridge, the tap drops it as well."""
    said = CLAIMS[name]
    with pytest.raises(ArtifactRefused, match=r"cannot use cloud_init\.network_config"):
        seed(told(network_config=said if isinstance(said, str) else yaml.safe_dump(said)))


OWN = [
    v2(addresses=["10.127.0.5/22", "fd00:1::5/64"], match={"macaddress": "52:54:00:AA:BB:CC"}),
    v2(dhcp4=True, nameservers={"addresses": ["10.9.9.9"]}, routes=[{"to": "default", "via": "10.127.0.1"}]),
    v1(
        {"type": "physical", "name": "e", "mac_address": "52:54:00:aa:bb:cc", "subnets": [{"type": "dhcp"}]},
        {"type": "nameserver", "address": ["10.9.9.9"]},
    ),
]


@pytest.mark.parametrize("said", OWN)
def test_a_vm_may_say_its_own_addresses(said: dict[str, Any]) -> None:
    """E4"""
    text = yaml.safe_dump(said)
    assert files(seed(told(network_config=text)))["network-config"] == text.encode()


def test_who_a_vm_is_stays_with_it_and_no_other_is_it() -> None:
    """E6: the same over restarts and over changes of its config; another VM, or a clone, is somebody else."""
    own = meta_data(seed(told()))["instance-id"]
    assert meta_data(seed(told(user_data="#!/bin/sh\n", meta_data="instance-id: mine")))["instance-id"] == own
    assert meta_data(seed(told(uid="v" * 32, meta_data=f"instance-id: {own}")))["instance-id"] != own
    assert seed(told(env={"A": "b"})) == seed(told(env={"A": "b"}))


def test_what_a_plugin_says_gives_way_part_by_part() -> None:
    """E7: the rule is the reference's config: each part of cloud-init is the VM's, or else the plugin's, never both."""
    manifest = Manifest(
        name="p",
        version="1",
        kernel={"url": "file:///x"},  # type: ignore[arg-type]
        initramfs={"url": "file:///x"},  # type: ignore[arg-type]
        cloud_init=CloudInit(user_data="of the plugin", meta_data="of the plugin"),
        env={"A": "plugin", "B": "plugin"},
    )
    asked = AskedConfig(cloud_init=AskedCloudInit(user_data="of the VM"), env={"B": "vm"})
    config = resolve(asked, manifest)
    assert config.cloud_init == CloudInit(user_data="of the VM", meta_data="of the plugin")
    assert config.env == {"A": "plugin", "B": "vm"}


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(
    st.binary(max_size=400), st.sampled_from(["", "#cloud-config\n", "#!/bin/sh\n", "Content-Type: multipart/mixed; "])
)
def test_no_bytes_end_the_daemon(raw: bytes, start: str) -> None:
    """E1, E8: parts of MIME, broken and not, included."""
    assert seed(told(user_data=start + raw.decode("latin-1")))


HEADERS = [
    "text/plain; charset=" + '"\\\\' * 20_000,
    "a/b; " * 13_000,
    "multipart/mixed; " + "a*0=b;" * 10_000,
    '"' + "\\a" * 30_000,
    "(" * 65_000,
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:20])
@pytest.mark.timeout(20)
def test_a_header_made_to_hurt_costs_no_time(header: str) -> None:
    """E3: the library's newer parser takes half a minute and more over each of some of these."""
    assert seed(told(user_data=f"Content-Type: {header}"[:65536]))


def test_parts_in_parts_are_bounded() -> None:
    """E3: a message of messages, as deep as 64 KiB allow, and as wide."""
    rng = random.Random(1)
    deep = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1300))
    wide = 'Content-Type: multipart/mixed; boundary="b"\n\n' + "--b\nContent-Type: text/plain\n\n#!/bin/sh\n" * 1300
    noise = "Content-Type: multipart/mixed; boundary=b\n\n" + "".join(rng.choices("-b\n: ;=\"'", k=60_000))
    for text in (deep, wide, noise):
        found = files(seed(told(user_data=text[:65536])))
        assert len([name for name in found if name.startswith("volant/scripts/")]) <= 32


def test_a_seed_has_no_file_of_the_host(tmp_path: Path) -> None:
    """E2, C10: a source is not fetched and not read."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    listed = [{"path": "/x", "source": {"uri": secret.as_uri()}}, {"path": "/y", "content": str(secret)}]
    text = "#cloud-config\n" + yaml.safe_dump({"write_files": listed})
    assert SECRET.encode() not in seed(told(user_data=text))
