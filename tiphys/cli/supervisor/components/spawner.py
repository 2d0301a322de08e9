"""The spawner is found or started, never restarted by force: containers hang on it."""

import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

import tiphys.runtime.spawner
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor import process

START_SECONDS = 10.0


def ensure_spawner(cluster: Cluster, config: ClusterConfig) -> int:
    """The pid of the cluster's spawner, started now if none runs."""
    if (pid := _listener(cluster.spawner_socket)) is not None:
        return pid
    if running := process.read_pid_file(cluster.pid_file("spawner")):
        process.end(running, grace_seconds=1)
    program = Path(tiphys.runtime.spawner.__file__).parent
    log = cluster.log_file("spawner").open("ab")
    ready_read, ready_write = socket.socketpair()
    with log, ready_read, ready_write:
        subprocess.Popen(
            [sys.executable, "-I", "-S", program, cluster.spawner_socket, str(ready_write.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[ready_write.fileno()],
            start_new_session=True,
        )
        ready_write.close()
        select.select([ready_read], [], [], START_SECONDS)
        if (pid := _listener(cluster.spawner_socket)) is None:
            raise OSError(f"the spawner did not start; see {cluster.log_file('spawner')}")
    return pid


def _listener(path: Path) -> int | None:
    """Who listens: the process started last is not it when another had been started by a supervisor killed since."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        if probe.connect_ex(str(path)) != 0:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])
