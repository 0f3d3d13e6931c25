"""What users do to the world of a machine: through the API, with and without preconditions, keys and dry runs.

rule ──▶ Request ──▶ Client ──▶ accepted? (the log says so) ──▶ world.users: what is wished for in the end
                        └──▶ how it was answered, against what was there before and after
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.builders.machine_client import Reply, Request
from tests.builders.machine_stage import PLUGINS, Machine
from tests.builders.machine_wrongs import WRONGS

from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.rollout import Strategy
from volant.model.vm import VM, RestartPolicy

Way = Literal["", "fresh", "stale", "any", "dry", "keyed", "waits"]
"""
fresh, stale, any   bound to the last revision, to an older one, to whichever there is
dry                 only tried
keyed               sent twice with the same Idempotency-Key
waits               answered when it has led to something, or after a few seconds
"""

moments = st.sampled_from((0.3, 0.02, 0.0, 2.0, 15.0))
"""Seconds that pass before a rule does what it does. The first is the plainest: what is ready has run by then."""
vm_names = st.sampled_from(("web", "api-1", "api-2"))
"""The last two are names that replicas would like to have."""
deployment_names = st.sampled_from(("api", "job"))
plugin_names = st.sampled_from(PLUGINS)
ways: st.SearchStrategy[Way] = st.sampled_from(("", "", "", "fresh", "stale", "any", "dry", "keyed", "waits"))
policies: st.SearchStrategy[RestartPolicy] = st.sampled_from(("always", "always", "on_failure", "never"))
PATCHES: Sequence[dict[str, Any]] = (
    {"resources": {"vcpu": 2}},
    {"resources": {"vcpu": 4, "memory_mb": 512}},
    {"resources": {"vcpu": None}},
    {"resources": None, "env": {"A": "1"}},
    {"env": {"A": None}},
    {},
)


CAREFUL = Strategy(max_surge=0, max_unavailable=1, progress_deadline_s=30.0, auto_revert=True)
ROLLS: Sequence[tuple[str, str, Any]] = (
    ("PATCH", "", {"config": {"env": {"LEVEL": "1"}}}),
    ("PATCH", "", {"config": {"env": {"LEVEL": "2"}}}),
    ("PATCH", "", {"strategy": msgspec.to_builtins(CAREFUL)}),
    ("PATCH", "", {"strategy": None}),
    ("POST", "/restart", None),
    ("POST", "/rollback", {}),
)
"""What each deployment may be asked for: method, the rest of the path, body."""


class Write(NamedTuple):
    """A write that is to be made, and of what."""

    key: Key
    method: str
    to: str
    body: Any = None
    query: str = ""
    is_new: bool = False


class Users(Machine):
    """Rules of users."""

    @rule(
        after_s=moments, name=vm_names, plugin=plugin_names, policy=policies, grace_s=st.sampled_from((20, 0)), way=ways
    )
    def create_vm(self, after_s: float, name: str, plugin: str, policy: RestartPolicy, grace_s: int, way: Way) -> None:
        body = {"name": name, "plugin": plugin, "restart_policy": policy, "grace_s": grace_s}
        if self._write(after_s, Write(Key("VM", name), "POST", "/vms", body, is_new=True), way):
            self.users.vms[name] = "running"

    @rule(after_s=moments, name=vm_names, verb=st.sampled_from(("start", "restart")), way=ways)
    def start_vm(self, after_s: float, name: str, verb: str, way: Way) -> None:
        if self._write(after_s, Write(Key("VM", name), "POST", f"/vms/{name}/{verb}"), way) and name in self.users.vms:
            self.users.vms[name] = "running"

    @rule(after_s=moments, name=vm_names, force=st.booleans(), way=ways)
    def stop_vm(self, after_s: float, name: str, force: bool, way: Way) -> None:
        write = Write(Key("VM", name), "POST", f"/vms/{name}/stop", query="force=true" if force else "")
        if self._write(after_s, write, way) and name in self.users.vms:
            self.users.vms[name] = "stopped"

    @rule(after_s=moments, name=vm_names, force=st.booleans(), way=ways)
    def delete_vm(self, after_s: float, name: str, force: bool, way: Way) -> None:
        write = Write(Key("VM", name), "DELETE", f"/vms/{name}", query="force=true" if force else "")
        if self._write(after_s, write, way):
            self.users.vms.pop(name, None)

    @rule(after_s=moments, name=vm_names, patch=st.sampled_from(PATCHES), way=ways)
    def configure_vm(self, after_s: float, name: str, patch: dict[str, Any], way: Way) -> None:
        write = Write(Key("VM", name), "PATCH", f"/vms/{name}/config", patch)
        vm = self._write(after_s, write, way)
        if isinstance(vm, VM) and "resources" in patch:
            plugins_own = self.stage.manifests[vm.spec.plugin].resources.vcpu
            self.stage.vcpus[vm.meta.uid] = (patch["resources"] or {}).get("vcpu") or plugins_own

    @rule(after_s=moments, name=deployment_names, replicas=st.integers(0, 4), plugin=plugin_names, way=ways)
    def deploy(self, after_s: float, name: str, replicas: int, plugin: str, way: Way) -> None:
        body = {"name": name, "plugin": plugin, "replicas": replicas}
        if self._write(after_s, Write(Key("Deployment", name), "POST", "/deployments", body, is_new=True), way):
            self.users.deployments[name] = replicas

    @rule(after_s=moments, name=deployment_names, replicas=st.integers(0, 4), way=ways)
    def scale(self, after_s: float, name: str, replicas: int, way: Way) -> None:
        write = Write(Key("Deployment", name), "PATCH", f"/deployments/{name}", {"replicas": replicas})
        if self._write(after_s, write, way):
            self.users.deployments[name] = replicas

    @rule(after_s=moments, name=deployment_names, roll=st.sampled_from(ROLLS), way=ways)
    def roll(self, after_s: float, name: str, roll: tuple[str, str, Any], way: Way) -> None:
        method, to, body = roll
        self.stage.world.oracles.replay.rolled.setdefault(name, set()).update((Strategy(), CAREFUL))
        self._write(after_s, Write(Key("Deployment", name), method, f"/deployments/{name}{to}", body), way)

    @rule(after_s=moments, name=deployment_names, way=ways)
    def undeploy(self, after_s: float, name: str, way: Way) -> None:
        if self._write(after_s, Write(Key("Deployment", name), "DELETE", f"/deployments/{name}"), way):
            self.users.deployments.pop(name, None)

    @rule(after_s=moments, name=plugin_names, enabled=st.booleans(), way=ways)
    def enable_plugin(self, after_s: float, name: str, enabled: bool, way: Way) -> None:
        write = Write(Key("Plugin", name), "POST", f"/plugins/{name}/enabled", {"enabled": enabled})
        if self._write(after_s, write, way):
            self.users.plugins[name] = enabled

    @rule(after_s=moments, name=plugin_names, way=ways)
    def install_plugin(self, after_s: float, name: str, way: Way) -> None:
        body = msgspec.json.encode(self.stage.manifests[name])
        if self._write(after_s, Write(Key("Plugin", name), "POST", "/plugins", body, is_new=True), way):
            self.users.plugins[name] = True

    @rule(after_s=moments, name=plugin_names, way=ways)
    def remove_plugin(self, after_s: float, name: str, way: Way) -> None:
        if self._write(after_s, Write(Key("Plugin", name), "DELETE", f"/plugins/{name}"), way):
            self.users.plugins.pop(name, None)

    @rule(after_s=moments, wrong=st.sampled_from(WRONGS))
    def ask_wrongly(self, after_s: float, wrong: Any) -> None:
        async def doing() -> None:
            reply, _ = await self.stage.client.ask(wrong.request)
            if reply is not None and reply.status not in (*wrong.statuses, 503):
                self.stage.client.complain(f"{wrong.request} is answered with {reply}")

        self.later(after_s, doing)

    @precondition(lambda self: self.keyed)
    @rule(after_s=moments)
    def repeat_the_last_keyed_request(self, after_s: float) -> None:
        """Also after daemons have come and gone: what was answered once is answered so for a day."""

        async def doing() -> None:
            for request, answer in self.keyed[-1:]:
                again, events = await self.stage.client.ask(request)
                self._is_replayed(answer, again, events)

        self.later(after_s, doing)

    def _write(self, after_s: float, write: Write, way: Way) -> Object | bool:
        """Whether the write was accepted; the object of which it was, if there was one before."""
        accepted: list[Object | bool] = []

        async def doing() -> None:
            before = self._found(write.key)
            request = self._request(write, before, way)
            reply, events = await self.stage.client.ask(request)
            if way == "keyed":
                again, more = await self.stage.client.ask(request)
                if _is_kept(reply):
                    self.keyed.append((request, reply))
                    self._is_replayed(reply, again, more)
                else:
                    reply, events = again, [*events, *more]
            after = self._found(write.key)
            if events or (way != "dry" and reply is not None and reply.status < 400):
                accepted.append(before or True)
            elif reply is not None and way != "dry":
                self._was_refused_rightly(write, before, after, reply)

        self.later(after_s, doing)
        return bool(accepted) and accepted[0]

    def _request(self, write: Write, before: Object | None, way: Way) -> Request:
        revision = before.meta.revision if before is not None else 1
        bound = {"fresh": f'"{revision}"', "stale": f'"{max(revision - 1, 0)}"', "any": "*"}
        headers = [("if-match", bound[way])] if way in bound and not write.is_new else []
        if way == "keyed":
            self.keys += 1
            headers.append(("idempotency-key", f"k{self.keys}"))
        query = [write.query, "timeout=4s" if way == "waits" else "wait=none", "dry_run=true" if way == "dry" else ""]
        return Request(write.method, f"{write.to}?{'&'.join(filter(None, query))}", write.body, tuple(headers))

    def _found(self, key: Key) -> Object | None:
        served = self.stage.client.served
        return served.life.store.find(key) if served is not None else None

    def _is_replayed(self, first: Reply | None, again: Reply | None, events: Sequence[Committed]) -> None:
        if events:
            self.stage.client.complain(f"a key was used twice and led to {[event.type for event in events]}")
        if first is None or again is None or again.status == 503:
            return
        is_said = again.headers.get("idempotent-replayed") == "true"
        if (again.status, again.body) != (first.status, first.body) or not is_said:
            self.stage.client.complain(f"the same key was answered with {first} and then with {again}")

    def _was_refused_rightly(self, write: Write, before: Object | None, after: Object | None, reply: Reply) -> None:
        """Where nothing moved meanwhile, it can be said what a refusal has to be."""
        if before is None and after is None:
            right = self._may_not_be_made(write.body) if write.is_new else reply.status == 404
        elif write.is_new or before is None or after is None:
            right = reply.status in (404, 409, 412)
        else:
            right = reply.status in (409, 412)
        if not right and reply.status != 503:
            self.stage.client.complain(f"{write} of {before} is answered with {reply.status} {reply.body[:200]!r}")

    def _may_not_be_made(self, body: Any) -> bool:
        plugin = self._found(Key("Plugin", body["plugin"])) if isinstance(body, dict) else None
        return not isinstance(plugin, Plugin) or plugin.meta.is_deleting or not plugin.spec.enabled


def _is_kept(reply: Reply | None) -> bool:
    return reply is not None and reply.status < 400
