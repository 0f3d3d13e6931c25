"""Selectors against an oracle that knows what was meant and never sees the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from volant.model.selectors import Selector, parse

Labels = Mapping[str, str]

KEYS = ["a", "b", "in", "x.y/z"]
VALUES = ["", "1", "2", "10", "-3", "web", "notin"]
NUMBERS = ["1", "2", "10", "-3"]


class Meant(NamedTuple):
    """A way to write a requirement, and what it means."""

    text: str
    holds: Callable[[Labels], bool]


def _compared(labels: Labels, key: str, number: str, sign: str) -> bool:
    try:
        value = int(labels[key])
    except (KeyError, ValueError):
        return False
    return value > int(number) if sign == ">" else value < int(number)


@st.composite
def requirements(draw: st.DrawFn) -> Meant:
    key = draw(st.sampled_from(KEYS))
    gaps = st.sampled_from(["", " ", "\t", "\n  "])
    a, b, c = draw(gaps), draw(gaps), draw(gaps)
    values = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
    value, number = values[0], draw(st.sampled_from(NUMBERS))
    # `in ()` is no list of values; `in (,)` is one with the empty value.
    listed = f"{a},{b}".join(values if values != [""] else ["", ""])
    return draw(
        st.sampled_from(
            [
                Meant(f"{a}{key}{b}", lambda labels: key in labels),
                Meant(f"{a}!{b}{key}{c}", lambda labels: key not in labels),
                Meant(f"{key}{a}={b}{value}{c}", lambda labels: labels.get(key) == value),
                Meant(f"{a}{key}{b}=={c}{value}", lambda labels: labels.get(key) == value),
                Meant(f"{key}{a}!={b}{value}{c}", lambda labels: labels.get(key) != value),
                Meant(f"{key} {a}in{b}({c}{listed}{a})", lambda labels: labels.get(key) in values),
                Meant(f"{key} notin{b}({listed}){c}", lambda labels: labels.get(key) not in values),
                Meant(f"{a}{key}{b}>{number}", lambda labels: _compared(labels, key, number, ">")),
                Meant(f"{a}{key}<{c}{number}", lambda labels: _compared(labels, key, number, "<")),
            ]
        )
    )


@given(
    meant=st.lists(requirements(), max_size=4),
    labels=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
)
def test_a_selector_matches_exactly_what_was_meant(meant: list[Meant], labels: dict[str, str]) -> None:
    selector = parse(",".join(requirement.text for requirement in meant))
    assert selector.matches(labels) == all(requirement.holds(labels) for requirement in meant)


@given(text=st.text(alphabet="ab1=!<>(), in\t", max_size=24) | st.text(max_size=12))
def test_any_text_is_a_selector_or_is_refused_in_words(text: str) -> None:
    try:
        selector = parse(text)
    except ValueError as error:
        assert str(error).startswith("cannot ")
    else:
        assert isinstance(selector, Selector)
        assert isinstance(selector.matches({"a": "1"}), bool)
