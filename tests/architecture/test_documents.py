"""The documents list what the code has: what is not written down, or is written down and not there, fails here."""

from __future__ import annotations

import re
from typing import get_args

import msgspec
import pytest
from tests.builders.sources import ROOT, answered_codes, asked_reasons, condition_types, failures, reasons

from volant.api.app import ROUTES
from volant.api.codes import CODES
from volant.api.frames import Word
from volant.api.front import BASE
from volant.config import Settings, variable
from volant.daemon.standings import TURN_FAILED
from volant.model.event import REFERENCE_VM_EVENTS, EventData, EventType
from volant.model.meta import Kind
from volant.model.summary import Summary

OF_EVENTS_AND_LOGS = {
    "ScaledDown",
    "Replaced",
    "RolledBack",
    "RollbackImpossible",
    "RolloutComplete",
    "DeploymentDeleting",
    "GraceExpired",
    "Forced",
}
"""Reasons that controllers give for what they do to an object, and that no condition has."""


def document(name: str) -> str:
    """A file of docs/."""
    return (ROOT / "docs" / name).read_text()


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one."""
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def words(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def parameters() -> dict[tuple[str, str], set[str]]:
    """(method, path as the documents write it) -> the names of its query parameters."""
    return {
        (verb, path.removeprefix(BASE)): {field.encode_name for field in msgspec.structs.fields(method.query)}
        for path, methods in ROUTES.items()
        for verb, method in methods.items()
    }


def test_every_route_and_its_parameters_are_in_the_table_of_routes() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (/\S+)` \|([^|]*)\|", section(document("api.md"), "Routes"), re.MULTILINE)
    assert {(verb, path): words(cell) for verb, path, cell in rows} == parameters()
    assert len(rows) == len(parameters())


def test_every_parameter_has_a_meaning() -> None:
    table = section(document("api.md"), "Routes").partition("| parameter | |\n")[2]
    explained = {name for cell in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in words(cell)}
    assert explained == set().union(*parameters().values())


def test_every_parameter_of_a_stream_is_explained_with_the_streams() -> None:
    taken = {name for (_, path), names in parameters().items() if path.startswith("/events") for name in names}
    assert taken <= words(section(document("events.md"), "Following a stream"))


def test_every_error_code_in_the_source_is_listed_with_its_status() -> None:
    assert answered_codes() == {code: {status} for code, (status, _) in CODES.items()}


def test_every_error_code_is_in_the_table_of_errors() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (.*) \|$", document("errors.md"), re.MULTILINE)
    assert [(code, int(status), meaning) for code, status, meaning in rows] == [
        (code, status, meaning) for code, (status, meaning) in CODES.items()
    ]


def test_every_meaning_of_a_code_is_one_sentence() -> None:
    assert not [code for code, (_, meaning) in CODES.items() if not re.fullmatch(r"[A-Z].*[^.]\.", meaning)]


CONDITIONS = document("conditions.md")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_reason_of_a_condition_is_in_the_table_of_its_kind(kind: str) -> None:
    rows = re.findall(r"^\| `[a-z_]+` \| `(\w+)` \| (true|false|unknown) \|", section(CONDITIONS, kind), re.MULTILINE)
    told = reasons(f"controllers/{kind.lower()}") - OF_EVENTS_AND_LOGS
    assert told <= {reason for reason, _ in rows}
    assert {reason for reason, _ in rows} <= told | failures() | {"Conflict"}


def test_every_failure_that_an_object_can_report_is_in_a_table() -> None:
    raised = failures() - {"DriverError"}  # Nobody raises that one itself.
    assert raised <= words(section(CONDITIONS, "VM")) | words(section(CONDITIONS, "Plugin"))


def test_every_type_of_a_condition_is_in_the_table_of_its_kind() -> None:
    for kind in get_args(Kind):
        rows = re.findall(r"^\| `([a-z_]+)` \| `\w+` \|", section(CONDITIONS, kind), re.MULTILINE)
        assert set(rows) == condition_types(kind.lower())


def test_every_reason_of_an_event_is_in_the_table_of_reasons() -> None:
    mine = section(CONDITIONS, "Reasons of events")
    rooms = ("garbage", "health", "sets")
    told = OF_EVENTS_AND_LOGS | asked_reasons() | {word for room in rooms for word in reasons(f"controllers/{room}")}
    assert told == {word for word in words(mine) if re.fullmatch(r"[A-Z]\w+", word)}


def test_every_reason_of_a_chain_of_causes_is_in_a_table() -> None:
    table = section(document("api.md"), "Why?").partition("or one of these:")[2]
    mine = {word for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for word in words(cell)}
    told = reasons("model/why") - {"Host", "Store"}
    assert told - words(CONDITIONS) <= mine
    assert mine <= told | {TURN_FAILED, "Unavailable"}


def test_every_event_type_is_in_the_table_of_events() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|.*\| (yes)? ?\|$", document("events.md"), re.MULTILINE)
    assert {name for name, _ in rows} == set(get_args(EventType))
    assert {name for name, shown in rows if shown} == REFERENCE_VM_EVENTS


def test_every_word_of_a_stream_is_in_the_table_of_what_it_says() -> None:
    rows = re.findall(r"^\| (`[a-z`., ]+) \|", section(document("events.md"), "Following a stream"), re.MULTILINE)
    said = {f"{kind.lower()}.state" for kind in get_args(Kind)} | set(get_args(Word))
    assert said <= set().union(*map(words, rows))


def test_every_field_of_an_event_is_in_the_table_of_its_data() -> None:
    fields, summary = section(document("events.md"), "Data").split("| kind | word | |")
    listed = {name for cell in re.findall(r"^\| ([^|]+) \|", fields, re.MULTILINE) for name in words(cell)}
    assert listed == set(EventData.__struct_fields__)
    assert set(re.findall(r"^\| \w* ?\| `(\w+)` \|", summary, re.MULTILINE)) == set(Summary.__struct_fields__)


def test_every_setting_is_in_the_table_of_settings() -> None:
    text = document("operations.md")
    missing = [name for name in Settings.__struct_fields__ if f"`--{name.replace('_', '-')}`" not in text]
    missing += [variable(name) for name in Settings.__struct_fields__ if f"`{variable(name)}`" not in text]
    assert not missing


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = {word for word in words(document("security.md")) if word.startswith("test_")}
    assert named
    assert not named - {file.stem for file in (ROOT / "tests").rglob("test_*.py")}


def test_every_link_of_the_documents_leads_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
