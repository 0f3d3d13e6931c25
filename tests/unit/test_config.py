"""Settings: which source wins, and what is said when a value cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from volant import config
from volant.cli.serve import serve
from volant.errors import StartupError


def test_a_flag_beats_a_variable_beats_a_file_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "volant.toml"
    file.write_text('listen = "127.0.0.1:1"\nnetwork = "bridge"\naccelerator = "kvm"\nstart_limit = 3\n')
    environ = {"VOLANT_CONFIG": str(file), "VOLANT_LISTEN": "127.0.0.1:2", "VOLANT_ACCELERATOR": "tcg"}
    settings = config.load({"listen": "127.0.0.1:3"}, environ, uid=0)
    assert (settings.listen, settings.accelerator, settings.network) == ("127.0.0.1:3", "tcg", "bridge")
    assert settings.start_limit == 3
    assert settings.hypervisor == "qemu"


def test_every_setting_has_a_flag() -> None:
    flags = {p.name for p in serve.params} - {"config"}
    assert flags == set(config.Settings.__struct_fields__)


def test_lists_are_split_at_commas_in_a_variable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    environ = {
        "VOLANT_ARTIFACT_ALLOW": "127.0.0.0/8, example.org",
        "VOLANT_ARTIFACT_ROOT": f"{tmp_path}/a,{tmp_path}/b",
    }
    settings = config.load({}, environ, uid=0)
    assert settings.artifact_allow == ("127.0.0.0/8", "example.org")
    assert settings.artifact_root == (tmp_path / "a", tmp_path / "b")


def test_the_data_directory_depends_on_who_asks() -> None:
    assert config.load({}, {}, uid=0).data_dir == Path("/var/lib/volant")
    assert config.load({}, {"HOME": "/home/a"}, uid=1000).data_dir == Path("/home/a/.local/state/volant")
    assert config.load({}, {"XDG_STATE_HOME": "/s"}, uid=1000).data_dir == Path("/s/volant")


def test_a_sync_is_a_table_in_a_file_and_words_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "volant.toml"
    file.write_text(
        '[[sync]]\nset = "infra"\ngit = "/srv/infra.git"\nbranch = "main"\nprune = true\nconfirm_delete = 3\n'
    )
    (table,) = config.load({"config": str(file)}, {}, uid=0).sync
    assert (table.set, table.git, table.branch, table.prune, table.confirm_delete) == (
        "infra",
        "/srv/infra.git",
        "main",
        True,
        3,
    )
    words = "set=infra git=/srv/infra.git branch=main prune confirm_delete=3"
    assert config.load({"sync": (words,)}, {}, uid=0).sync == (table,)
    both = config.load({}, {"VOLANT_SYNC": f"{words}, set=other dir=/srv/o interval=2m atomic deadline=1h"}, uid=0).sync
    assert both[0] == table
    assert (both[1].dir, both[1].interval_s, both[1].deadline_s, table.interval_s, table.deadline_s) == (
        "/srv/o",
        120.0,
        3600.0,
        30.0,
        None,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set=infra",), "say either dir or git"),
        (("set=infra dir=/a git=/b",), "say either dir or git"),
        (("set=In/fra dir=/a",), "expected a name"),
        (("set=infra dir=a",), "no absolute path"),
        (("set=infra dir=/a branch=main",), "say git"),
        (("set=infra dir=/a interval=0s",), "expected an interval"),
        (("set=infra dir=/a interval=soon",), "expected an interval"),
        (("set=infra dir=/a atomic deadline=0",), "expected a deadline"),
        (("set=infra dir=/a", "set=infra dir=/b"), "said twice"),
        (("set=infra dri=/a",), "'sync' from the command line"),
        (("dir=/a",), "'sync' from the command line"),
        (("set='infra dir=/a",), "No closing quotation"),
    ],
)
def test_a_sync_that_cannot_be_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(StartupError) as refused:
        config.load({"sync": words}, {}, uid=0)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ({"listen": "8080"}, {}, "ADDRESS:PORT"),
        ({"listen": "0.0.0.0:8080"}, {}, "no authentication"),
        ({"listen": "example.org:80"}, {}, "not an IP address"),
        ({"hypervisor": "xen"}, {}, "'hypervisor' from the command line"),
        ({}, {"VOLANT_START_LIMIT": "many"}, "'start_limit' from the environment"),
        ({"pool": "10.0.0.1/8"}, {}, "address pool"),
        ({"pool": "10.0.0.0/16"}, {}, "within 127.0.0.0/8"),
        ({"vmm_uid": "0"}, {}, "'vmm_uid' from the command line: Expected int >= 1"),
        ({"vmm_uids": "7"}, {}, "cannot use the uids '7': expected FIRST-LAST"),
        ({"vmm_uids": "0-9"}, {}, "cannot use the uids '0-9'"),
        ({"vmm_uids": "9-8"}, {}, "cannot use the uids '9-8'"),
        ({"vmm_uids": "1-4294967295"}, {}, "cannot use the uids"),
        ({"cgroup_parent": "/volant"}, {}, "cannot use the control group '/volant': expected a path below the root"),
        ({"cgroup_parent": "a/../../b"}, {}, "cannot use the control group"),
        ({"cgroup_parent": ".."}, {}, "cannot use the control group"),
        ({}, {"VOLANT_REQUIRE_KVM": "maybe"}, "'require_kvm' from the environment"),
        ({"start_limit": "-1"}, {}, "'start_limit'"),
        ({"event_keep": "-5"}, {}, "'event_keep'"),
        ({"event_keep_days": "nan"}, {}, "'event_keep_days'"),
        ({"artifact_max_mb": "0"}, {}, "'artifact_max_mb'"),
        ({"artifact_allow": ("300.1.1.1/8",)}, {}, "300.1.1.1/8"),
        ({"artifact_root": ("/nonexistent",)}, {}, "no such directory"),
        ({"data_dir": ""}, {}, "expected a directory, got nothing"),
        ({"accelerator": "xen"}, {}, "expected auto or kvm or tcg"),
        ({"config": "/nonexistent/volant.toml"}, {}, "cannot read the configuration file"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_clear_sentence(
    flags: dict[str, str], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(StartupError) as caught:
        config.load(flags, environ, uid=0)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "volant.toml"
    file.write_text("lisen = 'x'\n")
    with pytest.raises(StartupError, match="unknown setting 'lisen'"):
        config.load({"config": str(file)}, {}, uid=0)


def test_vms_have_users_of_their_own_unless_one_is_named_for_all() -> None:
    """A1"""
    assert config.load({}, {}, uid=0).uids == range(2_100_000_000, 2_100_065_536)
    assert config.load({"vmm_uids": "5-7"}, {}, uid=0).uids == range(5, 8)
    assert config.load({"vmm_uid": "9"}, {}, uid=0).uids == range(9, 10)


def test_control_groups_may_be_anywhere_below_the_root() -> None:
    assert (
        config.load({"cgroup_parent": "system.slice/volant.vms"}, {}, uid=0).cgroup_parent == "system.slice/volant.vms"
    )


def test_a_host_that_emulates_may_be_refused() -> None:
    """A14"""
    assert not config.load({}, {}, uid=0).require_kvm
    assert config.load({}, {"VOLANT_REQUIRE_KVM": "true"}, uid=0).require_kvm


@pytest.mark.parametrize("mtu", [0, 1280, 1400, 65521])
def test_the_mtu_of_the_bridge_is_what_a_tap_can_have(mtu: int) -> None:
    assert config.load({"bridge_mtu": str(mtu)}, {}, uid=0).bridge_mtu == mtu


@pytest.mark.parametrize("mtu", ["-1", "1", "1279", "65522", "lots"])
def test_another_mtu_of_the_bridge_is_refused(mtu: str) -> None:
    with pytest.raises(StartupError, match="bridge"):
        config.load({}, {"VOLANT_BRIDGE_MTU": mtu}, uid=0)
