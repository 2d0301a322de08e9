"""A cluster on disk: where its files are, and what ``up`` chose when it made it.

Every kernel object of a cluster (bridge, nftables table, cgroup) is named
after ``ClusterConfig.id``, so that clusters live side by side and ``down --purge``
finds what is its own.
"""

import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tiphys.cli.errors import UserError

DEFAULT_NAME = "tiphys"
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
# The kernel's sockaddr_un holds 108 bytes, the longest name below run/ included.
RUN_PATH_MAX = 80
FREE_BYTES_MIN = 2 * 1024 * 1024


def state_root() -> Path:
    """Where clusters are found by name: the machine's for root, one's own for everybody else.

    ``$XDG_DATA_HOME/tiphys`` if that is set (XDG Base Directory Specification), else ``~/.tiphys``.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/tiphys")
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) / "tiphys" if given else Path.home() / ".tiphys"


def _run_root() -> Path:
    """Where sockets are whose path in the data directory would be too long."""
    if os.geteuid() == 0:
        return Path("/run/tiphys")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"tiphys-{os.geteuid()}"


class ClusterConfig(msgspec.Struct, kw_only=True):
    """What must stay the same when a cluster is brought back; ``cluster.json``."""

    name: str
    #: Short and unique on this machine; part of the names of kernel objects.
    id: str
    port: int
    kubelet_port: int
    pod_range: str
    service_range: str
    node_name: str
    cluster_domain: str = "cluster.local"
    #: Flags of kube-apiserver, ``name=value``.
    apiserver_args: list[str] = []
    #: Where the scheduler tells of itself; 0, in clusters made before it did, for nowhere.
    scheduler_port: int = 0
    #: A KubeSchedulerConfiguration as it was read; none for the defaults.
    scheduler_config: dict[str, Any] | None = None
    #: Without a real node: no root, no containers.
    simulate: bool = False
    #: How many simulated nodes there are, and where the process that is all of them listens.
    nodes: int = 0
    nodes_port: int = 0


@dataclass(frozen=True)
class Cluster:
    """Paths of one cluster; see docs/design/overview.md, "A cluster on disk"."""

    name: str
    data: Path

    @classmethod
    def named(cls, name: str, data_dir: str | None) -> "Cluster":
        """The cluster ``name``. One made with a data directory of its own is found by its name alone afterwards."""
        if not NAME.fullmatch(name):
            raise UserError(
                f'"{name}" is no name for a cluster: use up to 40 lower-case letters, digits and "-", a letter first'
            )
        return cls(name, Path(data_dir).resolve() if data_dir else (state_root() / name).resolve())

    @property
    def link(self) -> Path:
        """Where ``named`` looks: the data itself, or a link to it."""
        return state_root() / self.name

    @property
    def id(self) -> str:
        return hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:8]

    @property
    def config_file(self) -> Path:
        return self.data / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Sockets and pid files; elsewhere if the data directory's path is too long for a socket's address."""
        inside = self.data / "run"
        return inside if len(os.fsencode(inside)) <= RUN_PATH_MAX else _run_root() / self.id

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def spawner_socket(self) -> Path:
        return self.run / "spawner.sock"

    @property
    def runtime_socket(self) -> Path:
        return self.run / "runtime.sock"

    def pid_file(self, component: str) -> Path:
        return self.run / f"{component}.pid"

    def log_file(self, component: str) -> Path:
        return self.logs / f"{component}.log"

    @property
    def exists(self) -> bool:
        return self.config_file.exists()

    def load(self) -> ClusterConfig:
        try:
            return msgspec.json.decode(self.config_file.read_bytes(), type=ClusterConfig)
        except FileNotFoundError:
            raise UserError(
                f'there is no cluster "{self.name}" in {self.data}; "tiphys up --name {self.name}" makes one'
            ) from None
        except (msgspec.DecodeError, OSError) as error:
            raise UserError(
                f"{self.config_file} cannot be read: {error}; restore it, or remove the cluster and its data with "
                f'"tiphys down --name {self.name} --purge"'
            ) from error

    def nameless_config(self) -> ClusterConfig:
        """Enough to remove a cluster whose own configuration cannot be read: the id follows from the place."""
        return ClusterConfig(
            name=self.name,
            id=self.id,
            port=0,
            kubelet_port=0,
            pod_range="10.244.0.0/16",
            service_range="10.96.0.0/16",
            node_name=default_node_name(),
        )

    def save(self, config: ClusterConfig) -> None:
        partial = self.config_file.with_suffix(".partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
        os.replace(partial, self.config_file)

    def make_directories(self) -> None:
        """All folders that components expect; secrets live below, so only the owner may enter."""
        try:
            for folder in (self.data, self.pki, self.run, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}; choose another place with --data-dir") from error

    def register(self) -> None:
        """Let the name lead to the data, wherever that is. Raises UserError if it leads to another cluster's."""
        if self.link.resolve() == self.data.resolve():
            return
        if self.link.exists():
            raise UserError(
                f'there is another cluster "{self.name}" in {self.link.resolve()}; choose another --name, or remove '
                f'that one with "tiphys down --name {self.name} --purge"'
            )
        self.link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self.data)

    def make_room(self) -> None:
        """What is to be deleted anyway goes first: on a full disk, the rest needs some of it."""
        shutil.rmtree(self.logs / "pods", ignore_errors=True)
        for path in self.data.glob("store.db*"):
            path.unlink(missing_ok=True)

    def full(self) -> str:
        """Says so if the disk has no room to start anything."""
        disk = os.statvfs(self.data)
        if disk.f_bavail * disk.f_frsize >= FREE_BYTES_MIN:
            return ""
        return f"{self.data}: no space left on device; make some room and run tiphys up again"

    def forget(self) -> None:
        """Delete everything on disk, the name's link last."""
        for folder in (self.data, self.run):
            if folder.exists():
                shutil.rmtree(folder)
        if self.link.is_symlink():
            self.link.unlink()
        # Empty once the last cluster with a long path has gone.
        with suppress(OSError):
            _run_root().rmdir()


def default_node_name() -> str:
    """The host's name, lower-case, as kubelet does it."""
    return socket.gethostname().lower()


def all_clusters() -> list[Cluster]:
    """Every cluster that was made on this machine and not purged, by name."""
    return [Cluster(path.parent.name, path.parent.resolve()) for path in sorted(state_root().glob("*/cluster.json"))]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock that is the file ``path``, waiting for whoever has it.

    Not flock, which a process that is forked meanwhile would go on holding.
    """
    with path.open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield
