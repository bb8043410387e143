"""spark-submit for the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"
DEFAULTS = ROOT / "conf" / "spark-defaults.conf"
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # tests are too short for the second compiler
_CONF = (
    "spark.ui.enabled=false",
    "spark.driver.memory=1g",
    "spark.sql.shuffle.partitions=2",
    f"spark.driver.extraJavaOptions={_QUICK}",
    f"spark.executor.extraJavaOptions={_QUICK}",
)


def submit(
    words: Sequence[str | Path],
    *,
    master: str,
    cwd: Path,
    python: str | Path = sys.executable,
    library: str = "",
    prefix: Sequence[str] = (),
    patience: float = 150,
) -> subprocess.CompletedProcess[str]:
    """Submit a job through the spark-submit of the installed pyspark.

    Args:
        words: spark-submit's own options, the job's file and its command line.
        master: local[2], local-cluster[2,1,1024] ...
        cwd: where to run.
        python: the interpreter of the driver and of the workers.
        library: PYTHONPATH for the driver.
        prefix: a command that runs it, such as unshare.
        patience: seconds after which it is given up.
    """
    command, environment = submission(words, master=master, cwd=cwd, python=python, library=library)
    return subprocess.run(
        [*prefix, *command], capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=patience
    )


def submission(
    words: Sequence[str | Path], *, master: str, cwd: Path, python: str | Path = sys.executable, library: str = ""
) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a submission; the arguments are those of `submit`."""
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    conf = [
        word for setting in (*_CONF, f"spark.sql.warehouse.dir={cwd / 'warehouse'}") for word in ("--conf", setting)
    ]
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GMM_SPARK_", "PYTHON", "SPARK_"))
    }
    own = {"SPARK_HOME": str(home), "PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": library}
    command = [str(home / "bin" / "spark-submit"), "--master", master, "--properties-file", str(DEFAULTS), *conf]
    return [*command, *map(str, words)], {**kept, **own}
