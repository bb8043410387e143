"""A task so slow that Spark runs a copy of it on another host: a standalone cluster of two hosts."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.jobs.submission import ROOT, submission, submit

if TYPE_CHECKING:
    from collections.abc import Iterator

SPECULATION = (
    "spark.speculation=true",
    "spark.speculation.interval=100ms",
    "spark.speculation.multiplier=1.5",
    "spark.speculation.quantile=0.5",
    "spark.executor.memory=600m",
    "spark.executor.cores=1",
    "spark.python.unix.domain.socket.enabled=false",
    f"spark.executorEnv.PYTHONPATH={ROOT}",
)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """Give the address of a cluster with a worker on each of two loopback addresses."""
    command, environment = submission([], master="local", cwd=tmp_path)
    spark_class = str(Path(command[0]).with_name("spark-class"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    servers = [["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]]
    for host in ("127.0.0.1", "127.0.0.2"):
        options = ["--host", host, "--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(tmp_path)]
        servers.append(["worker.Worker", *options, address])
    with ExitStack() as stack:
        for name, *words in servers:
            log = stack.enter_context((tmp_path / f"{name}.log").open("ab"))
            start = [spark_class, f"org.apache.spark.deploy.{name}", *words]
            server = stack.enter_context(subprocess.Popen(start, env=environment, stdout=log, stderr=log))
            stack.callback(server.terminate)
        give_up = time.monotonic() + 90
        while (tmp_path / "worker.Worker.log").read_text().count("Successfully registered") < 2:
            assert time.monotonic() < give_up, (tmp_path / "worker.Worker.log").read_text()
            time.sleep(0.2)
        yield address


@pytest.mark.slow
def test_a_slow_task_with_speculation_changes_nothing(master: str, tmp_path: Path) -> None:
    """If a copy overtakes a task, in the survey and in packing, counts and model are the same bit for bit."""
    conf = [word for setting in SPECULATION for word in ("--conf", setting)]
    script = ROOT / "tests" / "spark" / "slow_task.py"
    done = submit([*conf, script, tmp_path / "copied"], master=master, cwd=tmp_path, library=str(ROOT))
    assert done.returncode == 0, done.stderr
    undisturbed, copied = json.loads((tmp_path / "summaries.json").read_text())
    assert len(list(tmp_path.glob("copied-*"))) >= 2
    assert copied == undisturbed
