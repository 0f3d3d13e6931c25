"""Field ownership against what managers have said: nothing is ever lost in silence."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from volant.model.apply.leaves import leaves, nested
from volant.model.apply.merge import merge, moved

PATHS = st.sampled_from(["/spec/a", "/spec/b", "/spec/config/env/A", "/spec/config/env/B", "/metadata/labels/x~1y"])
SAID = st.dictionaries(PATHS, st.integers(0, 2), max_size=4)
CHANGED = st.dictionaries(PATHS, st.none() | st.integers(0, 2), max_size=4)
MANAGERS = st.sampled_from(["apply", "oncall", "robot"])

steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), MANAGERS, SAID),
        st.tuples(st.just("force"), MANAGERS, SAID),
        st.tuples(st.just("patch"), st.just("api"), CHANGED),
    ),
    max_size=12,
)
documents = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.text(alphabet="ab/~.", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@given(documents)
def test_leaves_and_documents_are_the_same_but_for_what_is_nothing(document: dict[str, Any]) -> None:
    said = leaves(document)
    assert leaves(nested(said)) == said


@given(steps)
def test_whatever_managers_say_nobody_loses_a_field_without_being_told(steps: list[tuple[str, str, Any]]) -> None:
    """A1, A2, A5: an apply ends with the manager's own words in force, or in a clash that names who is in the way.

    A word is also that a field is not to be: who has taken away what another one says is asked before it comes back.
    """
    live: dict[str, Any] = {}
    fields: dict[str, frozenset[str]] = {}
    for step, manager, said in steps:
        if step == "patch":
            after = {path: value for path, value in {**live, **said}.items() if value is not None}
            of_others = {path for other, paths in fields.items() if other != manager for path in paths}
            removed = live.keys() - after.keys()
            now = moved(fields, manager, live, after)
            assert removed & of_others <= now.get(manager, frozenset()), "its absence is the patch's word"
            assert not {path for other, paths in now.items() if other != manager for path in paths & said.keys()} & {
                path for path in said if live.get(path) != after.get(path)
            }, "who changes a field has it"
            fields, live = now, after
            continue
        merged = merge(live, fields, manager, said, force=step == "force")
        if merged.clashes:
            for clash in merged.clashes:
                assert clash.owners and all(clash.path in fields[owner] for owner in clash.owners)
                assert manager not in clash.owners
                assert live.get(clash.path) != clash.wanted == said[clash.path]
            continue
        for path, value in said.items():
            assert merged.said[path] == value
        for other, paths in fields.items():
            if other == manager:
                continue
            lost = {path for path in paths if merged.said.get(path) != live.get(path)}
            assert step == "force" or not lost, "what another says stays as it is"
            assert lost <= said.keys()
        mine_no_more = fields.get(manager, frozenset()) - said.keys()
        others = {path for other, paths in merged.fields.items() if other != manager for path in paths}
        assert not (mine_no_more & merged.said.keys()) - others, "what nobody says any more is gone"
        live, fields = merged.said, merged.fields
        again = merge(live, fields, manager, said)
        assert (again.said, again.fields, again.clashes) == (live, fields, ()), "A5: a second time changes nothing"
