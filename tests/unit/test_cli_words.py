"""Text of the command line: tables, ages, durations, statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from volant.cli import volant
from volant.cli.ending import ERROR, FAILED, GONE, TIMED_OUT, USAGE, status_of
from volant.cli.options import Duration
from volant.cli.shapes import since
from volant.cli.terminal import columns
from volant.client import ApiError
from volant.clock import SystemClock, rfc3339


def test_a_table_is_as_wide_as_its_content_and_has_no_blanks_at_the_end() -> None:
    assert columns(("A", "LONG"), [("xyz", 1), ("", "")]) == ["A    LONG", "xyz  1", "-    -"]


def test_nothing_in_a_table_can_move_the_cursor() -> None:
    line = columns(("A",), [("\x1b[2Jx\r\n\x9b1m",)])[1]
    assert line.isprintable()


@pytest.mark.parametrize(("ago_s", "said"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")])
def test_an_age_is_one_figure(ago_s: float, said: str) -> None:
    assert since(rfc3339(SystemClock().now() - ago_s)) == said


def test_an_instant_to_come_is_no_age() -> None:
    assert since(rfc3339(SystemClock().now() + 60)) == "0s"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("0", 0)]
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "soon", "1d", "25h", "1e3", "٣", "1 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (404, "vm_not_found", GONE),
        (404, "not_found", GONE),
        (404, "not_volant", ERROR),
        (409, "vm_deleting", GONE),
        (409, "deployment_deleted", GONE),
        (408, "wait_timeout", TIMED_OUT),
        (408, "request_too_slow", ERROR),
        (409, "plugin_failed", FAILED),
        (409, "vm_started_again", FAILED),
        (409, "plugin_in_use", ERROR),
        (400, "invalid", ERROR),
        (503, "unavailable", ERROR),
    ],
)
def test_what_the_api_says_is_a_status(status: int, code: str, ends: int) -> None:
    assert status_of(ApiError(status, code, "")) == ends


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["ps"], "`volant vms list` does that"),
        (["get", "vms"], "`volant vms list`"),
        (["vmss"], "Did you mean vms?"),
        (["depl"], "Did you mean deployments?"),
        (["xyzzy"], "`volant --help` lists them"),
        (["vms", "lst"], "Did you mean 'list'?"),
    ],
)
def test_a_command_that_there_is_none_of_is_answered_with_the_one_that_is_meant(words: list[str], answer: str) -> None:
    result = CliRunner().invoke(volant, words)
    assert (result.exit_code, answer in result.output) == (USAGE, True), result.output


@pytest.mark.parametrize("words", [["vm", "list"], ["deploy", "scale"], ["plugin"], ["set"], ["why"]])
def test_other_words_for_a_noun_and_a_short_one_for_help_do_as_well(words: list[str]) -> None:
    result = CliRunner().invoke(volant, [*words, "-h"])
    usual = [volant.aliases.get(words[0], words[0]), *words[1:]]
    assert (result.exit_code, result.output) == (0, CliRunner().invoke(volant, [*usual, "--help"]).output)
    assert result.output.startswith(f"Usage: volant {' '.join(usual)} ")


def test_what_is_meant_by_words_of_other_tools_is_there() -> None:
    for said in volant.meant.values():
        for command in said.split("` or `"):
            words = [word for word in command.split()[1:] if word.isalpha() and word.islower()]
            assert CliRunner().invoke(volant, [*words, "-h"]).exit_code == 0


@pytest.mark.parametrize("words", [("--help",), ("vms", "list", "-h"), ("context", "list", "-o", "json")], ids=" ".join)
def test_output_that_cannot_be_written_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "volant", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={"XDG_CONFIG_HOME": str(tmp_path)},
            check=False,
        )
    assert (done.returncode, done.stderr) == (ERROR, "Error: cannot write the output: No space left on device\n")
