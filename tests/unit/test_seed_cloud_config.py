"""User data, digested for an init that is a shell: what it does, what it only names, and what cannot harm the host."""

from __future__ import annotations

import base64
import gzip
import time

import pytest
from tests.builders.seeds import a_told, calls, read_back

from volant.images.seed import seed
from volant.images.seed.digest import KNOWN
from volant.images.seed.write_files import MAX_BYTES, MAX_FILES

SECRET = "hunter2"


def files_of(user_data: str) -> dict[str, bytes]:
    """The seed's files."""
    return read_back(seed(a_told(user_data)))


def steps_of(user_data: str) -> list[list[str]]:
    """The calls of volant/steps."""
    return calls(files_of(user_data)["volant/steps"])


def notes_of(user_data: str) -> list[str]:
    """What the guest's console will say of it."""
    return [words[0] for name, *words in calls(files_of(user_data)["volant/names"]) if name == "note"]


def test_everything_is_done_in_its_order() -> None:
    text = """#cloud-config
runcmd: [third]
write_files: [{path: /x, content: second}]
bootcmd: [first]
"""
    assert steps_of(text) == [
        ["at_boot", "0", "bootcmd"],
        ["file", "0", "0644", "", "write", "/x"],
        ["once", "1", "runcmd"],
    ]
    files = files_of(text)
    assert files["volant/scripts/0"] == b"#!/bin/sh\nfirst\n"
    assert files["volant/files/0"] == b"second"


def test_commands_are_lines_or_lists_of_words() -> None:
    text = '#cloud-config\nruncmd:\n- echo $HOME | cat\n- [echo, $HOME, "it\'s", 3, 1.5]\n-\n'
    script = files_of(text)["volant/scripts/0"].decode().splitlines()
    assert script == ["#!/bin/sh", "echo $HOME | cat", """echo '$HOME' 'it'"'"'s' 3 1.5"""]


def test_files_have_modes_owners_and_encodings() -> None:
    packed = base64.b64encode(gzip.compress(b"packed")).decode()
    text = f"""#cloud-config
write_files:
- {{path: /a, content: plain, permissions: "0600", owner: "www-data:adm"}}
- {{path: /b, content: !!binary cGxhaW4=, permissions: 0755}}
- {{path: /c, content: "cGxh\\naW4=", encoding: b64, append: true}}
- {{path: /d, content: {packed}, encoding: gz+b64, defer: true}}
- {{path: /e}}
"""
    files = files_of(text)
    assert [words for name, *words in calls(files["volant/steps"]) if name == "file"] == [
        ["0", "0600", "www-data:adm", "write", "/a"],
        ["1", "0755", "", "write", "/b"],
        ["2", "0644", "", "append", "/c"],
        ["3", "0644", "", "write", "/d"],
        ["4", "0644", "", "write", "/e"],
    ]
    contents = [files[f"volant/files/{number}"] for number in range(5)]
    assert contents == [b"plain", b"plain", b"plain", b"packed", b""]


@pytest.mark.parametrize(
    "item",
    [
        "just words",
        "{content: x}",
        "{path: relative, content: x}",
        "{path: /directory/, content: x}",
        '{path: "/a\\0b", content: x}',
        "{path: /a, permissions: rw}",
        "{path: /a, permissions: -1}",
        "{path: /a, owner: 'a b'}",
        "{path: /a, owner: [x]}",
        "{path: /a, encoding: rot13}",
        "{path: /a, encoding: b64, content: '%%%'}",
        "{path: /a, encoding: gz, content: hunter2}",
        "{path: /a, source: {uri: 'http://10.0.0.1/'}}",
    ],
)
def test_a_file_that_cannot_be_written_is_named_by_its_number(item: str) -> None:
    text = f"#cloud-config\nwrite_files:\n- {item}\n- {{path: /ok}}\n"
    assert [step[-1] for step in steps_of(text)] == ["/ok"]
    (note,) = notes_of(text)
    assert note.startswith("user-data: item 1 of write_files: ")
    assert SECRET not in note


def test_a_script_is_run_as_it_stands() -> None:
    text = "#!/usr/bin/python3\nprint('hello')\n"
    files = files_of(text)
    assert calls(files["volant/steps"]) == [["once", "0", "user-data"]]
    assert files["volant/scripts/0"] == text.encode()


def test_parts_are_taken_one_after_the_other() -> None:
    text = """Content-Type: multipart/mixed; boundary="=="
MIME-Version: 1.0

--==
Content-Type: text/cloud-config

#cloud-config
hostname: one
runcmd: [id]
--==
Content-Type: text/x-shellscript

#!/bin/sh
date
--==--
"""
    files = files_of(text)
    assert [name for _, _, name in calls(files["volant/steps"])] == ["runcmd", "user-data"]
    assert ["hostname", "one"] in calls(files["volant/names"])


def test_unknown_keys_are_listed_by_name() -> None:
    text = '#cloud-config\npackages: [hunter2]\nusers: []\n"a b\\e[2J": 1\n7: x\n'
    ignored = ["packages", "users", "(a key that is no name)", "(a key that is no name)"]
    assert files_of(text)["volant/ignored"].decode().splitlines() == ignored
    assert notes_of(text) == [f"not understood in cloud-config: {' '.join(ignored)}"]


def test_known_keys_are_those_that_the_document_names() -> None:
    assert KNOWN == ("hostname", "fqdn", "bootcmd", "write_files", "runcmd")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("#include\nhttp://10.0.0.1/hunter2\n", "#include is not understood here"),
        ("#cloud-boothook\nhunter2\n", "#cloud-boothook is not understood here"),
        ("#cloud-config-archive\n- hunter2\n", "#cloud-config-archive is not understood here"),
        ("## template: jinja\n#cloud-config\n{}\n", "this kind is not understood here"),
        ("hunter2\n", "this kind is not understood here"),
        ("#cloud-config\nhunter2: [\n", "it is not valid YAML (line 3)"),
        ("#cloud-config\n- hunter2\n", "cloud-config is no mapping"),
        ("#cloud-config\nruncmd: hunter2\n", "runcmd is no list"),
        ("#cloud-config\nwrite_files: hunter2\n", "write_files is no list"),
        ("#cloud-config\nruncmd: [{hunter2: 1}]\n", "item 1 of runcmd is no command"),
        ('#cloud-config\nruncmd: ["hunter2\\0"]\n', "runcmd has a NUL in it"),
        ("#cloud-config\nhostname: 'hunter2\\nruncmd: [id]'\n", "hostname is none"),
        ("#cloud-config\na: &x [hunter2]\nb: *x\n", "it uses aliases, which are not read"),
        ("#cloud-config\na: " + "[" * 40 + "]" * 40, "it is nested deeper than 32"),
        ("#cloud-config\na: 2026-99-99\n", "it has a value that cannot be read"),
        ("#cloud-config\na: !!python/object/apply:os.system [hunter2]\n", "it is not valid YAML (line 2)"),
        ("#cloud-config\na: \x00\n", "it is not valid YAML"),
    ],
)
def test_what_is_not_understood_is_a_note_and_the_text_reaches_cloud_init(text: str, note: str) -> None:
    """E5, E7: never a word of what the user wrote, but keys."""
    files = files_of(text)
    assert files["user-data"] == text.encode()
    assert files["volant/steps"] == b""
    assert notes_of(text) == [f"user-data: {note}"]
    assert SECRET.encode() not in b"".join(content for name, content in files.items() if name != "user-data")


def test_gzip_unpacks_no_more_than_the_limit() -> None:
    """E3: a ratio of a thousand stays a small seed."""
    bomb = base64.b64encode(gzip.compress(bytes(30 << 20), 9)).decode()
    text = f"#cloud-config\nwrite_files: [{{path: /a, content: {bomb}, encoding: gz+b64}}, {{path: /b}}]\n"
    assert len(text) < 65536
    assert len(seed(a_told(text))) < 1 << 20
    assert notes_of(text) == [f"user-data: item 1 of write_files: more than {MAX_BYTES} bytes in all"]


def test_there_are_not_more_files_than_the_limit() -> None:
    """E3."""
    text = "#cloud-config\nwrite_files:\n" + "- {path: /a}\n" * (MAX_FILES + 2)
    assert len(steps_of(text)) == MAX_FILES
    assert notes_of(text) == [
        f"user-data: item {MAX_FILES + number} of write_files: more than {MAX_FILES} files" for number in (1, 2)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#cloud-config\n" + "[" * 65000,
        "#cloud-config\n" + "{a: " * 16000,
        "#cloud-config\nx: " + "9" * 65000,
        "#cloud-config\n" + "- \n" * 21000,
        "#cloud-config\na: &a [x, x, x, x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(2000)),
        "#cloud-config\n" + "? " * 30000,
        "#cloud-config\nruncmd:\n" + "- 'a b c d e f g h'\n" * 3000,
        "Content-Type: multipart/mixed; boundary=x\n\n" + "--x\n\n#!\n" * 6000,
    ],
    ids=["lists", "mappings", "digits", "items", "aliases", "keys", "commands", "parts"],
)
def test_no_text_of_the_largest_size_takes_long(text: str) -> None:
    """E3: the API takes 64 KiB. Bounded in processor time, of which a loaded machine gives no less."""
    before = time.process_time()
    seed(a_told(text))
    assert time.process_time() - before < 5
