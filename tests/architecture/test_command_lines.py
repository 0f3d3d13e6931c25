"""How programs are started, read off the source (B2, B8): by lists of words, of which no text of a user is a part."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "volant").rglob("*.py"))
WRITERS = [ROOT / "src" / "volant" / "drivers" / "qemu" / name for name in ("command.py", "blocks.py", "process.py")]
"""Where words of QEMU's command line are made. The kernel's own line is one word, and has a grammar of its own."""

GUESSES = {
    *(
        "-drive",
        "-hda",
        "-cdrom",
        "-fda",
        "-sd",
        "-mtdblock",
        "-pflash",
        "-net",
        "-nic",
        "-usbdevice",
        "-vnc",
        "-spice",
    ),
    *("-readconfig", "-writeconfig", "-set", "-monitor", "-qmp", "-qmp-pretty", "-gdb", "-s", "-virtfs", "-fsdev"),
    *("-smbios", "-fw_cfg", "-runas", "-chroot", "-daemonize", "-incoming", "-loadvm", "-trace", "-plugin", "-tb-size"),
}
"""Options that guess formats, open files by name, listen, or take away what the launcher has settled."""
STARTERS = {"subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.check_call"}
SHELLS = {"system", "popen", "create_subprocess_shell", "getoutput", "getstatusoutput", "spawnl", "execl"}


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(file.read_text()))


def where(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_no_program_is_started_through_a_shell() -> None:
    """B2, B11"""
    found = []
    for file in SOURCES:
        for node in nodes(file):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                keywords = {keyword.arg for keyword in node.keywords}
                if name in SHELLS or "shell" in keywords:
                    found.append(where(file, node))
    assert found == []


def test_a_program_is_a_list_of_words() -> None:
    """B2: never one text that something takes apart."""
    found = []
    for file in SOURCES:
        for node in nodes(file):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in STARTERS:
                continue
            if isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp):
                found.append(where(file, node))
    assert found == []


@pytest.mark.parametrize("file", WRITERS, ids=lambda file: file.name)
def test_nothing_is_pasted_into_an_option(file: Path) -> None:
    """B2: whatever has a comma or an equals sign beside it is written by `option` or as JSON."""
    tree = ast.parse(file.read_text())
    allowed = {id(node) for function in ast.walk(tree) if is_escaper(function) for node in ast.walk(function)}
    allowed |= {id(node) for one in ast.walk(tree) if isinstance(one, ast.Raise) for node in ast.walk(one)}
    pasted = [
        where(file, node)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) and id(node) not in allowed and {",", "="} & set(said(node))
    ]
    assert pasted == []


def is_escaper(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "option"


def said(text: ast.JoinedStr) -> str:
    """What the source itself says in it."""
    return "".join(str(part.value) for part in text.values if isinstance(part, ast.Constant))


def test_no_option_that_guesses_or_listens_is_used() -> None:
    """B2, B8, A12: and there is no way to add one."""
    found = [
        where(file, node)
        for file in sorted((ROOT / "src" / "volant" / "drivers" / "qemu").glob("*.py"))
        if file.name != "host.py"  # which starts a QEMU without a machine, to see whether it can
        for node in nodes(file)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in GUESSES
    ]
    assert found == []


def test_no_setting_or_field_carries_arguments_of_qemu() -> None:
    """B8"""
    words = ("extra_args", "qemu_args", "raw_args", "args_allowlist", "qemu_options", "extra_options")
    found = [str(file.relative_to(ROOT)) for file in SOURCES if any(word in file.read_text() for word in words)]
    assert found == []
