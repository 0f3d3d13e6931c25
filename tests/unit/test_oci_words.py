"""What manifests and configs say, and who is who in an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.builders.oci import CONFIG, LAYER, MANIFEST, a_manifest, digest_of

from volant.errors import ArtifactRefused
from volant.images.oci.config import OciConfig, parse_config, user_ids
from volant.images.oci.manifest import Index, Manifest, choose, parse_manifest

BLOB = {"digest": digest_of(b""), "size": 0}
A_CONFIG = {"mediaType": CONFIG, **BLOB}


def config_of(**said: Any) -> OciConfig:
    """What the config says about the process."""
    document = {"os": "linux", "architecture": "amd64", "config": said, "rootfs": {"diff_ids": []}}
    return parse_config(json.dumps(document).encode())[0]


def test_a_config_says_what_is_run_and_how() -> None:
    """Entrypoint before arguments; of a variable that is set twice the last holds; ports are those of TCP."""
    found = config_of(
        Entrypoint=["/entry", "a b"],
        Cmd=["serve"],
        Env=["PATH=/bin", "A=1", "A=x=y", "EMPTY=", "=odd"],
        User="app:staff",
        WorkingDir="srv",
        StopSignal="quit",
        ExposedPorts={"8080/tcp": {}, "53/udp": {}, "80": {}, "9000-9002/tcp": {}},
    )
    assert found.argv == ("/entry", "a b", "serve")
    assert found.env == {"PATH": "/bin", "A": "x=y", "EMPTY": ""}
    assert (found.user, found.cwd, found.stop_signal) == ("app:staff", "/srv", "SIGQUIT")
    assert found.ports == (80, 8080, 9000, 9001, 9002)


@pytest.mark.parametrize(("said", "name"), [("9", "SIGKILL"), ("SIGINT", "SIGINT"), ("term", "SIGTERM"), (None, None)])
def test_a_signal_is_a_name_or_a_number(said: str | None, name: str | None) -> None:
    """As images say it."""
    assert config_of(StopSignal=said).stop_signal == name


@pytest.mark.parametrize(
    "said",
    [
        {"Entrypoint": "sh -c x"},
        {"Cmd": [1]},
        {"Cmd": ["a\0b"]},
        {"Cmd": ["x"] * 2000},
        {"StopSignal": "SIGNOPE"},
        {"StopSignal": "99"},
        {"ExposedPorts": {"0/tcp": {}}},
        {"ExposedPorts": {"1-65535/tcp": {}}},
        {"ExposedPorts": {"99999": {}}},
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(said: dict[str, Any]) -> None:
    """Rather than to run something else."""
    with pytest.raises(ArtifactRefused):
        config_of(**said)


@pytest.mark.parametrize("change", [{"os": "windows"}, {"architecture": "arm64"}, {"rootfs": {}}, {"rootfs": None}])
def test_an_image_for_another_machine_is_refused(change: dict[str, Any]) -> None:
    """It would not run, and nothing would say why."""
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, **change}
    with pytest.raises(ArtifactRefused):
        parse_config(json.dumps(document).encode())


def test_users_are_those_of_the_image(tmp_path: Path) -> None:
    """By name, by number, with a group, and numbers that nobody has."""
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/passwd").write_text("root:x:0:0::/:\napp:x:100:101::/srv:/bin/sh\nbroken\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/usr/passwd")
    (tmp_path / "etc/group").write_text("staff:x:50:\n")
    asked = ["", "root", "app", "100", "app:staff", "app:7", "1000", "1000:1001", ":staff"]
    assert [user_ids(tmp_path, user) for user in asked] == [
        (0, 0),
        (0, 0),
        (100, 101),
        (100, 101),
        (100, 50),
        (100, 7),
        (1000, 0),
        (1000, 1001),
        (0, 50),
    ]


@pytest.mark.parametrize("user", ["nobody", "app:nobody", "-1", "4294967295", "1e3", "²"])
def test_a_user_whom_nobody_knows_is_refused(tmp_path: Path, user: str) -> None:
    """And the host's own users are not asked."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../../../etc/passwd")
    with pytest.raises(ArtifactRefused):
        user_ids(tmp_path, user)


def test_layers_from_elsewhere_are_refused() -> None:
    """C9: foreign and non-distributable layers, and any descriptor with addresses."""
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    for layer in (
        {"mediaType": foreign, **BLOB},
        {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", **BLOB},
        {"mediaType": LAYER, **BLOB, "urls": ["https://169.254.169.254/"]},
        {"mediaType": "text/html", **BLOB},
    ):
        with pytest.raises(ArtifactRefused):
            parse_manifest(a_manifest(A_CONFIG, [layer]))


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": "application/vnd.oci.image.index.v1+json"},
        {"manifests": []},
        {"config": {**A_CONFIG, "digest": "sha256:../../etc/passwd"}},
        {"config": {**A_CONFIG, "digest": "sha512:" + "0" * 128}},
        {"config": {**A_CONFIG, "size": -1}},
        {"config": {**A_CONFIG, "size": True}},
        {"config": {**A_CONFIG, "size": 1 << 40}},
        {"config": None},
        {"layers": None},
        {"layers": [{"mediaType": LAYER, **BLOB}] * 300},
        {"layers": [{"mediaType": LAYER, **BLOB, "size": 1 << 50}]},
    ],
)
def test_a_manifest_that_is_not_one_is_refused(change: dict[str, Any]) -> None:
    """C9: a list and a manifest in one, digests that are paths, sizes that are none."""
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": A_CONFIG, "layers": [], **change}
    with pytest.raises(ArtifactRefused):
        parse_manifest(json.dumps(document).encode())


def test_the_variant_for_this_machine_is_chosen() -> None:
    """Of several by platform; the only one when no platform is said."""
    entries = [{"mediaType": MANIFEST, **BLOB, "size": size} for size in (1, 2)]
    platforms = [{"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64", "variant": "v1"}]
    listed = [{**entry, "platform": platform} for entry, platform in zip(entries, platforms, strict=True)]
    assert choose(_index(listed)).size == 2
    assert choose(_index(entries[:1])).size == 1
    for none in (listed[:1], entries, []):
        with pytest.raises(ArtifactRefused):
            choose(_index(none))


def _index(entries: list[dict[str, Any]]) -> Index:
    found = parse_manifest(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    assert isinstance(found, Index)
    return found


def test_a_manifest_names_its_layers_from_below() -> None:
    """With how each is packed."""
    packed = [{"mediaType": LAYER + kind, **BLOB, "size": at} for at, kind in enumerate(("", "+gzip", "+zstd"))]
    found = parse_manifest(a_manifest(A_CONFIG, packed))
    assert isinstance(found, Manifest)
    assert [(layer.size, layer.compression) for layer in found.layers] == [(0, ""), (1, "gzip"), (2, "zstd")]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'"x"', b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """C9: and so is what is nested without end."""
    with pytest.raises(ArtifactRefused):
        parse_manifest(data)
