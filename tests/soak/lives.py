"""The daemon, one life after another on the same data directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
from tests.builders.daemon import until

START_S = 30.0
PATIENCE_S = 60.0


class Lives:
    """At most one life at a time. `url` is where the present one answers, None between two."""

    def __init__(self, data_dir: Path, network: str, artifact_root: Path) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.count = 0
        self.kills = 0
        self.url: str | None = None
        self._network = network
        self._roots = (artifact_root,)
        self._process: subprocess.Popen[bytes] | None = None
        self._api: httpx2.Client | None = None
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def launch(self) -> None:
        """Start a process and do not wait for it."""
        (self.data_dir / "api.url").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.count += 1

    def await_answer(self) -> None:
        """Wait until it answers."""
        self.url = until("the daemon answers", self._answering, START_S)
        self._api = httpx2.Client(base_url=self.url + "/api/v1", timeout=PATIENCE_S, trust_env=False, verify=False)

    def begin(self) -> None:
        """Start, and wait until it answers."""
        self.launch()
        self.await_answer()

    def kill(self) -> None:
        """`kill -9`, at whatever it is doing."""
        process, self.url = self._process, None
        assert process is not None
        assert process.poll() is None, f"the daemon ended by itself, with {process.returncode}: {self.last_words()}"
        process.kill()
        process.wait(10)
        self.kills += 1
        self._forget()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        self._forget()
        return code

    def end(self) -> None:
        """Be sure that none is left, whatever has happened."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._forget()

    def second(self) -> str:
        """Start another daemon on the same directory: the sentence with which it is refused, empty if it was not."""
        assert self._process is not None
        try:
            done = subprocess.run(self._command(), capture_output=True, text=True, timeout=START_S, check=False)
        except subprocess.TimeoutExpired:
            return ""  # because it runs, or did until now
        said = done.stderr.strip()
        is_refused = done.returncode == 1 and f"another volant (pid {self._process.pid}) has it" in said
        return said if is_refused else ""

    def get(self, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        return self.api.get(path).raise_for_status().json()

    def listed(self, path: str) -> tuple[Any, int]:
        """The JSON of a list, and the revision that it is of."""
        answer = self.api.get(path).raise_for_status()
        return answer.json(), int(answer.headers["volant-revision"])

    @property
    def api(self) -> httpx2.Client:
        """The API of the present life."""
        assert self._api is not None
        return self._api

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def _answering(self) -> str:
        assert self._process is not None
        assert self._process.poll() is None, f"the daemon does not start: {self.last_words()}"
        file = self.data_dir / "api.url"
        return file.read_text().strip() if file.exists() else ""

    def _forget(self) -> None:
        self.url = None
        if self._api is not None:
            self._api.close()
            self._api = None

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "volant", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
        command += ["--data-dir", str(self.data_dir), "--accelerator", "tcg", "--pool", f"{self._network}.0/24"]
        return [*command, *(word for root in self._roots for word in ("--artifact-root", str(root)))]


def own_network() -> str:
    """Loopback addresses of this process alone: runs side by side share one loopback."""
    return f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
