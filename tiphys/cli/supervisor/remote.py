"""How the command line talks to a cluster's supervisor."""

import json
import socket
from collections.abc import Iterator
from typing import Any

from tiphys.cli.cluster import Cluster

Status = dict[str, Any]


def ask(cluster: Cluster, command: str, timeout_seconds: float | None = None) -> Iterator[Status]:
    """States as the supervisor sends them; ends when it hangs up.

    Raises ConnectionError if no supervisor listens, TimeoutError if it is silent
    for ``timeout_seconds``.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_seconds)
        try:
            connection.connect(str(cluster.supervisor_socket))
        except FileNotFoundError as error:
            raise ConnectionRefusedError(f"no supervisor listens on {cluster.supervisor_socket}") from error
        connection.sendall(json.dumps({"command": command}).encode() + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)


def find_status(cluster: Cluster) -> Status | None:
    """The cluster's state, or None if no supervisor runs."""
    try:
        return next(ask(cluster, "status", timeout_seconds=5), None)
    except (ConnectionError, TimeoutError):
        return None
