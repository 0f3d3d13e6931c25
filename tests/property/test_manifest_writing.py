"""What is written reads back as the same, by us and by readers of YAML 1.1; whatever is read, nothing else breaks."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volant.manifests import Unreadable, check, read_text, written

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# fmt: off
TRICKY = st.sampled_from([
    "", " ", "no", "Y", "on", "~", "null", "1", "0x1", "1_0", "1e3", "12:30", "2026-11-22", "- a", "a: b", "a #b",
    "#", "'", '"', "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "=", "<<", "---", "...", "a\nb", "a\nb\n",
    "a\n\nb\n\n", "\n", " a\nb", "a \nb", "a\n b\n", "a\r\nb", "a\tb\nc", "\ta", "a\u2028b", "\x85", "\ufeff",
    "\x7f", "\U0001f600", "a:", "#cloud-config\npackages:\n  - nginx\n", "true", "0755", "a\n---\nb", "a\n#b\n",
    "key: [", ".inf", "\x00", "ab\n\tc",
])
# fmt: on
WORDS = TEXT | TRICKY
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(WORDS.filter(lambda key: key != "kind"), VALUES, max_size=5).map(
    lambda d: {"kind": "VM", **d}
)


def read(text: str) -> list[Any]:
    return [one.value for one in read_text(text, "f.yaml")]


@settings(max_examples=400, deadline=None)
@given(st.lists(DOCUMENTS, min_size=1, max_size=3))
@example([{"kind": "VM", "spec": {"a": ["x\ny\n", ["z"], {}, [], {"b": "c\nd"}]}}])
def test_what_is_written_reads_back_as_the_same(documents: list[dict[str, Any]]) -> None:
    assert read(written(documents)) == documents


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_a_text_is_the_same_text_for_readers_of_yaml_1_1(word: str) -> None:
    (found,) = yaml.safe_load_all(written([{"kind": "VM", "a": word, "b": [word]}]))
    assert (found["a"], found["b"]) == (word, [word])


def test_the_order_is_kind_metadata_spec_and_then_as_it_comes() -> None:
    text = written([{"spec": {"b": 1, "a": 2}, "metadata": {"name": "x"}, "kind": "VM"}])
    assert text == "kind: VM\nmetadata:\n  name: x\nspec:\n  b: 1\n  a: 2\n"


def test_a_text_of_several_lines_is_a_block() -> None:
    text = written([{"kind": "VM", "spec": {"user_data": "#cloud-config\npackages:\n  - nginx\n", "x": "a\n\nb"}}])
    assert "  user_data: |\n    #cloud-config\n    packages:\n      - nginx\n  x: |-\n    a\n\n    b\n" in text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("kind: VM\nmetadata{}[]-&*!|>'\"%@#,?.0\t~<ab\r\ufeff\x85"), max_size=80))
@example("kind: VM\n? |\n  a\n: b")
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        said = list(read_text(text, "f.yaml"))
    except Unreadable as error:
        assert error.place is not None
        assert 1 <= error.place.line <= text.count("\n") + text.count("\r") + text.count("\x85") + 2
    else:
        assert all(flaw.place is not None for flaw in check(said))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('{}[]":,\\u0d8e1.-+ \n\ttruefalsn'), max_size=60))
def test_any_json_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        list(read_text(text, "f.json"))
    except Unreadable as error:
        assert error.place is not None


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS.map(lambda d: {key: value for key, value in d.items() if key != "kind"}) | VALUES)
def test_whatever_an_object_says_its_mistakes_have_places(value: Any) -> None:
    document = {"kind": "VM", "metadata": value, "spec": value}
    (one,) = read_text(written([document]), "f.yaml")
    assert all(flaw.place is not None and str(flaw) for flaw in check([one]))
