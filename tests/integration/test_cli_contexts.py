"""`volant context`, and which daemon is asked: what beats what, and a file that is never half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from volant.cli import contexts, volant
from volant.cli.contexts import DEFAULT, Contexts, daemon
from volant.cli.ending import DONE, ERROR, USAGE, Ended


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user without a daemon and without contexts."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}


@pytest.fixture
def command(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("VOLANT_URL", "VOLANT_CONTEXT", "VOLANT_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner(env=environ)


def said(command: CliRunner, *words: str) -> str:
    result = command.invoke(volant, ["context", *words])
    assert result.exit_code == DONE, result.output
    return result.output


def refused(command: CliRunner, *words: str) -> Result:
    result = command.invoke(volant, ["context", *words])
    assert result.exit_code != DONE, result.output
    return result


def a_data_dir(place: Path, url: str) -> str:
    place.mkdir(parents=True)
    (place / "api.url").write_text(url + "\n")
    return str(place)


def test_a_context_from_its_making_to_its_end(command: CliRunner) -> None:
    assert "No contexts" in said(command, "list")
    assert said(command, "add", "home", "http://127.0.0.1:8080/") == "context home added\n"
    assert said(command, "add", "prod", "https://volant.example", "--use") == "context prod added, and is current\n"
    heads, home, prod = said(command, "list").splitlines()
    assert heads.split() == ["CURRENT", "NAME", "URL"]
    assert home.split() == ["home", "http://127.0.0.1:8080"]
    assert prod.split() == ["*", "prod", "https://volant.example"]
    assert said(command, "show") == "https://volant.example (the current context, prod)\n"
    assert said(command, "show", "home") == "http://127.0.0.1:8080\n"
    assert said(command, "use", "home") == "context home is current\n"
    assert said(command, "list", "-o", "name").split() == ["home", "prod"]
    assert said(command, "remove", "home") == "context home removed, no context is current now\n"
    assert json.loads(said(command, "list", "-o", "json")) == [
        {"name": "prod", "url": "https://volant.example", "current": False}
    ]
    assert yaml.safe_load(said(command, "show", "prod", "-o", "yaml"))["url"] == "https://volant.example"


def test_a_name_is_taken_once_unless_that_is_meant(command: CliRunner) -> None:
    said(command, "add", "prod", "http://a.example")
    assert "http://a.example. --replace" in refused(command, "add", "prod", "http://b.example").output
    said(command, "add", "prod", "http://b.example", "--replace")
    assert said(command, "show", "prod") == "http://b.example\n"


def test_what_is_no_name_and_no_address_is_refused(command: CliRunner) -> None:
    assert refused(command, "add", "Prod!", "http://a.example").exit_code == USAGE
    assert "expected one such as" in refused(command, "add", "prod", "ftp://a.example").output
    assert "expected one such as" in refused(command, "add", "prod", "http://user:secret@a.example").output
    assert "No contexts" in said(command, "list")


@pytest.mark.parametrize("words", [("use", "prdo"), ("remove", "prdo"), ("show", "prdo")], ids=" ".join)
def test_a_context_that_is_not_there_is_told_with_one_like_it(command: CliRunner, words: tuple[str, ...]) -> None:
    said(command, "add", "prod", "http://a.example")
    result = refused(command, *words)
    assert result.exit_code == ERROR
    assert "Did you mean prod?" in result.output


def test_what_is_said_on_the_line_beats_the_environment_and_that_beats_the_file(
    environ: dict[str, str], tmp_path: Path
) -> None:
    def url(**options: str) -> str:
        return daemon(environ, **options).url

    assert url() == DEFAULT
    contexts.change(environ, lambda _: Contexts({"one": "http://one", "two": "http://two"}, "one"))
    assert url() == "http://one"
    environ["VOLANT_DATA_DIR"] = a_data_dir(tmp_path / "other", "http://there")
    assert url() == "http://there"
    environ["VOLANT_CONTEXT"] = "two"
    assert url() == "http://two"
    environ["VOLANT_URL"] = "http://url"
    assert url() == "http://url"
    directory = a_data_dir(tmp_path / "third", "http://third")
    assert url(data_dir=directory) == "http://third"
    assert url(data_dir=directory, context="one") == "http://one"
    assert url(data_dir=directory, context="one", url="http://said/") == "http://said"


def test_a_context_that_is_named_and_not_there_is_no_reason_to_ask_another(environ: dict[str, str]) -> None:
    for said_by in ("VOLANT_CONTEXT", "--context", "contexts.json"):
        contexts.change(environ, lambda _: Contexts({"one": "http://one"}, None))
        with pytest.raises(Ended, match=f"there is no context none, which {said_by} asks for"):
            if said_by == "--context":
                daemon(environ, context="none")
            elif said_by == "VOLANT_CONTEXT":
                daemon({**environ, "VOLANT_CONTEXT": "none"})
            else:
                contexts.change(environ, lambda kept: kept._replace(current="none"))
                daemon(environ)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"contexts":{"a":{}}}', '{"current":3}', '{"contexts":{"a":"b"}}'])
def test_a_file_that_cannot_be_read_is_named_and_left_alone(command: CliRunner, tmp_path: Path, text: str) -> None:
    file = tmp_path / "config" / "volant" / "contexts.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for words in (("list",), ("add", "a", "http://a")):
        result = refused(command, *words)
        assert result.exit_code == ERROR
        assert str(file) in result.output
    assert file.read_text() == text


def test_only_its_owner_reads_the_file_and_a_link_stays_one(command: CliRunner, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "volant.json"
    real.parent.mkdir()
    link = tmp_path / "config" / "volant" / "contexts.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    (real.parent / "volant.json.new").write_text("left by one that was killed")
    said(command, "add", "prod", "http://a.example")
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in real.parent.iterdir()] == ["volant.json"]


def test_a_directory_that_cannot_be_written_is_told(command: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no directory")
    assert "cannot write the contexts" in refused(command, "add", "prod", "http://a.example").output


def test_commands_at_the_same_time_undo_nothing_of_each_other(environ: dict[str, str]) -> None:
    known = {name: value for name, value in os.environ.items() if not name.startswith("VOLANT_")}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "volant", "context", "add", f"c{n}", "http://a.example"],
            env={**known, **environ},
            stdout=subprocess.DEVNULL,
        )
        for n in range(6)
    ]
    assert [one.wait(60) for one in running] == [0] * 6
    assert sorted(contexts.read(environ).urls) == [f"c{n}" for n in range(6)]


def test_a_command_asks_the_daemon_of_its_context(command: CliRunner) -> None:
    said(command, "add", "nobody", "http://127.0.0.1:1")
    asked = command.invoke(volant, ["vms", "list", "--context", "nobody"])
    assert (asked.exit_code, "cannot reach the daemon at http://127.0.0.1:1" in asked.output) == (ERROR, True)
    wrong = command.invoke(volant, ["vms", "list", "--context", "else"])
    assert (wrong.exit_code, "there is no context else" in wrong.output) == (ERROR, True)


def test_names_of_contexts_are_completed(command: CliRunner, environ: dict[str, str]) -> None:
    said(command, "add", "prod", "http://a.example")
    said(command, "add", "home", "http://b.example")
    program = Path(sys.executable).with_name("volant")
    for words in (["vms", "list", "--context", "p"], ["context", "use", "p"]):
        asked = {
            "_VOLANT_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["volant", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [program], capture_output=True, text=True, env={**os.environ, **environ, **asked}, check=False
        )
        assert done.stdout == "plain,prod\n"


@pytest.mark.parametrize("said_by", ["--data-dir", "VOLANT_DATA_DIR"])
def test_a_directory_without_a_daemon_is_no_reason_to_ask_another(
    command: CliRunner, tmp_path: Path, said_by: str
) -> None:
    said(command, "add", "prod", "http://127.0.0.1:1", "--use")
    if said_by == "--data-dir":
        result = command.invoke(volant, ["vms", "list", "--data-dir", str(tmp_path)])
    else:
        result = command.invoke(volant, ["vms", "list"], env={said_by: str(tmp_path)})
    assert result.exit_code == ERROR
    assert result.output == (
        f"Error: cannot find a daemon: none says its address in {tmp_path}. Start it with "
        f"`volant serve --data-dir {tmp_path}`, or say --url\n"
    )


def test_a_daemon_that_cannot_be_reached_is_told_with_what_chose_it(command: CliRunner) -> None:
    said(command, "add", "prod", "http://127.0.0.1:1", "--use")
    wanted = "cannot reach the daemon at http://127.0.0.1:1: Connection refused (its address is that of the current"
    for words in (["vms", "list"], ["wait", "vm", "web"]):
        assert wanted in command.invoke(volant, words).output
        assert "its address is that of" not in command.invoke(volant, [*words, "--url", "http://127.0.0.1:1"]).output
