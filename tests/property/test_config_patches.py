"""Merge patches against the text of RFC 7396, and histories against what they tell of."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.builders.objects import a_manifest, a_vm
from tests.builders.stores import CREATED, HandClock, a_store, told

from volant.model.history import ConfigChange, changes, flat, redacted
from volant.model.patches import ConfigPatch, merged, patched
from volant.model.requests import AskedConfig, resolve
from volant.model.vm import VM, CloudInit, NetworkConfig, Resources, VMConfig
from volant.store import Store
from volant.store.history import KEPT

keys = st.sampled_from("abc")
json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)

texts = st.sampled_from(["", "x", "#cloud-config"])
names = st.sampled_from(["A", "B", "PATH"])
vcpu, memory_mb = st.integers(1, 3), st.sampled_from([64, 128])
configs = st.builds(
    VMConfig,
    resources=st.builds(Resources, vcpu=vcpu, memory_mb=memory_mb),
    network=st.builds(NetworkConfig, mode=st.sampled_from([None, "user", "none"])),
    cloud_init=st.none() | st.builds(CloudInit, enabled=st.booleans(), user_data=st.none() | texts),
    env=st.dictionaries(names, texts),
)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields, each perhaps null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in fields.items()})


patches = some_of(
    resources=some_of(vcpu=vcpu, memory_mb=memory_mb),
    network=some_of(mode=st.sampled_from(["user", "none"])),
    cloud_init=texts | some_of(enabled=st.booleans(), user_data=texts, meta_data=texts),
    env=st.dictionaries(names, st.none() | texts),
).map(lambda said: msgspec.convert(said, ConfigPatch))


def merge_patch(target: Any, patch: Any) -> Any:
    """MergePatch, line by line as section 2 of RFC 7396 has it."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = merge_patch(target.get(name), value)
        return target
    return patch


@given(json, json)
def test_without_defaults_a_merge_is_the_rfc_s(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merged(target, patch, {}) == merge_patch(copy.deepcopy(target), patch)
    assert (target, patch) == before


@given(json, json, json)
def test_defaults_are_only_seen_where_something_is_removed(target: Any, patch: Any, defaults: Any) -> None:
    def nulls(patch: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if not isinstance(patch, dict):
            return []
        return [
            found
            for name, value in patch.items()
            for found in ([(*path, name)] if value is None else nulls(value, (*path, name)))
        ]

    found, expected = merged(target, patch, defaults), merge_patch(copy.deepcopy(target), patch)
    for path in nulls(patch):
        default: Any = defaults
        for name in path:
            default = default.get(name, ...) if isinstance(default, dict) else ...
        if default is not ...:
            inner = expected
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = default
    assert found == expected


@given(configs, patches)
def test_a_patch_changes_what_it_names_and_nothing_else(config: VMConfig, patch: ConfigPatch) -> None:
    said = msgspec.to_builtins(patch)
    for path in changes(config, patched(config, patch, VMConfig())):
        inner = said
        for step in path.split("."):
            # A null or a text takes the place of all that was below it; an object that was not there is made.
            if not isinstance(inner, dict) or (path == "cloud_init.enabled" and config.cloud_init is None):
                break
            assert step in inner, path
            inner = inner[step]


@given(configs, patches, configs)
def test_a_patch_applied_twice_is_a_patch_applied_once(config: VMConfig, patch: ConfigPatch, default: VMConfig) -> None:
    once = patched(config, patch, default)
    assert patched(once, patch, default) == once


@given(configs, patches)
def test_what_a_patch_makes_is_a_config(config: VMConfig, patch: ConfigPatch) -> None:
    made = patched(config, patch, resolve(AskedConfig(), a_manifest(env={"A": "plugin"})))
    assert msgspec.json.decode(msgspec.json.encode(made), type=VMConfig) == made


def replayed(created: Mapping[str, Any], entries: list[ConfigChange]) -> dict[str, Any]:
    """The config that a history tells of: its entries, oldest first, from what was created on."""
    state = dict(created)
    for entry in reversed(entries[:-1]):
        for path, sides in entry.changes.items():
            assert state.get(path) == sides["old"], f"{path}: {state.get(path)!r} stood there, not {sides['old']!r}"
            state[path] = sides["new"]
    return {path: value for path, value in state.items() if value is not None}


def shown(config: VMConfig) -> dict[str, Any]:
    """Every path of a config, as a history shows what stands there."""
    return {path: sides["new"] for path, sides in redacted(changes(None, config)).items()}


async def configured(store: Store, vm: VM, config: VMConfig) -> VM:
    spec = replace(vm.spec, config=config)
    return await store.write(lambda tx: tx.update_spec(vm, spec, told("vm.updated")))


async def a_life(directory: Path, created: VMConfig, patched_by: list[ConfigPatch]) -> None:
    clock = HandClock()
    async with a_store(directory, clock=clock) as store:
        vm = await store.create(a_vm(config=created), CREATED)
        written = 0
        for patch in patched_by:
            clock.forward(1)
            config = patched(vm.spec.config, patch, VMConfig())
            written += bool(changes(vm.spec.config, config))
            vm = await configured(store, vm, config)
        entries = store.config_history(vm.meta.uid)
        assert len(entries) == written + 1
        assert entries[-1].changes == {"created": True}
        assert [entry.at for entry in entries] == sorted((entry.at for entry in entries), reverse=True)
        assert replayed(shown(created), entries) == shown(vm.spec.config)


@settings(max_examples=60, deadline=None)
@given(configs, st.lists(patches, max_size=12))
def test_a_history_replayed_is_the_config(created: VMConfig, patched_by: list[ConfigPatch]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(a_life(Path(directory), created, patched_by))


@given(configs, configs)
def test_changes_applied_to_the_old_are_the_new(old: VMConfig, new: VMConfig) -> None:
    state = flat(old)
    for path, sides in changes(old, new).items():
        state[path] = sides["new"]
    assert {path: value for path, value in state.items() if value is not None} == flat(new)


def test_of_very_many_changes_the_last_are_kept_and_the_creation() -> None:
    assert KEPT == 200

    async def life(directory: Path) -> None:
        async with a_store(directory) as store:
            vm = await store.create(a_vm(), CREATED)
            other = await store.create(a_vm("other"), CREATED)
            for vcpu in range(KEPT + 25):
                vm = await configured(store, vm, VMConfig(resources=Resources(vcpu=2 + vcpu % 2)))
            entries = store.config_history(vm.meta.uid)
            assert [entry.generation for entry in entries[:-1]] == list(range(KEPT + 26, 26, -1))
            assert entries[-1].changes == {"created": True}
            assert len(store.config_history(other.meta.uid)) == 1
            assert store.config_history(vm.meta.uid, 3) == entries[:3]

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(life(Path(directory)))
