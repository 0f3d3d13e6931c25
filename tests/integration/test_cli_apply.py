"""`volant apply`, `diff`, `plan`, `delete -f`, `export` and `sets`, against a daemon on a simulated host."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from click.testing import Result
from structlog.testing import capture_logs
from tests.builders.commands import Terminal, run
from tests.builders.engines import Alive, alive
from tests.builders.sources import ROOT

from volant.cli.ending import ERROR, GONE, TIMED_OUT, USAGE

EXAMPLE = ROOT / "examples" / "gitops" / "infra"


class Desk(NamedTuple):
    """A daemon, and a copy of the example that its plugin can be installed from."""

    daemon: Alive
    infra: Path

    async def volant(self, *words: str, stdin: str | None = None) -> Result:
        """The command, while the daemon goes on."""
        return await asyncio.to_thread(run, self.url, *words, stdin=stdin)

    async def done(self, *words: str, stdin: str | None = None) -> list[str]:
        """What a command that succeeds prints."""
        result = await self.volant(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a file of the example."""
        text = (self.infra / file).read_text()
        assert old in text
        (self.infra / file).write_text(text.replace(old, new))

    @property
    def url(self) -> str:
        """Where the daemon is."""
        return f"http://127.0.0.1:{self.daemon.served.port}"

    @property
    def revision(self) -> int:
        """Of the store: how much has been written."""
        return self.daemon.served.store.revision


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    images, infra = directory / "images", directory / "infra"
    images.mkdir()
    for name in ("vmlinux", "initramfs.gz"):
        (images / name).write_bytes(name.encode().ljust(512, b"\0"))
    shutil.copytree(EXAMPLE, infra)
    # Its log would be in what the command prints: they share a process.
    with capture_logs():
        async with alive(directory, root=images) as daemon:
            here = Desk(daemon, infra)
            here.change("plugins/hello.yaml", "/srv/volant/images", str(images))
            yield here


async def test_the_example_is_applied_changed_pruned_and_restored(tmp_path: Path) -> None:
    """A5, A6: a second apply is nothing, and what a set no longer names goes when it is meant."""
    async with desk(tmp_path) as here:
        infra = str(here.infra)
        assert await here.done("apply", "-f", infra, "--wait") == [
            "+ vm/db created",
            "+ deployment/web created",
            "+ deployment/workers created",
            "+ plugin/hello created",
            "set infra: 4 created",
        ]
        before = here.revision
        assert await here.done("apply", "-f", infra, "--prune") == ["set infra: 4 unchanged"]
        assert (await here.volant("diff", "-f", infra)).exit_code == 0
        assert here.revision == before

        await here.done("deployments", "scale", "workers", "3")
        here.change("web.yaml", "replicas: 2", "replicas: 4")
        (here.infra / "db.yaml").unlink()
        different = await here.volant("diff", "-f", infra, "--prune")
        assert different.exit_code == 5
        assert "    replicas: 2 -> 4" in different.stdout.splitlines()
        assert await here.done("apply", "-f", infra, "--prune", "--wait") == [
            "~ deployment/web replicas: 2 -> 4",
            "- vm/db deleted",
            "set infra: 1 changed, 1 deleted, 2 unchanged",
        ]
        # Nothing is said of its replicas, so it keeps what it was scaled to (A2).
        assert here.daemon.served.store.deployment("workers").spec.replicas == 3

        assert re.search(
            r"^vm/db +pruned, restorable until 2", "\n".join(await here.done("sets", "get", "infra")), re.M
        )
        assert await here.done("sets", "restore", "infra") == ["+ vm/db created", "set infra: 1 created"]
        again = "set infra: nothing of it can be brought back, nothing to do"
        assert await here.done("sets", "restore", "infra") == [again]
        assert await here.done("sets", "list", "-o", "name") == ["infra"]


async def test_the_command_that_a_plan_names_does_exactly_that(tmp_path: Path) -> None:
    """A8: a plan is taken as it is, or not at all."""
    async with desk(tmp_path) as here:
        infra = str(here.infra)
        await here.done("apply", "-f", infra, "--wait")
        (here.infra / "db.yaml").unlink()
        planned = await here.done("plan", "-f", infra, "--prune")
        assert "- vm/db to be deleted" in planned
        words = shlex.split(planned[-1])[1:]
        assert "--confirm-delete" in words

        await here.done("deployments", "scale", "web", "1", "--wait")
        refused = await here.volant(*words, "--force")
        assert refused.exit_code == ERROR
        assert "`volant plan` makes another one" in refused.stderr
        planned = await here.done("plan", "-f", infra, "--prune", "--force")
        assert await here.done(*shlex.split(planned[-1])[1:]) == [
            "~ deployment/web replicas: 1 -> 2",
            "- vm/db deleted",
            "set infra: 1 changed, 1 deleted, 2 unchanged",
        ]


async def test_what_is_exported_applies_back_to_no_difference(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.done("apply", "-f", str(here.infra), "--wait")
        for words in (["--all"], ["--set", "infra"], ["plugin/hello", "vm/db", "deployment/web", "deployment/workers"]):
            text = "\n".join(await here.done("export", *words))
            same = await here.volant("diff", "-f", "-", "--set", "infra", stdin=text)
            assert (same.exit_code, same.stdout) == (0, "set infra: 4 unchanged\n")
        listed = json.loads("\n".join(await here.done("export", "--all", "-o", "json")))
        assert [item["kind"] for item in listed["items"]] == ["Plugin", "VM", "Deployment", "Deployment"]
        assert (await here.volant("export", "vm/nobody")).exit_code == GONE
        assert (await here.volant("export", "thing/web")).exit_code == USAGE
        assert (await here.volant("export")).exit_code == USAGE


async def test_what_is_exported_makes_the_same_elsewhere(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.done("apply", "-f", str(here.infra), "--wait")
        text = "\n".join(await here.done("export", "--all"))
        await here.done("delete", "-f", str(here.infra))
        await here.done("apply", "-f", "-", "--set", "infra", stdin=text)
        assert "\n".join(await here.done("export", "--all")) == text


async def test_delete_ends_what_files_name_in_an_order_that_works(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        infra = str(here.infra)
        await here.done("apply", "-f", infra, "--wait")
        gone = await here.volant("delete", "-f", infra)
        assert [line[0] for line in gone.stdout.splitlines()] == ["-"] * 4
        assert "vm/db deleted" not in gone.stderr
        assert await here.done("delete", "-f", infra) == [
            "= deployment/web is not there",
            "= deployment/workers is not there",
            "= vm/db is not there",
            "= plugin/hello is not there",
        ]
        assert here.daemon.served.store.plugins() == []


async def test_secrets_are_never_printed(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        infra = str(here.infra)
        shown = [*(await here.volant("diff", "-f", infra)).output.splitlines(), *await here.done("apply", "-f", infra)]
        here.change("db.yaml", "REPLICATION: off", "REPLICATION: hush")
        result = await here.volant("diff", "-f", infra, "-o", "json")
        assert not [line for line in [*shown, result.output] if "Welcome" in line or "hush" in line]
        assert "sha256:" in result.output


async def test_everything_that_is_wrong_has_its_line_whoever_finds_it(tmp_path: Path) -> None:
    """A9: all of them at once, and nothing is applied."""
    async with desk(tmp_path) as here:
        infra, before = str(here.infra), here.revision
        (here.infra / "bad.yaml").write_text("kind: VM\nmetadata: {name: x}\nspec:\n  plugn: hello\n---\nkind: Vm\n")
        (here.infra / "worse.yaml").write_text("a: [\n")
        result = await here.volant("apply", "-f", infra)
        assert result.exit_code == ERROR
        assert [line.replace(infra, "infra") for line in result.stderr.splitlines()] == [
            "Error: cannot use these manifests: 4 mistakes",
            "infra/bad.yaml:3:1: /spec/plugin: missing",
            "infra/bad.yaml:4:3: /spec/plugn: unknown field. Did you mean 'plugin'?",
            "infra/bad.yaml:6:7: /kind: expected one of: Deployment, Plugin, VM. Did you mean 'VM'?",
            "infra/worse.yaml:2:1: not valid YAML: while parsing a flow node, did not find expected node content",
        ]
        (here.infra / "worse.yaml").unlink()
        (here.infra / "bad.yaml").write_text("kind: VM\nmetadata: {name: x}\nspec:\n  plugin: nope\n")
        result = await here.volant("apply", "-f", infra)
        assert f"{infra}/bad.yaml:4:11: /spec/plugin: there is no plugin nope" in result.stderr
        assert here.revision == before


async def test_a_conflict_is_shown_where_the_field_stands(tmp_path: Path) -> None:
    """A1: who says what, and how to take it over."""
    async with desk(tmp_path) as here:
        infra = str(here.infra)
        await here.done("apply", "-f", infra, "--wait")
        here.change("web.yaml", "replicas: 2", "replicas: 5")
        result = await here.volant("apply", "-f", infra, "--manager", "other")
        assert result.exit_code == ERROR
        assert f"{infra}/web.yaml:7:13: /spec/replicas: apply says 2, not 5" in result.stderr
        assert "--force takes it over" in result.stderr
        shown = await here.volant("diff", "-f", infra, "--manager", "other")
        assert (shown.exit_code, shown.stderr) == (ERROR, result.stderr)
        assert "    replicas: 2 -> 5 (conflict: it is of apply)" in shown.stdout.splitlines()
        moved = await here.volant("diff", "-f", infra, "--set", "other")
        assert "vm/db unchanged (conflict: it is of the set infra)" in moved.stdout
        assert "~ deployment/web replicas: 2 -> 5" in await here.done(
            "apply", "-f", infra, "--manager", "other", "--force"
        )


async def test_a_prune_of_much_says_how_to_mean_it(tmp_path: Path) -> None:
    """A7: an empty directory deletes nothing by itself."""
    async with desk(tmp_path) as here:
        await here.done("apply", "-f", str(here.infra), "--wait")
        shutil.rmtree(here.infra)
        here.infra.mkdir()
        result = await here.volant("apply", "-f", str(here.infra), "--prune")
        assert result.exit_code == ERROR
        assert "--confirm-delete 4" in result.stderr
        done = await here.done("apply", "-f", str(here.infra), "--prune", "--confirm-delete", "4")
        assert done[-1] == "set infra: 4 deleted"


async def test_a_part_prunes_nothing_and_a_set_has_a_name(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        file = str(here.infra / "web.yaml")
        assert (await here.volant("apply", "-f", file, "--prune")).exit_code == USAGE
        assert (await here.volant("apply", "-f", "-", stdin="kind: VM")).exit_code == ERROR
        text = (here.infra / "plugins" / "hello.yaml").read_text()
        refused = await here.volant("apply", "-f", "-", stdin=text)
        assert (refused.exit_code, "--set" in refused.stderr) == (USAGE, True)
        assert await here.done("apply", "-f", "-", "--set", "infra", "-o", "name", stdin=text) == ["plugin/hello"]
        assert (await here.done("apply", "-f", file))[-1] == "set infra: 2 created"


async def test_waiting_in_vain_has_a_status_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.change("plugins/hello.yaml", "initramfs.gz", "nothing.gz")
        result = await here.volant("apply", "-f", str(here.infra), "--wait", "--timeout", "200ms")
        assert result.exit_code in (TIMED_OUT, 2)
        assert "plugin/hello is not ready" in result.stderr


async def test_colours_are_for_terminals(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        terminal = Terminal(here.url, "diff", "-f", str(here.infra))
        try:
            assert await asyncio.to_thread(terminal.end) == 5
        finally:
            terminal.close()
        assert "\x1b[32m+ vm/db to be created\x1b[0m" in terminal.screen
        assert "\x1b" not in (await here.volant("diff", "-f", str(here.infra))).output
