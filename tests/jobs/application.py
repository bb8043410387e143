"""One application that runs the jobs of many test modules: to start one takes longer than most jobs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from tests.jobs.submission import ROOT, submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PATIENCE = 400  # seconds for a plan


class Application:
    """A Spark application on local[2] that waits for plans; it starts with the first one.

    Args:
        home: a folder of its own.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = home / "log"
        self._driver: subprocess.Popen[bytes] | None = None
        self._plans = 0

    def run(
        self, folder: Path, jobs: Mapping[str, tuple[str | Path, Sequence[str]]], sql: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Run jobs one after the other, as if each had been submitted in a folder; return what each printed.

        Args:
            folder: what relative paths start from.
            jobs: file and command line by name.
            sql: statements to run first.
        """
        self._plans += 1
        result, plan = (self._home / f"{self._plans}.{suffix}" for suffix in ("result", "plan"))
        named = {name: (str(job), list(words)) for name, (job, words) in jobs.items()}
        draft = self._home / "draft"
        draft.write_text(json.dumps({"folder": str(folder), "sql": list(sql), "jobs": named}), encoding="utf-8")
        draft.rename(plan)
        driver = self._started()
        give_up = time.monotonic() + PATIENCE
        while not result.exists():
            assert driver.poll() is None, self._log.read_text()
            assert time.monotonic() < give_up, self._log.read_text()
            time.sleep(0.02)
        results: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        assert "failed" not in results, results["failed"]
        return results

    def end(self) -> None:
        """End the application."""
        (self._home / "end").touch()
        if self._driver is not None:
            self._driver.wait(60)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._driver is None or self._driver.poll() is not None:
            words: list[str | Path] = [ROOT / "tests" / "jobs" / "in_one_session.py", self._home, str(os.getpid())]
            command, environment = submission(words, master="local[2]", cwd=self._home, library=str(ROOT))
            with self._log.open("wb") as log:
                self._driver = subprocess.Popen(
                    command, cwd=self._home, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
        return self._driver
