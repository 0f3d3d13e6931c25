"""Whatever users write into a seed is said and not done: strings come back, and shells run none of them (E1, E2)."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.seeds import a_told, calls, read_back

from volant.errors import ArtifactRefused
from volant.images.guest import Workload
from volant.images.guest.workload import described
from volant.images.seed import plain_yaml, seed

HOSTILE = [
    "x\nruncmd: [id]",
    "$(id)",
    "`id`",
    "';id;'",
    '"',
    "\\",
    "'",
    "a: b",
    "- a",
    "#x",
    "!!python/object:x",
    "&a",
    "*a",
    "%YAML",
    "---",
    "\u202e",
    "\x1b[2J",
    "\x7f\x80\x85\xa0\u2028\ufeff\uffff\U0001f600",
    "true",
    "0644",
    "1:2",
    "~",
    "",
    " ",
    "\t",
]
FEW = settings(max_examples=40, deadline=None)
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
WORD = TEXT.map(lambda text: text.replace("\0", ""))
LINE = WORD.map(lambda text: text.replace("\n", "").replace("\r", ""))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
FIXED = ("user-data", "meta-data", "network-config", "volant/names", "volant/steps", "volant/ignored")


@FEW
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_what_is_written_as_yaml_is_read_as_what_it_was(value: dict[str, object]) -> None:
    """E1."""
    assert yaml.safe_load(plain_yaml.written(value)) == value


@FEW
@given(
    instance_id=WORD,
    hostname=WORD,
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), LINE, max_size=4),
)
def test_names_and_variables_come_back_and_files_have_fixed_names(
    instance_id: str, hostname: str, env: dict[str, str]
) -> None:
    """E1, E2."""
    files = read_back(seed(a_told(instance_id=instance_id, hostname=hostname, env=env)))
    assert tuple(files) == tuple(sorted(FIXED)) or set(files) == set(FIXED)
    assert yaml.safe_load(files["meta-data"]) == {"instance-id": instance_id, "local-hostname": hostname}
    said = calls(files["volant/names"])
    assert said[:2] == [["instance", instance_id], ["hostname", hostname]]
    assert said[2:] == [["env", f"{name}={value}"] for name, value in env.items()]


@FEW
@given(path=WORD, content=TEXT, word=WORD, key=TEXT, hostname=TEXT)
def test_a_cloud_config_of_hostile_strings_means_what_it_says(
    path: str, content: str, word: str, key: str, hostname: str
) -> None:
    """E1, E2."""
    config = {
        "hostname": hostname,
        "write_files": [{"path": f"/{path}x", "content": content}],
        "runcmd": [["printf", word]],
        f"x{key}": word,
    }
    files = read_back(seed(a_told("#cloud-config\n" + plain_yaml.written(config))))
    assert calls(files["volant/steps"]) == [
        ["file", "0", "0644", "", "write", f"/{path}x"],
        ["once", "0", "runcmd"],
    ]
    assert files["volant/files/0"] == content.encode()
    assert files["volant/scripts/0"].startswith(b"#!/bin/sh\nprintf ")
    names = [name for name in files if name not in FIXED]
    assert sorted(names) == ["volant/files/0", "volant/scripts/0"]
    assert {name for name, *_ in calls(files["volant/names"])} <= {"instance", "hostname", "note"}


@FEW
@given(st.one_of(TEXT, st.text(max_size=200)).map(lambda text: f"#cloud-config\n{text}") | st.text(max_size=200))
def test_every_text_makes_a_seed(text: str) -> None:
    """E1: total, whatever the text is; it reaches cloud-init as it stands."""
    files = read_back(seed(a_told(text)))
    assert files["user-data"] == (text or "#cloud-config\n{}\n").encode("utf-8", "replace")
    calls(files["volant/names"])
    calls(files["volant/steps"])


@FEW
@given(TEXT)
def test_meta_data_and_network_config_of_users_are_taken_or_refused(text: str) -> None:
    """E1, E4: nothing else ever comes out of them."""
    for told in (a_told(meta_data=text), a_told(network_config=text)):
        try:
            files = read_back(seed(told))
        except ArtifactRefused:
            continue
        assert yaml.safe_load(files["meta-data"])["instance-id"] == "vm-01"


@FEW
@given(
    argv=st.lists(WORD, max_size=4), env=st.dictionaries(LINE.filter(lambda n: n and "=" not in n), WORD), before=WORD
)
def test_a_workload_of_hostile_words_is_described_as_it_is(argv: list[str], env: dict[str, str], before: str) -> None:
    """E1."""
    workload = Workload(argv=("run", *argv), env=env, before=(before,), cwd=f"/{before}", user="33:33")
    assert calls(described(workload)) == [
        *(["env", f"{name}={value}"] for name, value in env.items()),
        ["user", "33:33"],
        ["cwd", f"/{before}"],
        ["stop", "SIGTERM"],
        ["before", before],
        *(["argv", word] for word in ("run", *argv)),
    ]
