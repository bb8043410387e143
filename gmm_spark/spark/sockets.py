"""How the JVM and the Python workers communicate: by unix sockets on a single machine, else by Spark's default.

Unix sockets save a Python task a part of its 20 ms (Spark 4.1+, off by default). A socket is a file whose path may
have 107 bytes. Spark puts it into spark.python.unix.domain.socket.dir, on every machine, or else into the JVM's
java.io.tmpdir, whose path in a YARN container is longer than that: every worker dies. So they are switched on only
where driver and executors share this machine, in a short private folder that is removed when the driver ends, because
Spark leaves the socket for accumulators in it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

ENABLED, FOLDER = "spark.python.unix.domain.socket.enabled", "spark.python.unix.domain.socket.dir"
# Linux takes 107 bytes, macOS 103; the name of a socket in the folder is /.UUID.sock.
_LONGEST = 103 - len("/.01234567-0123-0123-0123-0123456789ab.sock")


def private_folder() -> str | None:
    """Return a new folder of this user that is removed at the end of this process; None where none is short enough."""
    for root in ("/tmp", tempfile.gettempdir()):  # noqa: S108 - the default path of macOS is too long
        try:
            folder = tempfile.mkdtemp(prefix="gmm_spark-", dir=root)
        except OSError:  # no such folder, or a full disk
            continue
        atexit.register(_remove, folder, os.getpid())
        if len(os.fsencode(folder)) <= _LONGEST:
            return folder
    return None


def settings(
    master: str, configured: Container[str], folder: Callable[[], str | None] = private_folder
) -> dict[str, str]:
    """Return the settings of unix sockets for a new application; none where Spark's defaults are better.

    Args:
        master: local, local[4], local-cluster[...], yarn, k8s://..., spark://...
        configured: the names of settings that the user or the platform has set.
        folder: makes the folder of the sockets.
    """
    one_machine = master.partition("[")[0] in ("local", "local-cluster")
    if not one_machine or ENABLED in configured or FOLDER in configured or not hasattr(socket, "AF_UNIX"):
        return {}
    path = folder()
    return {} if path is None else {ENABLED: "true", FOLDER: path}


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork of the process
        shutil.rmtree(folder, ignore_errors=True)
