"""What manifests say, where it stands, and what is refused of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from volant.errors import Unavailable
from volant.manifests import Flaw, Place, Unreadable, check, read, read_text, server_flaws
from volant.manifests.yaml12 import MAX_DEPTH

VM = "kind: VM\nmetadata: {name: db}\nspec: {plugin: hello}\n"


def values(text: str, file: str = "f.yaml") -> list[Any]:
    return [one.value for one in read_text(text, file)]


def refused(text: str | bytes, tmp_path: Path, name: str = "f.yaml") -> Flaw:
    """The one flaw of a file with this content."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = read([str(tmp_path / name)], bytes)
    (flaw,) = reading.flaws
    return flaw


def flaws(text: str) -> list[str]:
    return [str(flaw) for flaw in check(list(read_text(text, "f.yaml")))]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("22:22", "22:22"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("1_000", "1_000"),
        ("2026-11-22", "2026-11-22"),
        ("0755", 755),
        ("0o755", 493),
        ("0x1F", 31),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        ("47.0", 47),
        ("1e3", 1000),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        ("=", "="),
        ("0b11", "0b11"),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_a_word_is_what_yaml_1_2_says(word: str, meant: Any) -> None:
    if word == "-":
        word = "'-'"
    (found,) = values(f"a: {word}\n")
    assert found == {"a": meant}
    assert type(found["a"]) is type(meant)


def test_a_file_holds_many_documents_and_lists() -> None:
    items = "kind: List\nitems:\n- kind: VM\n- kind: List\n  items: [{kind: Plugin}]\n...\n"
    assert [value["kind"] for value in values(f"{VM}---\n---\n# nothing\n---\n{items}")] == ["VM", "VM", "Plugin"]


def test_an_alias_is_what_its_anchor_names() -> None:
    (found,) = values("a: &x {b: [1, 2]}\nc: *x\nd: &e 3\nf: *e\n")
    assert found == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": 3, "f": 3}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(12)
)
LONG_BOMB = f"a: &a {'x' * 60_000}\nb: [{', '.join(['*a'] * 40)}]\n"


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (BOMB, "stand for too much", 6),
        (LONG_BOMB, "stand for too much", 2),
        ("[" * 100_000, "nested deeper than", 1),
        ("a: " + "{b: " * 200 + "}" * 200, "nested deeper than", 1),
        ("".join(f"{' ' * n}a:\n" for n in range(300)), "nested deeper than", MAX_DEPTH + 2),
        ("\na: !!python/object/apply:os.system [x]", "a tag", 2),
        ("a: !local x", "a tag", 1),
        ("a: ! x", "a tag", 1),
        ("%TAG ! tag:example.org,2000:\n---\na: !x 1", "a tag", 3),
        ("a: 1\nb: 2\na: 3", "given twice", 3),
        ("a:\n  b: 1\n  'b': 2", "given twice", 3),
        ("a: &x [*x]", "an alias of nothing", 1),
        ("a: *nowhere", "an alias of nothing", 1),
        ("<<: {a: 1}", "merge keys", 1),
        ("1: a", "a key has to be text", 1),
        ("true: a", "a key has to be text", 1),
        ("? [a]\n: b", "a key has to be text", 1),
        ("a: .nan", "has to be finite", 1),
        ("a: -.inf", "has to be finite", 1),
        ("a: 1e999", "has to be finite", 1),
        ("a: 18446744073709551616", "64 bits", 1),
        ("a: " + "9" * 100_000, "64 bits", 1),
        ("a: 0x" + "f" * 100_000, "64 bits", 1),
        ("x: 1\na: \x07", "U+0007", 2),
        ("a: b\u2028c", "U+2028", 1),
        ('a: "\\ud800"', "not valid YAML", 1),
        ("a: [1, 2\nb: 3", "not valid YAML", 2),
        ("a:\n\t- b", "not valid YAML", 2),
        ("- a", "has to be an object", 1),
        ("a", "has to be an object", 1),
        ("kind: List\nitem: []", "unknown field 'item'", 2),
        ("kind: List", "has to have 'items'", 1),
        ("kind: List\nitems:\n- 3", "has to be an object", 3),
    ],
)
def test_what_is_hostile_or_wrong_is_refused_with_its_line(text: str, message: str, line: int, tmp_path: Path) -> None:
    flaw = refused(text, tmp_path)
    assert message in flaw.message
    assert flaw.place is not None
    assert flaw.place.line == line


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ('{"a": 1, "a": 2}', "given twice", (1, 10)),
        ('{"a": [1,]}', "a value is expected", (1, 10)),
        ('{"a": 1\n"b": 2}', "',' is expected", (2, 1)),
        ('{"a": 1}\n{}', "after its end", (2, 1)),
        ('{"a": "\\ud83d"}', "surrogates", (1, 7)),
        ('{"a": 01}', "',' is expected", (1, 8)),
        ('{"a": NaN}', "a value is expected", (1, 7)),
        ('{"a": 1e999}', "has to be finite", (1, 7)),
        ("[" * 100_000, "nested deeper than", (1, MAX_DEPTH + 2)),
        ('{"a": "', "Unterminated", (1, 7)),
        ("[]", "has to be an object", (1, 1)),
        ("{", "a key in quotes", (1, 2)),
    ],
)
def test_json_is_refused_with_its_place(text: str, message: str, place: tuple[int, int], tmp_path: Path) -> None:
    flaw = refused(text, tmp_path, "f.json")
    assert message in flaw.message
    assert flaw.place == Place(*place)


def test_json_is_read_where_yaml_would_stumble() -> None:
    assert values('{"a":\t"\\ud83d\\ude00\\/", "b"\n: [1.0, -2.5, true, null]}', "f.json") == [
        {"a": "\U0001f600/", "b": [1, -2.5, True, None]}
    ]


@pytest.mark.parametrize(
    ("raw", "line", "column"), [(b"a: \xff", 1, 4), (b"\xff\xfea\x00", 1, 1), (b"a: 1\nb: \xc3\x28", 2, 4)]
)
def test_what_is_not_utf_8_is_refused(raw: bytes, line: int, column: int, tmp_path: Path) -> None:
    flaw = refused(raw, tmp_path)
    assert (flaw.message, flaw.place) == ("not UTF-8", Place(line, column))


def test_a_byte_order_mark_and_crlf_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbf" + VM.replace("\n", "\r\n").encode() + b"x: 1\r\n")
    (one,) = read([str(tmp_path / "f.yaml")], bytes).said
    assert one.value["metadata"] == {"name": "db"}
    assert one.marks.place(["x"]) == Place(4, 4)


def test_a_directory_is_read_wholly_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.yml", "a/z.yaml", "a/a.json", ".git/x.yaml", "a/.b.yaml", "README.md", "c.yaml~"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"kind": "VM"}')
    os.mkfifo(tmp_path / "d.yaml")
    reading = read([str(tmp_path)], bytes)
    assert [Path(file).relative_to(tmp_path).as_posix() for file in reading.files] == [
        "b.yml",
        "d.yaml",
        "a/a.json",
        "a/z.yaml",
    ]
    assert not reading.is_partial


def test_a_link_to_a_directory_is_a_flaw_because_the_whole_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "loop").symlink_to(tmp_path)
    (flaw,) = read([str(tmp_path / "infra")], bytes).flaws
    assert "loop in it is a link to a directory" in flaw.message


def test_a_file_among_others_is_a_part(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(VM)
    assert read([str(tmp_path / "a.yaml")], bytes).is_partial
    assert read([str(tmp_path), str(tmp_path)], bytes).is_partial
    assert read(["-"], VM.encode).is_partial


def test_a_file_that_is_not_there_is_a_flaw_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{VM}---\na: [\n")
    reading = read([str(tmp_path / "a.yaml"), str(tmp_path / "no.yaml"), "-"], lambda: b"b: *x")
    assert len(reading.said) == 1
    assert [flaw.file.rpartition("/")[2] for flaw in reading.flaws] == ["a.yaml", "no.yaml", "<stdin>"]


def test_every_mistake_is_told_at_once_with_its_place() -> None:
    """A9, A10"""
    text = """kind: VM
metadata: {name: db}
spec:
  plugin: postgres
  confg: {}
  power: runing
---
kind: Deploymnt
---
kind: Deployment
metadata:
  name: web
spec:
  replicas: -1
  config:
    network:
      publish:
      - {guest_port: x, host_port: 1}
    resources:
      vcpu: lots
---
kind: Plugin
metadata: {name: pg, lables: {}}
spec: {version: "1", name: pg, rootfs: {url: "ftp://x", format: raw}, resources: {vcpuu: 3}}
"""
    assert flaws(text) == [
        "f.yaml:5:3: /spec/confg: unknown field. Did you mean 'config'?",
        "f.yaml:6:10: /spec/power: expected one of: running, stopped. Did you mean 'running'?",
        "f.yaml:8:7: /kind: expected one of: Deployment, Plugin, VM. Did you mean 'Deployment'?",
        "f.yaml:13:1: /spec/plugin: missing",
        "f.yaml:14:13: /spec/replicas: Expected `int` >= 0",
        "f.yaml:18:22: /spec/config/network/publish/0/guest_port: Expected `int`, got `str`",
        "f.yaml:20:13: /spec/config/resources/vcpu: Expected `int`, got `str`",
        "f.yaml:23:22: /metadata/lables: unknown field. Did you mean 'labels'?",
    ]


def test_a_manifest_of_a_plugin_is_looked_into() -> None:
    said = 'kind: Plugin\nmetadata: {name: pg}\nspec:\n  version: "1"\n  labels: {}\n  enabled: maybe\n'
    assert flaws(said + "  resources: {vcpuu: 3}\n") == [
        "f.yaml:5:3: /spec/labels: unknown field: it is in metadata",
        "f.yaml:6:12: /spec/enabled: expected true or false",
        "f.yaml:7:15: /spec/resources/vcpuu: unknown field. Did you mean 'vcpu'?",
    ]
    assert flaws(said.partition("  labels")[0]) == ["f.yaml:3:1: /spec: a plugin needs an initramfs or a rootfs"]


def test_an_object_that_is_said_twice_is_told_in_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(VM)
    (tmp_path / "b.yaml").write_text(f"\n\n{VM}")
    found = check(read([str(tmp_path)], bytes).said)
    assert [(Path(flaw.file).name, flaw.place, flaw.message) for flaw in found] == [
        ("a.yaml", Place(2, 18), "VM db is said more than once"),
        ("b.yaml", Place(4, 18), "VM db is said more than once"),
    ]


def test_what_the_server_refuses_is_found_in_the_files() -> None:
    said = list(read_text(f"{VM}---\nkind: VM\nmetadata: {{name: x}}\nspec:\n  plugin: nope\n", "f.yaml"))
    fields = [
        {"path": "/objects/1/spec/plugin", "message": "there is no plugin nope"},
        {"path": "/objects/1/spec/config/env", "message": "too many"},
        {"path": "/objects/7/spec", "message": "what"},
        {"path": "/manager", "message": "bad"},
    ]
    assert [str(flaw) for flaw in server_flaws(said, fields)] == [
        "f.yaml:8:11: /spec/plugin: there is no plugin nope",
        "f.yaml:7:1: /spec/config/env: too many",
        "the daemon: /objects/7/spec: what",
        "the daemon: /manager: bad",
    ]


def test_a_mistake_behind_an_alias_stands_where_its_words_stand() -> None:
    text = """kind: List
items:
- {kind: VM, metadata: {name: a}, spec: &s {plugin: p, grace_s: soon}}
- {kind: VM, metadata: {name: b}, spec: *s}
"""
    assert flaws(text) == ["f.yaml:3:65: /spec/grace_s: Expected `float`, got `str`"] * 2


def test_an_anchor_ends_with_its_document() -> None:
    with pytest.raises(Unreadable, match="alias of nothing"):
        list(read_text("a: &x 1\n---\nb: *x\n", "f.yaml"))


def test_what_begins_as_a_url_is_fetched() -> None:
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        if url.endswith("gone"):
            raise Unavailable("cannot be fetched: the server answers 404")
        return b'{"kind": "VM"}'

    reading = read(["https://example.org/a.json", "http://example.org/gone"], bytes, fetch)
    assert asked == ["https://example.org/a.json", "http://example.org/gone"]
    assert [one.value for one in reading.said] == [{"kind": "VM"}]
    assert [str(flaw) for flaw in reading.flaws] == [
        "http://example.org/gone: cannot be fetched: the server answers 404"
    ]
    assert reading.is_partial
