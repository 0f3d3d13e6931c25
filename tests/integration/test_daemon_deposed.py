"""S2, S3: a lock file that somebody deletes lets a second daemon in. The first one is deposed, says so and ends."""

from __future__ import annotations

from pathlib import Path

from tests.builders.daemon import daemon
from tests.builders.server import serving
from tests.builders.stores import open_store


async def test_a_write_to_a_deposed_daemon_is_refused(tmp_path: Path) -> None:
    """S3: 503 and another try, which its successor may answer; reads go on."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        usurper = open_store(tmp_path)
        answer = await api.post("/vms", name="a", plugin="hello")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["code"] == "fenced"
        assert (await api.get("/plugins/hello")).status_code == 200
        base = api.http.base_url.copy_with(path="/")
        ready = await api.http.get(base.join("/readyz"))
        assert ready.status_code == 503
        assert "taken over" in ready.json()["checks"]["store"]["message"]
        usurper.abandon()


def test_the_first_daemon_ends_and_the_second_one_goes_on(tmp_path: Path) -> None:
    """S2, S3: one sentence, a status that is not 0, and the address of the second one stays where it is announced."""
    data = tmp_path / "data"
    with daemon(data, "--hypervisor", "simulated") as first:
        (data / "volant.lock").unlink()
        with daemon(data, "--hypervisor", "simulated") as second:
            assert first.process.wait(30) == 1
            (said,) = [line for line in first.log.read_text().splitlines() if line.startswith("Error: ")]
            assert said.startswith(f"Error: cannot go on: another volant (pid {second.process.pid} on ")
            assert (data / "api.url").read_text().strip() == second.url
            assert second.api.post("/vms", json={"name": "a", "plugin": "none"}).status_code == 404
            assert second.api.get(second.url + "/readyz").json()["checks"]["observed"]["ok"] is False
            assert second.stop() == 0
