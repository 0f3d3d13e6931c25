"""Taking an apply back, over random objects: what it did goes, and nothing that others have said since."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_vm

from volant.model.apply.documents import live
from volant.model.apply.leaves import Leaves
from volant.model.apply.merge import moved
from volant.model.apply.sets import Change, Image, image, together, undone
from volant.model.deployment import Deployment, DeploymentSpec
from volant.model.vm import VM, VMConfig, VMSpec

words = st.sampled_from(["1", "2", "3"])
texts = st.dictionaries(st.sampled_from(["A", "B"]), words)


@st.composite
def vms(draw: st.DrawFn) -> VM:
    """One VM, said in many ways."""
    vm = a_vm("db", meta={"labels": draw(texts)})
    config = VMConfig(env=draw(texts))
    power, grace_s = draw(st.sampled_from(["running", "stopped"])), draw(st.sampled_from([5.0, 30.0]))
    return replace(vm, spec=replace(vm.spec, config=config, power=power, grace_s=grace_s))


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    """One deployment, said in many ways. Its VMs have its labels."""
    labels = draw(texts)
    found = a_deployment("web")
    spec = replace(found.spec, replicas=draw(st.integers(0, 2)), config=VMConfig(env=draw(texts)), labels=labels)
    spec = replace(spec, strategy=replace(spec.strategy, max_surge=draw(st.integers(1, 2))))
    return replace(found, spec=spec, meta=replace(found.meta, labels=labels))


class Life:
    """One object under many hands: each writes it as a whole, and what differs is its own from then on."""

    def __init__(self, obj: Any, fields: dict[str, frozenset[str]]) -> None:
        self.now = image(obj, fields, "infra")

    def write(self, obj: Any, manager: str) -> Image:
        """The object as it is afterwards."""
        before, after = leaves(self.now), live(obj)
        self.now = image(obj, moved(self.now.fields, manager, before, after), "infra")
        return self.now


def leaves(shown: Image) -> Leaves:
    """What an image says, in the words of a document."""
    spec, obj = shown.decoded(), a_vm("x")
    if isinstance(spec, VMSpec):
        return live(replace(obj, spec=spec, meta=replace(obj.meta, labels=shown.labels)))
    assert isinstance(spec, DeploymentSpec)
    return live(Deployment(meta=replace(obj.meta, labels=shown.labels), spec=spec))


def back(change: Change, now: Image) -> Image:
    """What there was before is never made to go."""
    found = undone(change, now)
    assert found is not None
    return found


objects = st.one_of(st.lists(vms(), min_size=6, max_size=6), st.lists(deployments(), min_size=6, max_size=6))


@given(objects=objects)
def test_what_nobody_has_touched_since_is_as_it_was(objects: list[Any]) -> None:
    """A5: the spec to the letter, labels, and whose each field is."""
    life = Life(objects[0], {"apply": frozenset(live(objects[0]))})
    before = life.now
    assert back(Change(before=before, after=life.write(objects[1], "apply")), life.now) == before


@given(objects=objects)
def test_what_others_have_said_since_stays_theirs(objects: list[Any]) -> None:
    """A2: field by field; and taking it back twice is taking it back once."""
    life = Life(objects[0], {"apply": frozenset(live(objects[0]))})
    before = life.now
    change = Change(before=before, after=life.write(objects[1], "apply"))
    now = life.write(objects[2], "api")
    found = back(change, now)
    was, made, is_, then = leaves(before), leaves(change.after), leaves(now), leaves(found)
    for path in was.keys() | made.keys() | is_.keys():
        is_theirs = is_.get(path) != made.get(path)
        assert then.get(path) == (is_.get(path) if is_theirs else was.get(path)), path
        if is_theirs and path in is_ and is_[path] != was.get(path):
            assert path in found.fields["api"]
    assert leaves(back(change, found)) == then


@given(objects=objects, shared=st.sets(st.integers(0, 20)))
def test_what_another_manager_says_too_stays(objects: list[Any], shared: set[int]) -> None:
    """A1: a value that both say is both's, and is the other's alone when the one goes back."""
    life = Life(objects[0], {"apply": frozenset(live(objects[0]))})
    before = life.now
    change = Change(before=before, after=life.write(objects[1], "apply"))
    said = leaves(change.after)
    theirs = frozenset(path for number, path in enumerate(sorted(said)) if number in shared)
    now = replace(life.now, fields={**life.now.fields, **({"robot": theirs} if theirs else {})})
    found = back(change, now)
    assert {path: leaves(found)[path] for path in theirs} == {path: said[path] for path in theirs}
    assert found.fields.get("robot", frozenset()) == theirs
    rest = (said.keys() | leaves(before).keys()) - theirs
    assert {path: leaves(found).get(path) for path in rest} == {path: leaves(before).get(path) for path in rest}


@given(objects=objects)
def test_two_applies_are_taken_back_as_one_after_the_other(objects: list[Any]) -> None:
    """Others have written between them, and after both."""
    life = Life(objects[0], {"apply": frozenset(live(objects[0]))})
    before = life.now
    first = Change(before=before, after=life.write(objects[1], "apply"))
    before = life.write(objects[2], "api")
    second = Change(before=before, after=life.write(objects[3], "apply"))
    (both,) = together([first], [second])
    assert leaves(back(both, life.now)) == leaves(back(first, before))
    now = life.write(objects[4], "api")
    others = {path for path in now.fields.get("api", ()) if leaves(now).get(path) != leaves(second.after).get(path)}
    found = leaves(back(both, now))
    assert {path: found.get(path) for path in others} == {path: leaves(now).get(path) for path in others}


@given(objects=objects)
def test_what_was_made_goes_whoever_has_changed_it_since(objects: list[Any]) -> None:
    life = Life(objects[0], {"apply": frozenset(live(objects[0]))})
    made = Change(before=None, after=life.now)
    changed = Change(before=life.now, after=life.write(objects[1], "apply"))
    (both,) = together([made], [changed])
    assert undone(both, life.write(objects[2], "api")) is None
