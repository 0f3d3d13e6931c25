"""The seed disk: what is on it, that it is the same every time, and that ours wins where it has to."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from tests.builders.seeds import ATTACHMENT, a_told, calls, read_back

from volant.drivers import Attachment
from volant.errors import ArtifactRefused
from volant.images.seed import LABEL, Told, seed
from volant.images.seed.iso import iso
from volant.model.vm import CloudInit


def names_of(told: Told) -> list[list[str]]:
    """The calls of volant/names."""
    return calls(read_back(seed(told))["volant/names"])


def test_user_data_reaches_cloud_init_as_it_stands() -> None:
    text = "#cloud-config\n# a comment: ü\npackages: [nginx]\n"
    assert read_back(seed(a_told(text)))["user-data"] == text.encode()


def test_a_seed_without_user_data_is_one_that_cloud_init_takes() -> None:
    files = read_back(seed(Told(instance_id="u", hostname="h", attachment=ATTACHMENT)))
    assert files["user-data"].startswith(b"#cloud-config\n")
    assert yaml.safe_load(files["meta-data"]) == {"instance-id": "u", "local-hostname": "h"}


def test_a_disabled_cloud_init_leaves_names_and_environment() -> None:
    told = Told(
        instance_id="u",
        hostname="h",
        attachment=ATTACHMENT,
        env={"A": "1"},
        cloud_init=CloudInit(enabled=False, user_data="#!/bin/sh\nid\n", meta_data="[]", network_config="["),
    )
    files = read_back(seed(told))
    assert b"id" not in files["user-data"]
    assert calls(files["volant/names"]) == [["instance", "u"], ["hostname", "h"], ["env", "A=1"]]
    assert files["volant/steps"] == b""


def test_the_same_input_gives_the_same_bytes_whenever_and_wherever(monkeypatch: pytest.MonkeyPatch) -> None:
    told = a_told("#cloud-config\nruncmd: [id]\n", env={"A": "1"})
    first = seed(told)
    try:
        for zone, now in (("UTC-9", 1.0e9), ("UTC+7", 2.0e9)):
            monkeypatch.setenv("TZ", zone)
            monkeypatch.setattr(time, "time", lambda now=now: now)
            time.tzset()
            assert seed(told) == first
    finally:
        monkeypatch.undo()
        time.tzset()


def test_blkid_finds_the_label(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(seed(a_told()))
    said = subprocess.run(["blkid", "-p", tmp_path / "disk"], capture_output=True, text=True, check=True).stdout
    assert f'LABEL="{LABEL}"' in said
    assert 'TYPE="iso9660"' in said


def test_files_of_any_length_come_back(tmp_path: Path) -> None:
    files = {"empty": b"", "a/one": b"1", "a/b/two": b"2" * 2048, "a/b/three": b"3" * 70_001}
    files |= {f"many/{number}": b"%d" % number for number in range(300)}
    assert read_back(iso(files, LABEL)) == files


def test_meta_data_of_the_user_is_kept_but_for_the_instance_id() -> None:
    """E6: who the instance is does not change by a text."""
    text = "instance-id: mine\nlocal-hostname: other\npublic-keys: [k]\nwhen: 2026-01-02\n1: one\n"
    files = read_back(seed(a_told(meta_data=text)))
    meta_data = yaml.safe_load(files["meta-data"])
    assert meta_data["instance-id"] == "vm-01"
    assert (meta_data["local-hostname"], meta_data["public-keys"]) == ("other", ["k"])
    assert ["hostname", "other"] in calls(files["volant/names"])


def test_the_hostname_is_that_of_the_config_then_of_the_meta_data_then_the_name_of_the_vm() -> None:
    config, meta_data = "#cloud-config\nhostname: one.example\n", "local-hostname: two\n"
    for told, expected in (
        (a_told(config, meta_data=meta_data), "one"),
        (a_told(meta_data=meta_data), "two"),
        (a_told(meta_data="local-hostname: 'x y'\n"), "web-1"),
        (a_told(), "web-1"),
    ):
        assert ["hostname", expected] in names_of(told)


@pytest.mark.parametrize("text", ["- a\n", "a: [", "just words", "x: &a [1]\ny: *a\n"])
def test_meta_data_that_is_no_mapping_is_refused_without_repeating_it(text: str) -> None:
    """E5: no text of a user in an error."""
    with pytest.raises(ArtifactRefused, match=r"^cannot use cloud_init\.meta_data: ") as refused:
        seed(a_told(meta_data="secret: hunter2\n" + text))
    assert "hunter2" not in str(refused.value)


def test_the_network_is_told_as_the_kernel_command_line_tells_it() -> None:
    card = json.loads(read_back(seed(a_told()))["network-config"])["ethernets"]["eth0"]
    assert card == {
        "match": {"macaddress": "52:54:00:12:34:56"},
        "set-name": "eth0",
        "mtu": 1400,
        "dhcp4": False,
        "dhcp6": False,
        "addresses": ["10.127.0.5/22", "fd00::5/64"],
        "routes": [{"to": "0.0.0.0/0", "via": "10.127.0.1"}],
        "gateway6": "fd00::1",
        "nameservers": {"addresses": ["10.127.0.1", "9.9.9.9"]},
    }


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        (Attachment(mode="none"), {}),
        (Attachment(mode="dhcp"), {"eth0": {"dhcp4": True}}),
        (Attachment(mode="user", guest_address="10.0.2.15/24"), {"addresses": ["10.0.2.15/24"]}),
    ],
    ids=["none", "dhcp", "user"],
)
def test_each_mode_has_its_network_config(attachment: Attachment, expected: dict[str, object]) -> None:
    told = json.loads(read_back(seed(a_told(attachment=attachment)))["network-config"])
    cards = told["ethernets"]
    assert told["version"] == 2
    assert cards == expected or expected.items() <= cards["eth0"].items()
