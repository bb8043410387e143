"""Which masters use unix sockets between the JVM and Python, and where these are."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gmm_spark.spark import sockets
from tests.jobs.submission import DEFAULTS


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]", "local-cluster[2,1,1024]"])
def test_one_machine_gets_them(master: str) -> None:
    """Driver and executors see the same folder there."""
    expected = {sockets.ENABLED: "true", sockets.FOLDER: "/tmp/x"}  # noqa: S108
    assert sockets.settings(master, (), lambda: "/tmp/x") == expected  # noqa: S108


@pytest.mark.parametrize("master", ["", "yarn", "k8s://https://host:6443", "spark://host:7077", "locale", "mesos://x"])
def test_a_cluster_uses_sparks_default(master: str) -> None:
    """A container's path is too long, and a folder of this machine is not on the others."""
    assert sockets.settings(master, (), lambda: pytest.fail("a folder was made")) == {}


@pytest.mark.parametrize("name", [sockets.ENABLED, sockets.FOLDER])
def test_settings_of_the_user_win(name: str) -> None:
    """If the user sets one of the two settings, neither is changed."""
    assert sockets.settings("local[2]", {name: "x"}, lambda: pytest.fail("a folder was made")) == {}


def test_the_properties_file_has_no_paths_and_sockets() -> None:
    """The file is used on every platform: nothing in it depends on the machine."""
    lines = [line for line in DEFAULTS.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "socket" in line or "/" in line] == []


def test_the_folder_is_short_private_and_gone_with_the_process() -> None:
    """A socket's path fits in 103 bytes, only this user may read it, and the folder is removed."""
    program = (
        "import os; from gmm_spark.spark import sockets; folder = sockets.private_folder();"
        "open(folder + '/.left.sock', 'w').close(); print(folder, oct(os.stat(folder).st_mode & 0o777))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder, mode = done.stdout.split()
    assert mode == oct(stat.S_IRWXU)
    assert len(f"{folder}/.01234567-0123-0123-0123-0123456789ab.sock") <= 103
    assert not Path(folder).exists()


def test_a_long_temporary_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If no short folder can be created, Spark's default sockets are used."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    made = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix, dir: made(prefix=prefix, dir=long))  # noqa: A006, ARG005
    assert sockets.settings("local[2]", ()) == {}
